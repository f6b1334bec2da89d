//! Definitions on the source table, which `guestly_attach()` adds and `guestly_detach()` removes. Run as the table's owner,
//! with a short wait for the lock, because every sale would wait behind it. Called by `pg::functions::attach`; main thread of
//! a session.

use std::cell::Cell;

use pgrx::PgSqlErrorCode;
use pgrx::pg_sys;
use pgrx::spi::{quote_identifier, quote_literal};

use crate::pg::db::session::{Owner, Result, SqlError, as_owner};
use crate::pg::{db::report, db::statement, sys};

/// The longest that a definition waits for a lock on the host's table.
const LOCK_TIMEOUT: &str = "2s";
/// The column that proves that the owner agreed: only the owner can have let us add it.
const CONSENT: &std::ffi::CStr = c"guestly_reservation_id";

/// The five columns, as the host's own migration has them.
const COLUMNS: [(&str, &str); 5] = [
    ("guestly_reservation_id", "text"),
    ("guestly_sync_status", "text DEFAULT 'pending' CHECK (guestly_sync_status IN ('pending', 'synced', 'failed'))"),
    ("guestly_sync_error", "text"),
    ("guestly_synced_at", "timestamptz"),
    ("guestly_sync_attempts", "integer DEFAULT 0"),
];

/// The triggers: name and event.
pub const TRIGGERS: [(&str, &str); 6] = [
    ("guestly_update", "AFTER UPDATE"),
    ("guestly_insert", "AFTER INSERT"),
    ("guestly_delete", "AFTER DELETE"),
    ("guestly_update_end", "AFTER UPDATE"),
    ("guestly_insert_end", "AFTER INSERT"),
    ("guestly_delete_end", "AFTER DELETE"),
];

thread_local! {
    // The table for which its owner, or a superuser, is calling guestly_attach().
    static CALLED_BY_OWNER: Cell<pg_sys::Oid> = const { Cell::new(pg_sys::InvalidOid) };
}

/// Runs `body`, which may add the columns that prove the owner's consent to this table.
pub fn with_consent_to<T>(table: pg_sys::Oid, body: impl FnOnce() -> Result<T>) -> Result<T> {
    /// Restores the previous value, also if the body raises.
    struct Former(pg_sys::Oid);
    impl Drop for Former {
        fn drop(&mut self) {
            CALLED_BY_OWNER.set(self.0);
        }
    }
    let _former = Former(CALLED_BY_OWNER.replace(table));
    body()
}

/// A table of bookings whose owner agreed to definitions.
pub struct Table(Owner);

impl Table {
    /// The table. Errors: it does not exist, or its owner never agreed.
    pub fn of(table: pg_sys::Oid) -> Result<Self> {
        let error = |code, message: String| Err(SqlError::new(code, message));
        let Some(owner) = Owner::of(table) else {
            return error(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, "the table does not exist".to_owned());
        };
        if CALLED_BY_OWNER.get() != table && !sys::relation::has_column(table, CONSENT) {
            let message = format!("the table {} is not attached; its owner calls guestly_attach()", owner.name);
            return error(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message);
        }
        Ok(Self(owner))
    }

    /// Adds the missing ones of the five columns, with one statement.
    pub fn add_columns(&self) -> Result<()> {
        let missing =
            |name: &str| std::ffi::CString::new(name).is_ok_and(|n| !sys::relation::has_column(self.0.relation, &n));
        let added: Vec<String> = COLUMNS
            .iter()
            .filter(|(name, _)| missing(name))
            .map(|(name, definition)| format!("ADD COLUMN {name} {definition}"))
            .collect();
        if added.is_empty() {
            return Ok(());
        }
        self.run(&[format!("ALTER TABLE {} {}", self.0.name, added.join(", "))])
    }

    /// Creates an index; `keys` is the part of the statement after the table's name. If the owner may not create objects in the
    /// schema, a WARNING says so: without the index the sweep reads the whole table.
    pub fn add_index(&self, name: &str, keys: &str) -> Result<()> {
        let made = self.run(&[format!("CREATE INDEX {} ON {} {keys}", quote_identifier(name), self.0.name)]);
        match made {
            Err(error) if error.code == PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE => {
                let (owner, table) = (sys::relation::role_name(self.0.role), &self.0.name);
                let schema = table.split_once('.').map_or("public", |(schema, _)| schema);
                report::warn(
                    error.code,
                    format!("guestly_sync could not make the index {name}: {}", error.safe_message()),
                    &format!(
                        "GRANT CREATE ON SCHEMA {schema} TO {owner}; then SELECT guestly_attach({}).",
                        quote_literal(table)
                    ),
                );
                Ok(())
            }
            made => made,
        }
    }

