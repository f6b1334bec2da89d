//! The host's table: reading bookings through `guestly.field_map`, locking them, writing outcomes back. All of it with the
//! rights of the table's owner, because mapping expressions and triggers are other people's code. Main thread only.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;

use super::queue::time;
use super::session::{Owner, Result, SqlError, as_owner};
use super::statement;
use crate::domain::booking::{Field, Labels, Row};
use crate::domain::error::ErrorClass;

mod rows;

pub use rows::*;

/// The attached table and its mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookings {
    table: String,
    key: String,
    key_type: String,
    payment: String,
    arrival: Option<String>,
    owner: Owner,
    /// Names of its deferrable constraints, as SET CONSTRAINTS takes them.
    deferrable: Option<String>,
    /// In the order of [`Field::ALL`].
    expressions: Vec<Option<String>>,
}

impl Bookings {
    /// The attached table, if any. Errors: the table or its owner is gone.
    pub fn load() -> Result<Option<Self>> {
        let found = statement::row(include_str!("../../sql/queries/attachment.sql"), &[], |row| {
            let owner = Owner { role: row.get::<pg_sys::Oid>(6)?.unwrap_or(pg_sys::InvalidOid), schema: text(row, 7)? };
            Ok(Self {
                table: text(row, 1)?,
                key: text(row, 2)?,
                key_type: text(row, 3)?,
                payment: text(row, 4)?,
                arrival: row.get::<String>(5)?,
                owner,
                deferrable: row.get::<String>(8)?,
                expressions: mapped(&words(row, 9)?, &words(row, 10)?),
            })
        })?;
        let Some(bookings) = found else { return Ok(None) };
        if bookings.owner.role == pg_sys::InvalidOid {
            return Err(SqlError {
                code: pgrx::PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
                message: format!(
                    "the attached table {} does not exist; call guestly_attach() on the table of bookings",
                    bookings.table
                ),
            });
        }
        Ok(Some(bookings))
    }

    /// How messages call the host's columns.
    pub fn labels(&self) -> Labels {
        Labels::from_expressions(&self.expressions)
    }

    /// The mapped rows of these bookings; one that is missing from the answer does not exist. Errors: a mapping
    /// expression that raises, or row security that hides rows from the owner.
    pub fn read(&self, ids: &[String]) -> Result<Vec<Row>> {
        let columns: Vec<String> = Field::ALL.iter().map(|field| self.column(*field)).collect();
        let sql = format!(
            "SELECT {}::text, {} FROM {} b WHERE {}",
            self.key(),
            columns.join(", "),
            self.table,
            self.by_key()
        );
        as_owner(&self.owner, || {
            statement::rows(&sql, &[ids.to_vec().into()], |row| {
                let values = (0..Field::ALL.len())
                    .map(|index| row.get::<String>(index + 2))
                    .collect::<std::result::Result<_, _>>()?;
                Ok(Row { booking_id: text(row, 1)?, values })
            })
        })
    }

    /// Like [`Bookings::read`], but a row that raises takes no other down: its error comes back beside its id.
    pub fn read_each(&self, ids: &[String]) -> Vec<(String, Result<Option<Row>>)> {
        if let Ok(rows) = self.read(ids) {
            let mut found: HashMap<String, Row> = rows.into_iter().map(|row| (row.booking_id.clone(), row)).collect();
            return ids.iter().map(|id| (id.clone(), Ok(found.remove(id)))).collect();
        }
        let one = |id: &String| self.read(std::slice::from_ref(id)).map(|rows| rows.into_iter().next());
        ids.iter().map(|id| (id.clone(), one(id))).collect()
    }

    /// Locks what nobody else holds. Says which of the ids are locked now, and which exist.
    pub fn lock(&self, ids: &[String]) -> Result<Locked> {
        let lock = format!(
            "SELECT {}::text FROM {} b WHERE {} FOR NO KEY UPDATE SKIP LOCKED",
            self.key(),
            self.table,
            self.by_key()
        );
        let there = format!("SELECT {}::text FROM {} b WHERE {}", self.key(), self.table, self.by_key());
        as_owner(&self.owner, || {
            let locked = statement::rows(&lock, &[ids.to_vec().into()], |row| text(row, 1))?;
            let exist = if locked.len() == ids.len() {
                locked.clone()
            } else {
                statement::rows(&there, &[ids.to_vec().into()], |row| text(row, 1))?
            };
            Ok(Locked { locked, exist })
        })
    }

