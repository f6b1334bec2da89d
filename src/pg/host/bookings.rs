//! The source table: reads bookings through `guestly.field_map`, locks them, and writes outcomes back. Everything runs as the
//! table's owner, because mapping expressions and triggers are code of the host. Called by `pg::claim`, `pg::record_outcomes`,
//! `pg::worker` and `pg::functions`; main thread only.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;

use super::properties;
use crate::domain::booking::Labels;
use crate::domain::field::{Field, Row};
use crate::pg::db::convert::{Named, time};
use crate::pg::db::session::{Owner, Result, SqlError, as_owner};
use crate::pg::{db::statement, host_code};

mod mapping;
mod paid;
mod rows;
mod write;

pub use rows::*;

/// The source table and its mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookings {
    key: String,
    key_type: String,
    payment: String,
    arrival: Option<String>,
    owner: Owner,
    /// In the order of [`Field::ALL`].
    expressions: Vec<Option<String>>,
}

impl Bookings {
    /// The source table, if one is attached. Errors: it does not exist, or lacks the column that only its owner can have let us
    /// add: without it, a row of `guestly.attachment` does not prove that the owner agreed.
    pub fn load() -> Result<Option<Self>> {
        statement::row(include_str!("../../../sql/queries/source_table/load.sql"), &[], |row| {
            let Some(owner) = row.get_by_name::<pg_sys::Oid, _>("relation")?.and_then(Owner::read_unlocked) else {
                let message = format!(
                    "the attached table {} does not exist or lacks the column guestly_reservation_id; call guestly_attach() on the table of bookings",
                    text_of(row, "bookings")?
                );
                return Err(SqlError::new(pgrx::PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message));
            };
            Ok(Self {
                owner,
                key: text_of(row, "key_column")?,
                key_type: text_of(row, "key_type")?,
                payment: text_of(row, "payment_column")?,
                arrival: row.text("arrival_column")?,
                expressions: mapped(&texts(row, "fields")?, &texts(row, "expressions")?),
            })
        })
    }

    /// The host's column names, for messages.
    pub fn labels(&self) -> Labels {
        Labels::from_expressions(&self.expressions)
    }

    /// The mapped rows of these bookings; a booking without a row does not exist. Errors: a mapping expression raises, or row
    /// security hides rows from the owner.
    pub fn read(&self, ids: &[String]) -> Result<Vec<Row>> {
        let columns: Vec<String> = Field::ALL.iter().map(|field| self.column(*field)).collect();
        let sql = format!(
            "SELECT {}::text, {}, b.guestly_reservation_id::text FROM {} b WHERE {}",
            self.key(),
            columns.join(", "),
            self.table(),
            self.by_key()
        );
        let mut rows = host_code::as_owner_in_time(&self.owner, || {
            statement::rows(&sql, &[ids.to_vec().into()], |row| {
                let values = (0..Field::ALL.len())
                    .map(|index| row.get::<String>(index + 2))
                    .collect::<std::result::Result<_, _>>()?;
                let reservation_id = row.get::<String>(Field::ALL.len() + 2)?;
                Ok(Row { booking_id: text(row, 1)?, values, reservation_id })
            })
        })?;
        if self.expressions.get(Field::Property as usize).is_none_or(Option::is_none) {
            properties::name_by_slug(self.owner.relation, self.owner.role, &mut rows)?;
        }
        Ok(rows)
    }

    /// Like [`Bookings::read`], but a row that raises does not stop the others: its error is returned with its id.
    pub fn read_each(&self, ids: &[String]) -> Vec<(String, Result<Option<Row>>)> {
        if let Ok(rows) = self.read(ids) {
            let mut found: HashMap<String, Row> = rows.into_iter().map(|row| (row.booking_id.clone(), row)).collect();
            return ids.iter().map(|id| (id.clone(), Ok(found.remove(id)))).collect();
        }
        let one = |id: &String| self.read(std::slice::from_ref(id)).map(|rows| rows.into_iter().next());
        ids.iter().map(|id| (id.clone(), one(id))).collect()
    }

    /// Locks the rows that no other transaction has locked. Returns which are locked now, and which exist.
    pub fn lock(&self, ids: &[String]) -> Result<Locked> {
        let lock = format!(
            "SELECT {}::text FROM {} b WHERE {} FOR NO KEY UPDATE SKIP LOCKED",
            self.key(),
            self.table(),
            self.by_key()
        );
        let there = format!("SELECT {}::text FROM {} b WHERE {}", self.key(), self.table(), self.by_key());
        host_code::as_owner_in_time(&self.owner, || {
            let locked = statement::rows(&lock, &[ids.to_vec().into()], |row| text(row, 1))?;
            let exist = if locked.len() == ids.len() {
                locked.clone()
            } else {
                statement::rows(&there, &[ids.to_vec().into()], |row| text(row, 1))?
            };
            Ok(Locked { locked, exist })
        })
    }

