//! What `pg::bookings` takes and gives, as plain values. Made and read on the main thread.

use chrono::NaiveDate;

use super::error_column;
use crate::domain::error::Problem;
use crate::pg::db::convert::signed;

/// One write to the five columns of a booking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteBack {
    /// The primary key, as text.
    pub booking_id: String,
    /// `pending`, `synced` or `failed`.
    pub status: &'static str,
    /// Guestly's id; none leaves the column as it is.
    pub reservation_id: Option<String>,
    /// `<class>: <sentence>`; none clears it.
    pub error: Option<String>,
    /// Tries since it was queued afresh.
    pub attempts: i32,
    /// Nothing has happened: a row that says the same already is left alone.
    pub idle: bool,
}

/// What [`super::Bookings::lock`] found.
#[derive(Default)]
pub struct Locked {
    /// Locked by us until the end of the transaction.
    pub locked: Vec<String>,
    /// All that exist; what exists and is not locked is held by somebody else.
    pub exist: Vec<String>,
}

impl Locked {
    /// Somebody else holds it.
    pub fn is_busy(&self, booking_id: &str) -> bool {
        self.is_there(booking_id) && !self.locked.iter().any(|id| id == booking_id)
    }

    /// It exists.
    pub fn is_there(&self, booking_id: &str) -> bool {
        self.exist.iter().any(|id| id == booking_id)
    }
}

/// A paid booking.
pub struct Paid {
    /// The primary key, as text.
    pub booking_id: String,
    /// What the host's row says Guestly calls it.
    pub reservation_id: Option<String>,
    /// Day of arrival.
    pub arrival: Option<NaiveDate>,
    /// Day of departure.
    pub departure: Option<NaiveDate>,
    /// The host's reference.
    pub reference: Option<String>,
    /// As the host wrote it.
    pub payment_status: Option<String>,
}

impl WriteBack {
    /// Still on its way, or failed; with the problem, if there is one.
    pub fn unsynced(booking_id: &str, status: &'static str, problem: Option<&Problem>, attempts: u32) -> Self {
        Self {
            booking_id: booking_id.to_owned(),
            status,
            reservation_id: None,
            error: problem.map(|problem| error_column(problem.class, &problem.sentence)),
            attempts: signed(attempts),
            idle: false,
        }
    }

    /// Guestly holds it.
    pub fn synced(booking_id: &str, reservation_id: &str, attempts: u32) -> Self {
        Self {
            booking_id: booking_id.to_owned(),
            status: "synced",
            reservation_id: Some(reservation_id.to_owned()),
            error: None,
            attempts: signed(attempts),
            idle: false,
        }
    }
}