    /// Writes the five columns. Errors: whatever the host's triggers raise.
    pub fn write(&self, writes: &[&WriteBack]) -> Result<()> {
        let sql = format!(
            "UPDATE {} b SET guestly_sync_status = w.status, guestly_reservation_id = coalesce(w.reservation_id, b.guestly_reservation_id), \
             guestly_sync_error = w.error, guestly_sync_attempts = w.attempts, \
             guestly_synced_at = CASE w.status WHEN 'synced' THEN pg_catalog.clock_timestamp() ELSE b.guestly_synced_at END \
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[]) \
             AS w(id, status, reservation_id, error, attempts) WHERE b.{} = w.id::{} AND {}",
            self.table,
            quote_identifier(&self.key),
            self.key_type,
            // By key, however large the table has become since it was planned.
            self.by_key()
        );
        let ids: Vec<String> = writes.iter().map(|write| write.booking_id.clone()).collect();
        let statuses: Vec<String> = writes.iter().map(|write| write.status.to_owned()).collect();
        let reservations: Vec<Option<String>> = writes.iter().map(|write| write.reservation_id.clone()).collect();
        let errors: Vec<Option<String>> = writes.iter().map(|write| write.error.clone()).collect();
        let attempts: Vec<i32> = writes.iter().map(|write| write.attempts).collect();
        as_owner(&self.owner, || {
            // A deferred trigger would fire at commit, with the rights of whoever commits. Those of other tables are none of
            // our business: fired here, they would run with the rights of this table's owner.
            if let Some(names) = &self.deferrable {
                statement::run(&format!("SET CONSTRAINTS {names} IMMEDIATE"), &[])?;
            }
            statement::run(&sql, &[ids.into(), statuses.into(), reservations.into(), errors.into(), attempts.into()])
        })
    }

    /// The probe, one statement: paid bookings without a reservation, at most `limit` (what a trigger may have missed), and
    /// how the queue stands.
    pub fn probe(&self, paid: &[String], limit: i64) -> Result<Probed> {
        let arrival =
            self.arrival.as_ref().map_or("NULL".to_owned(), |column| format!("b.{}::text", quote_identifier(column)));
        let nowhere: String = ["queue", "old_bookings", "withdrawn", "reservations"]
            .iter()
            .map(|ours| {
                format!(" AND NOT EXISTS (SELECT FROM guestly.{ours} o WHERE o.booking_id = {}::text)", self.key())
            })
            .collect();
        let sql = format!(
            "(SELECT {key}::text, {arrival}, false, NULL::float8, NULL::float8 FROM {table} b \
              WHERE b.guestly_reservation_id IS NULL AND b.{payment}::text = ANY ($1) \
              AND b.guestly_sync_status IS DISTINCT FROM 'synced'{nowhere} LIMIT $2) \
             UNION ALL SELECT NULL, NULL, EXISTS (SELECT FROM guestly.queue q WHERE q.state = 'ready') OR EXISTS (SELECT FROM guestly.changes), \
              (SELECT extract(epoch FROM min(q.due_at))::float8 FROM guestly.queue q WHERE q.state IN ('waiting', 'unknown')), \
              (SELECT extract(epoch FROM min(q.queued_at))::float8 FROM guestly.queue q WHERE q.state <> 'failed')",
            key = self.key(),
            table = self.table,
            payment = quote_identifier(&self.payment),
        );
        let args: [DatumWithOid; 2] = [paid.to_vec().into(), limit.into()];
        let mut found = Probed::default();
        // guestly_attach() lets the owner read the tables of ours.
        as_owner(&self.owner, || {
            statement::rows(&sql, &args, |row| {
                match row.get::<String>(1)? {
                    Some(id) => found.open.push((id, row.get(2)?)),
                    None => {
                        found.ready = row.get(3)?.unwrap_or_default();
                        (found.next_due, found.oldest) = (row.get::<f64>(4)?.map(time), row.get::<f64>(5)?.map(time));
                    }
                }
                Ok(())
            })
        })?;
        Ok(found)
    }