    /// The sweep, in one statement: paid bookings without a reservation, at most `limit` (what a trigger may have missed),
    /// and how the queue stands. `in_progress` are the bookings that are claimed. OFFSET 0 keeps the questions look-ups by
    /// key: the plan is made while our tables are empty, and kept while the queue grows to a hundred thousand.
    pub fn sweep(&self, paid_statuses: &[String], limit: i64, in_progress: Vec<String>) -> Result<Swept> {
        let arrival =
            self.arrival.as_ref().map_or("NULL".to_owned(), |column| format!("b.{}::text", quote_identifier(column)));
        let sql = format!(
            "(SELECT {key}::text, {arrival}, false, NULL::float8, NULL::float8, false FROM {table} b \
              WHERE b.guestly_reservation_id IS NULL AND {paid} \
              AND b.guestly_sync_status::text IS DISTINCT FROM 'synced' \
              AND NOT EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id OPERATOR (pg_catalog.=) {key}::text OFFSET 0) LIMIT $2) \
             UNION ALL SELECT NULL, NULL, EXISTS (SELECT FROM guestly.queue q WHERE {ready}) OR EXISTS (SELECT FROM guestly.changes), \
              (SELECT extract(epoch FROM pg_catalog.min(q.due_at))::float8 FROM guestly.queue q WHERE {timed}), \
              (SELECT extract(epoch FROM pg_catalog.min(q.queued_at))::float8 FROM guestly.queue q WHERE q.state::text OPERATOR (pg_catalog.<>) 'failed'), \
              EXISTS (SELECT FROM guestly.queue q WHERE q.claim_id IS NOT NULL AND q.booking_id OPERATOR (pg_catalog.<>) ALL ($3))",
            key = self.key(),
            table = self.table(),
            paid = self.is_paid(),
            ready = "q.state::text OPERATOR (pg_catalog.=) 'ready'",
            timed = "q.state::text OPERATOR (pg_catalog.=) ANY (ARRAY['waiting', 'unknown'])",
        );
        let args: [DatumWithOid; 3] = [paid_statuses.to_vec().into(), limit.into(), in_progress.into()];
        let mut found = Swept::default();
        // guestly_attach() grants the owner SELECT on these tables.
        let read = || {
            statement::rows(&sql, &args, |row| {
                match row.get::<String>(1)? {
                    Some(id) => found.unqueued.push((id, row.get(2)?)),
                    None => {
                        found.ready = row.get(3)?.unwrap_or_default();
                        found.orphaned = row.get(6)?.unwrap_or_default();
                        (found.next_due, found.oldest) = (row.get::<f64>(4)?.map(time), row.get::<f64>(5)?.map(time));
                    }
                }
                Ok(())
            })
        };
        host_code::for_table(|| host_code::as_owner_in_time(&self.owner, read))?;
        Ok(found)
    }

    /// Checks one mapping expression without running it. Errors: the problem with it.
    pub fn check(&self, expression: &str) -> Result<()> {
        // ORDER BY the key makes an aggregate an error, as it is when the expression is read beside the key.
        let sql = format!("SELECT ({expression}\n)::text FROM {} b WHERE false ORDER BY {}", self.table(), self.key());
        as_owner(&self.owner, || statement::check(&sql))
    }

    /// The table's oid.
    pub fn relation(&self) -> pg_sys::Oid {
        self.owner.relation
    }

    /// The table's name in SQL.
    fn table(&self) -> &str {
        &self.owner.name
    }

    fn key(&self) -> String {
        format!("b.{}", quote_identifier(&self.key))
    }

    /// The condition "the row is one of `$1`". Like all operators and functions of these statements, the operator is named with
    /// its schema: on the search path of the host's code, another role may have created an operator that matches better.
    fn by_key(&self) -> String {
        match self.key_type.as_str() {
            "character varying" => format!("{}::text OPERATOR (pg_catalog.=) ANY ($1::text[])", self.key()),
            other => format!("{} OPERATOR (pg_catalog.=) ANY ($1::text[]::{other}[])", self.key()),
        }
    }

    fn column(&self, field: Field) -> String {
        match self.expressions.get(field as usize) {
            Some(Some(expression)) => format!("({expression}\n)::text"),
            _ => "NULL::text".to_owned(),
        }
    }
}

/// The result of a sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Swept {
    /// Paid bookings that no trigger queued, with their days of arrival.
    pub unqueued: Vec<(String, Option<String>)>,
    /// A queue row is ready, or a booking is dirty.
    pub ready: bool,
    /// There are claims that are not of this worker.
    pub orphaned: bool,
    /// The next due time of a waiting row.
    pub next_due: Option<DateTime<Utc>>,
    /// When the oldest waiting row was queued.
    pub oldest: Option<DateTime<Utc>>,
}

/// The expressions in the order of [`Field::ALL`].
fn mapped(fields: &[String], expressions: &[String]) -> Vec<Option<String>> {
    let map: HashMap<&str, &String> = fields.iter().map(String::as_str).zip(expressions).collect();
    Field::ALL.iter().map(|field| map.get(field.name()).map(|expression| (*expression).clone())).collect()
}

fn text_of(row: &statement::Tuple, column: &str) -> Result<String> {
    Ok(row.text(column)?.unwrap_or_default())
}

fn texts(row: &statement::Tuple, column: &str) -> Result<Vec<String>> {
    Ok(row.get_by_name::<Vec<String>, _>(column)?.unwrap_or_default())
}

/// A day; `None` for any other text, which fails when it is claimed.
fn day(row: &statement::Tuple, column: usize) -> Result<Option<NaiveDate>> {
    Ok(row.get::<String>(column)?.and_then(|text| text.get(..10)?.parse().ok()))
}

fn text(row: &statement::Tuple, column: usize) -> Result<String> {
    Ok(row.get::<String>(column)?.unwrap_or_default())
}
