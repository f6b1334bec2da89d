//! What the statements of `pg::queue` take and give, as plain values. Made and read on the main thread; travels through the
//! sender threads inside a job, untouched.

use chrono::{DateTime, Utc};

use crate::domain::error::{ErrorClass, Problem};
use crate::domain::snapshot::RemoteReservation;
use crate::domain::transition::SnapshotUpdate;

/// A queue row that may go now, locked until the claim is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// The booking.
    pub booking_id: String,
    /// Tries since it was queued afresh.
    pub attempts: u32,
    /// A person asked for it, paid or not.
    pub force: bool,
    /// Ask Guestly before creating.
    pub verify_first: bool,
    /// Since when a create of unknown outcome may be taking effect.
    pub uncertain_since: Option<DateTime<Utc>>,
    /// Look-ups since then that found nothing.
    pub look_ups: u32,
    /// Reads in a row that brought no answer that can be read.
    pub failed_reads: u32,
    /// Creates of unknown outcome.
    pub unconfirmed_creates: u32,
    /// A refusal that waits to be confirmed.
    pub pending_refusal: Option<ErrorClass>,
    /// Why the row is where it is.
    pub problem: Option<Problem>,
    /// The confirmation code of the first create.
    pub code: Option<String>,
    /// The reservation that the booking's row names and Guestly does not hold: looked up by the code instead.
    pub missing_reservation: Option<String>,
    /// The row of `guestly.reservations`.
    pub remote: Option<RemoteReservation>,
    /// It waited for a time of its own, with nothing unclear about what Guestly holds.
    pub waited: bool,
    /// The claim of a call that has ended or died, where somebody changed the row during it.
    pub claim: Option<i64>,
}

/// What stays of a booking in the queue after an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The new state.
    pub state: &'static str,
    /// Tries.
    pub attempts: u32,
    /// When it is due; none leaves the time as it is.
    pub due: Option<DateTime<Utc>>,
    /// See [`Due`].
    pub uncertain_since: Option<DateTime<Utc>>,
    /// See [`Due`].
    pub look_ups: u32,
    /// See [`Due`].
    pub failed_reads: u32,
    /// See [`Due`].
    pub unconfirmed_creates: u32,
    /// See [`Due`].
    pub pending_refusal: Option<ErrorClass>,
    /// Ask Guestly before creating, or read back what it holds.
    pub verify_first: bool,
    /// Guestly holds it: of its create, nothing is left to be known.
    pub held: bool,
    /// Why.
    pub problem: Option<Problem>,
}

/// One row of `guestly.attempts`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The booking; none for a token request.
    pub booking_id: Option<String>,
    /// Which try.
    pub attempt: u32,
    /// The name of an operation (`domain::operation::Operation`), or what was done without a call.
    pub operation: &'static str,
    /// When it began.
    pub started: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub duration_ms: i32,
    /// The status, where there was an answer.
    pub http_status: Option<u16>,
    /// What it came to, in one word.
    pub outcome: &'static str,
    /// What was wrong.
    pub problem: Option<Problem>,
    /// `x-request-id`.
    pub request_id: Option<String>,
}

/// What Guestly is known to hold now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    /// Guestly's id.
    pub reservation_id: String,
    /// Its confirmation code.
    pub code: String,
    /// Found instead of created.
    pub adopted: bool,
    /// What a call told; what it did not tell stays as it was.
    pub update: SnapshotUpdate,
    /// What the guest paid, to be compared with the total that Guestly reports.
    pub paid: Option<f64>,
}

/// May this server send?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// `guestly_pause()` was called.
    pub paused: bool,
    /// Sending is allowed on this server and database.
    pub armed: bool,
    /// Version of the SQL objects.
    pub version: Option<String>,
}