    /// Creates the triggers again. `arguments`: the columns that the row triggers read; `changed`: the condition of the update
    /// trigger; `columns`: the columns that it watches.
    pub fn add_triggers(&self, arguments: &[String], changed: &str, columns: &[String]) -> Result<()> {
        let schema = extension_schema()?;
        let arguments: Vec<String> = arguments.iter().map(quote_literal).collect();
        let columns: Vec<String> = columns.iter().map(quote_identifier).collect();
        let (table, mut statements) = (&self.0.name, self.drop_statements()?);
        for (name, event) in TRIGGERS {
            let clause = match name {
                "guestly_update" => format!("{event} ON {table} FOR EACH ROW WHEN ({changed})"),
                "guestly_update_end" => format!("{event} OF {} ON {table} FOR EACH STATEMENT", columns.join(", ")),
                _ if name.ends_with("_end") => format!("{event} ON {table} FOR EACH STATEMENT"),
                _ => format!("{event} ON {table} FOR EACH ROW"),
            };
            let call = match name.ends_with("_end") {
                true => format!("{schema}.guestly_queue_paid()"),
                false => format!("{schema}.guestly_note_paid({})", arguments.join(", ")),
            };
            statements.push(format!("CREATE TRIGGER {name} {clause} EXECUTE FUNCTION {call}"));
            // So that a plain DROP EXTENSION works.
            statements.push(format!("ALTER TRIGGER {name} ON {table} DEPENDS ON EXTENSION guestly_sync"));
        }
        self.run(&statements)
    }

    /// Removes the existing triggers.
    pub fn drop_triggers(&self) -> Result<()> {
        let statements = self.drop_statements()?;
        if statements.is_empty() { Ok(()) } else { self.run(&statements) }
    }

    fn drop_statements(&self) -> Result<Vec<String>> {
        let names: Vec<String> = TRIGGERS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let sql = include_str!("../../../sql/queries/host/triggers_of.sql");
        let there: Vec<String> = statement::rows(sql, &[self.0.relation.into(), names.into()], |row| {
            Ok(row.get::<String>(1)?.unwrap_or_default())
        })?;
        Ok(there.iter().map(|name| format!("DROP TRIGGER {} ON {}", quote_identifier(name), self.0.name)).collect())
    }

    /// Writes the comment that outlives DROP EXTENSION.
    pub fn comment(&self, text: &str) -> Result<()> {
        let text = quote_literal(text);
        // Its lock conflicts with VACUUM but blocks no sale, so the caller's lock_timeout applies.
        self.run_as_owner(&[format!("COMMENT ON COLUMN {}.guestly_sync_attempts IS {text}", self.0.name)])
    }

    /// Bookings whose rows name a reservation: (booking, reservation). Only for a column of a built-in text type.
    pub fn named_reservations(&self, key: &str) -> Result<Vec<(String, String)>> {
        let sql = format!(
            "SELECT b.{}::text, b.guestly_reservation_id::text FROM {} b WHERE b.guestly_reservation_id::text <> ''",
            quote_identifier(key),
            self.0.name
        );
        as_owner(&self.0, || {
            statement::rows(&sql, &[], |row| {
                Ok((row.get::<String>(1)?.unwrap_or_default(), row.get::<String>(2)?.unwrap_or_default()))
            })
        })
    }

    /// Runs utility statements as the owner; waits for a lock at most [`LOCK_TIMEOUT`].
    fn run(&self, statements: &[String]) -> Result<()> {
        let level = sys::GucLevel::open();
        sys::set_locally(c"lock_timeout", LOCK_TIMEOUT);
        let done = self.run_as_owner(statements);
        level.close();
        match done {
            // A longer wait would block every sale behind it.
            Err(error) if error.code == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE => {
                let hint = "Try again when that transaction has ended: SELECT pid, state, query FROM pg_stat_activity.";
                Err(SqlError { message: self.locked(), hint: Some(hint.to_owned()), ..error })
            }
            done => done,
        }
    }

    fn run_as_owner(&self, statements: &[String]) -> Result<()> {
        as_owner(&self.0, || {
            // All names in the statements are qualified; operators and functions are the server's.
            sys::set_locally(c"search_path", "pg_catalog, pg_temp");
            statements.iter().try_for_each(|sql| statement::execute(sql))
        })
    }

    fn locked(&self) -> String {
        let sql = include_str!("../../../sql/queries/host/lock_holders.sql");
        let holders = statement::row(sql, &[self.0.relation.into()], |row| Ok(row.get::<String>(1)?)).ok().flatten();
        let holders = holders.flatten().unwrap_or_else(|| "unknown: it has ended since".to_owned());
        format!("could not lock table {} within 2 seconds (locked by process {holders})", self.0.name)
    }
}

/// The schema of the public functions, quoted.
fn extension_schema() -> Result<String> {
    let sql = include_str!("../../../sql/queries/host/extension_schema.sql");
    let schema = statement::row(sql, &[], |row| Ok(row.get::<String>(1)?))?;
    Ok(schema.flatten().unwrap_or_else(|| "public".to_owned()))
}