    /// Every paid booking, created since then where the table says when (seconds since the epoch).
    pub fn paid(&self, paid: &[String], since: Option<f64>) -> Result<Vec<Paid>> {
        let sql = format!(
            "SELECT {}::text, b.guestly_reservation_id, left({}, 10), {} FROM {} b WHERE b.{}::text = ANY ($1) \
             AND ($2::float8 IS NULL OR coalesce((to_jsonb(b) ->> 'created_at')::timestamptz >= to_timestamp($2), true))",
            self.key(),
            self.column(Field::CheckIn),
            self.column(Field::Reference),
            self.table,
            quote_identifier(&self.payment),
        );
        as_owner(&self.owner, || {
            statement::rows(&sql, &[paid.to_vec().into(), since.into()], |row| {
                Ok(Paid {
                    booking_id: text(row, 1)?,
                    reservation_id: row.get(2)?,
                    arrival: row.get(3)?,
                    reference: row.get(4)?,
                })
            })
        })
    }

    /// Paid bookings whose guests arrive on those days, 200 at most; none where the table has no day of arrival.
    pub fn arriving(&self, paid: &[String], first: &str, last: &str) -> Result<Vec<String>> {
        let Some(arrival) = self.arrival.as_ref().map(quote_identifier) else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT {}::text FROM {} b WHERE b.{}::text = ANY ($1) AND b.{arrival}::date BETWEEN $2::date AND $3::date \
             ORDER BY b.{arrival} LIMIT 200",
            self.key(),
            self.table,
            quote_identifier(&self.payment)
        );
        as_owner(&self.owner, || {
            statement::rows(&sql, &[paid.to_vec().into(), first.into(), last.into()], |row| text(row, 1))
        })
    }

    /// The different statuses of paid bookings, a hundred at most.
    pub fn statuses(&self, paid: &[String]) -> Result<Vec<String>> {
        let (status, payment) = (self.column(Field::Status), quote_identifier(&self.payment));
        let sql = format!(
            "SELECT DISTINCT coalesce({status}, '') FROM {} b WHERE b.{payment}::text = ANY ($1) LIMIT 100",
            self.table
        );
        as_owner(&self.owner, || statement::rows(&sql, &[paid.to_vec().into()], |row| text(row, 1)))
    }

    /// Checks one mapping expression without running it. Errors: what is wrong with it.
    pub fn check(&self, expression: &str) -> Result<()> {
        // In order of the key: it is read beside the key later, where an aggregate is an error.
        let sql = format!("SELECT ({expression}\n)::text FROM {} b WHERE false ORDER BY {}", self.table, self.key());
        as_owner(&self.owner, || statement::check(&sql))
    }

    fn key(&self) -> String {
        format!("b.{}", quote_identifier(&self.key))
    }

    fn by_key(&self) -> String {
        format!("{} = ANY ($1::text[]::{}[])", self.key(), self.key_type)
    }

    fn column(&self, field: Field) -> String {
        match self.expressions.get(field as usize) {
            Some(Some(expression)) => format!("({expression}\n)::text"),
            _ => "NULL::text".to_owned(),
        }
    }
}

/// What the probe found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probed {
    /// Paid bookings that no trigger queued, with their days of arrival.
    pub open: Vec<(String, Option<String>)>,
    /// Something may go now.
    pub ready: bool,
    /// When something is due again.
    pub next_due: Option<DateTime<Utc>>,
    /// Since when the oldest waits.
    pub oldest: Option<DateTime<Utc>>,
}

/// The words that stand in `guestly_sync_error`.
pub fn error_column(class: ErrorClass, sentence: &str) -> String {
    format!("{}: {sentence}", class.as_str())
}

/// The expressions in the order of [`Field::ALL`].
fn mapped(fields: &[String], expressions: &[String]) -> Vec<Option<String>> {
    let map: HashMap<&str, &String> = fields.iter().map(String::as_str).zip(expressions).collect();
    Field::ALL.iter().map(|field| map.get(field.name()).map(|expression| (*expression).clone())).collect()
}

fn words(row: &statement::Tuple, column: usize) -> Result<Vec<String>> {
    Ok(row.get::<Vec<String>>(column)?.unwrap_or_default())
}

fn text(row: &statement::Tuple, column: usize) -> Result<String> {
    Ok(row.get::<String>(column)?.unwrap_or_default())
}
