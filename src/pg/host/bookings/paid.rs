//! Paid bookings of the source table. `paid_statuses` are the payment statuses that mean paid, in lower case. Part of
//! `pg::host::bookings`; main thread only.

use pgrx::spi::quote_identifier;

use super::{Bookings, Paid, day, text};
use crate::domain::field::Field;
use crate::pg::db::session::{Result, as_owner};
use crate::pg::{db::statement, host_code};

impl Bookings {
    /// Every paid booking; if the table has `created_at`, those created after `since` (seconds since the Unix epoch).
    pub fn paid(&self, paid_statuses: &[String], since: Option<f64>) -> Result<Vec<Paid>> {
        let sql = format!(
            "SELECT {}::text, b.guestly_reservation_id, {}, {}, {}, b.{}::text FROM {} b WHERE {} \
             AND ($2::float8 IS NULL OR coalesce((pg_catalog.to_jsonb(b) OPERATOR (pg_catalog.->>) 'created_at')::timestamptz \
             OPERATOR (pg_catalog.>=) pg_catalog.to_timestamp($2), true))",
            self.key(),
            self.column(Field::CheckIn),
            self.column(Field::CheckOut),
            self.column(Field::Reference),
            quote_identifier(&self.payment),
            self.table(),
            self.is_paid(),
        );
        as_owner(&self.owner, || {
            statement::rows(&sql, &[paid_statuses.to_vec().into(), since.into()], |row| {
                Ok(Paid {
                    booking_id: text(row, 1)?,
                    reservation_id: row.get(2)?,
                    arrival: day(row, 3)?,
                    departure: day(row, 4)?,
                    reference: row.get(5)?,
                    payment_status: row.get(6)?,
                })
            })
        })
    }

    /// Paid bookings without a reservation.
    pub fn unsent(&self, paid_statuses: &[String]) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT {}::text FROM {} b WHERE b.guestly_reservation_id IS NULL AND {}",
            self.key(),
            self.table(),
            self.is_paid()
        );
        let read = || statement::rows(&sql, &[paid_statuses.to_vec().into()], |row| text(row, 1));
        host_code::for_table(|| host_code::as_owner_in_time(&self.owner, read))
    }

    /// Paid bookings with arrivals from `first` to `last`, at most 200; none if the table has no column for the day of arrival.
    pub fn arriving(&self, paid_statuses: &[String], first: &str, last: &str) -> Result<Vec<String>> {
        let Some(arrival) = self.arrival.as_ref().map(quote_identifier) else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT {}::text FROM {} b WHERE {} AND b.{arrival}::date BETWEEN $2::date AND $3::date \
             ORDER BY b.{arrival} LIMIT 200",
            self.key(),
            self.table(),
            self.is_paid()
        );
        host_code::as_owner_in_time(&self.owner, || {
            statement::rows(&sql, &[paid_statuses.to_vec().into(), first.into(), last.into()], |row| text(row, 1))
        })
    }

    /// The distinct statuses of paid bookings, at most a hundred.
    pub fn statuses(&self, paid_statuses: &[String]) -> Result<Vec<String>> {
        let (status, paid) = (self.column(Field::Status), self.is_paid());
        let sql = format!("SELECT DISTINCT coalesce({status}, '') FROM {} b WHERE {paid} LIMIT 100", self.table());
        as_owner(&self.owner, || statement::rows(&sql, &[paid_statuses.to_vec().into()], |row| text(row, 1)))
    }

    /// The condition "the row is paid", with the statuses as `$1`: compared as in the trigger and in `domain`, without regard to
    /// case and surrounding white space. The index for the sweep has the same expression.
    pub(super) fn is_paid(&self) -> String {
        let payment = quote_identifier(&self.payment);
        format!(
            "pg_catalog.lower(pg_catalog.btrim(b.{payment}::text, E' \\t\\n\\r\\f') COLLATE \"C\") OPERATOR (pg_catalog.=) ANY ($1)"
        )
    }
}
