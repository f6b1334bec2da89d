//! What Guestly holds of stays to come, and the bookings that say something else. Part of `pg::queue`: main thread only.

use pgrx::datum::DatumWithOid;

use super::due::remote;
use crate::domain::snapshot::RemoteReservation;
use crate::pg::session::Result;
use crate::pg::statement;

/// A reservation of a stay to come.
pub struct Ahead {
    /// The booking.
    pub booking_id: String,
    /// Day of departure.
    pub check_out: String,
    /// What is held.
    pub remote: RemoteReservation,
}

/// Up to `limit` of them after this day of departure and booking, in that order.
pub fn ahead(day: &str, booking_id: &str, limit: usize) -> Result<Vec<Ahead>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let args: [DatumWithOid; 3] = [day.into(), booking_id.into(), limit.into()];
    statement::rows(include_str!("../../../sql/queries/ahead.sql"), &args, |row| {
        Ok(Ahead {
            booking_id: row.get(1)?.unwrap_or_default(),
            check_out: row.get(2)?.unwrap_or_default(),
            remote: remote(row)?.unwrap_or_default(),
        })
    })
}

/// Notes bookings as changed.
pub fn note(booking_ids: Vec<String>) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/differ.sql"), &[booking_ids.into()])
}
