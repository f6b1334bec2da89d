//! Parameters and results of `pg::host::bookings`. Plain values, used on the main thread.

use chrono::NaiveDate;

use crate::domain::error::{ErrorClass, Problem};
use crate::pg::db::convert::signed;

/// One write to the five columns of a booking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteBack {
    /// The primary key, as text.
    pub booking_id: String,
    /// `pending`, `synced` or `failed`.
    pub status: &'static str,
    /// Guestly's id; `None` leaves the column unchanged.
    pub reservation_id: Option<String>,
    /// `<class>: <sentence>`; `None` clears the column.
    pub error: Option<String>,
    /// Attempts since the booking was last queued.
    pub attempts: i32,
    /// No call was made: a row with the same values is not written again.
    pub idle: bool,
}

/// The result of [`super::Bookings::lock`].
#[derive(Default)]
pub struct Locked {
    /// Locked by this transaction.
    pub locked: Vec<String>,
    /// All existing rows; those not in `locked` are locked by another transaction.
    pub exist: Vec<String>,
}

impl Locked {
    /// True if the row exists and another transaction has locked it.
    pub fn is_locked_elsewhere(&self, booking_id: &str) -> bool {
        self.exists(booking_id) && !self.locked.iter().any(|id| id == booking_id)
    }

    /// True if the row exists.
    pub fn exists(&self, booking_id: &str) -> bool {
        self.exist.iter().any(|id| id == booking_id)
    }
}

/// A paid booking.
pub struct Paid {
    /// The primary key, as text.
    pub booking_id: String,
    /// The reservation id in the host's row.
    pub reservation_id: Option<String>,
    /// Day of arrival.
    pub arrival: Option<NaiveDate>,
    /// Day of departure.
    pub departure: Option<NaiveDate>,
    /// The host's reference.
    pub reference: Option<String>,
    /// The payment status, as the host wrote it.
    pub payment_status: Option<String>,
}

impl WriteBack {
    /// A booking that is pending or has failed, with its problem, if any.
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

    /// The booking is in Guestly.
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

/// The text for `guestly_sync_error`.
pub fn error_column(class: ErrorClass, sentence: &str) -> String {
    format!("{}: {sentence}", class.as_str())
}
