//! Runs statements, prepared once per process and cached: the files of `sql/queries`, and a few that are built from the host's
//! names. Called by `pg::store` and `pg::host`; main thread only.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::PgOid;
use pgrx::spi::{OwnedPreparedStatement, Spi, SpiClient, SpiHeapTupleData};

use super::session::{Result, SqlError};
use crate::pg::sys;

thread_local! {
    static PLANS: RefCell<HashMap<String, Rc<OwnedPreparedStatement>>> = RefCell::new(HashMap::new());
}

/// More than the library's statements. Statements with the host's names change only when `guestly.field_map` is edited.
const MAX_CACHED_PLANS: usize = 100;

/// One row of a result; must be copied into an owned value before the statement is closed.
pub type Tuple<'conn> = SpiHeapTupleData<'conn>;

/// Runs a cached statement and turns each row into an owned value.
pub fn rows<T>(sql: &str, args: &[DatumWithOid], mut each: impl FnMut(&Tuple) -> Result<T>) -> Result<Vec<T>> {
    Spi::connect(|client| {
        let plan = prepare(client, sql, args)?;
        // `update` would assign a transaction id at once: a statement that changes nothing would write a commit record, and
        // could wait for the disk. `select` may change data too: the plan was prepared as mutating.
        collect(client.select(&*plan, None, args)?, &mut each)
    })
}

/// Runs a cached statement for its effect.
pub fn run(sql: &str, args: &[DatumWithOid]) -> Result<()> {
    rows(sql, args, |_| Ok(())).map(drop)
}

/// Runs a cached statement that returns at most one row.
pub fn row<T>(sql: &str, args: &[DatumWithOid], each: impl FnMut(&Tuple) -> Result<T>) -> Result<Option<T>> {
    Ok(rows(sql, args, each)?.into_iter().next())
}

/// Runs a utility statement, which is not cached.
pub fn execute(sql: &str) -> Result<()> {
    Spi::connect_mut(|client| Ok(client.update(sql, None, &[]).map(drop)?))
}

/// Checks a query by running it; it must be one statement with one column and return no row. Errors: the problem with it.
pub fn check(sql: &str) -> Result<()> {
    let wrong = |message: &str| Err(SqlError::new(pgrx::PgSqlErrorCode::ERRCODE_SYNTAX_ERROR, message));
    if sys::statement_count(sql) != 1 {
        return wrong("more than one statement");
    }
    Spi::connect(|client| match client.select(sql, None, &[])?.columns()? {
        1 => Ok(()),
        _ => wrong("more than one value"),
    })
}

/// The cached plan. Shared, not borrowed: a statement may re-enter this module (a trigger of the host pays another booking).
fn prepare(client: &SpiClient, sql: &str, args: &[DatumWithOid]) -> Result<Rc<OwnedPreparedStatement>> {
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(sql).cloned()) {
        return Ok(plan);
    }
    let types: Vec<PgOid> = args.iter().map(|arg| PgOid::from(arg.oid())).collect();
    let plan = Rc::new(client.prepare_mut(sql, &types)?.keep());
    PLANS.with_borrow_mut(|plans| {
        if plans.len() >= MAX_CACHED_PLANS {
            plans.clear();
        }
        plans.insert(sql.to_owned(), Rc::clone(&plan));
    });
    Ok(plan)
}

fn collect<T>(table: pgrx::spi::SpiTupleTable, each: &mut impl FnMut(&Tuple) -> Result<T>) -> Result<Vec<T>> {
    let mut found = Vec::new();
    for tuple in table {
        found.push(each(&tuple)?);
    }
    Ok(found)
}
