//! The outcome of one booking, as rows to be written. Part of `pg::record_outcomes`; main thread only.

use crate::domain::error::{ErrorClass, Problem};
use crate::pg::db::session::SqlError;
use crate::pg::host::bookings::{WriteBack, error_column};
use crate::pg::store::attempts::Attempt;
use crate::pg::store::queue::QueueUpdate;
use crate::pg::store::reservations::ReservationUpdate;

/// The outcome of one booking, as rows to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeRows {
    /// The booking.
    pub booking_id: String,
    /// The host's reference, if it is known.
    pub reference: Option<String>,
    /// The confirmation code of the create, if it is known.
    pub code: Option<String>,
    /// The fencing token of the claim; `None` for a row that needed no call and is locked by this transaction.
    pub claim_id: Option<i64>,
    /// The new state of the queue row; `None` if the booking leaves the queue.
    pub queue_update: Option<QueueUpdate>,
    /// New facts about the reservation.
    pub reservation_update: Option<ReservationUpdate>,
    /// The write to the booking's five columns; `None` leaves them unchanged.
    pub write_back: Option<WriteBack>,
    /// The row for the log.
    pub attempt: Option<Attempt>,
    /// Cancelled before it was sent: the sweep ignores it from now on.
    pub withdrawn: bool,
    /// The booking was deleted although Guestly has or may have its reservation.
    pub deleted: Option<Deleted>,
    /// A sentence, if the total that Guestly reports differs from the amount paid.
    pub price: Option<String>,
    /// Guestly answered with another booking's reservation: an alert, although the booking continues.
    pub mismatch: bool,
}

/// The reservation of a booking that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It may exist: the outcome of its create is unknown.
    Uncertain,
    /// This reservation.
    Remote(String),
}

impl OutcomeRows {
    /// The reservation with its booking, as it is stored.
    pub fn reservation(&self) -> Option<(String, ReservationUpdate)> {
        Some((self.booking_id.clone(), self.reservation_update.clone()?))
    }
}

/// The booking was deleted meanwhile: it leaves the queue, and nothing is written back.
pub(super) fn forget(outcome: &mut OutcomeRows) {
    outcome.write_back = None;
    // After a rebooking, the reservation is found by its code and not by the reference.
    outcome.reference = outcome.code.take().or(outcome.reference.take());
    let queue_update = outcome.queue_update.take();
    outcome.deleted = match &outcome.reservation_update {
        Some(reservation_update) => Some(Deleted::Remote(reservation_update.reservation_id.clone())),
        None => queue_update.filter(|queue_update| queue_update.uncertain_since.is_some()).map(|_| Deleted::Uncertain),
    };
    let gone = Problem::new(ErrorClass::InvalidBooking, "the booking was deleted");
    if let Some(attempt) =
        outcome.attempt.as_mut().filter(|attempt| attempt.problem.is_none() && outcome.reservation_update.is_none())
    {
        attempt.problem = Some(gone);
    }
}

/// The rows of an outcome whose write raised too often: the booking fails with the trigger's message, also in its own row if the
/// trigger allows that write; the reservation is stored.
pub(super) fn park(outcome: OutcomeRows, error: &SqlError) -> OutcomeRows {
    let problem =
        Problem::new(ErrorClass::Internal, format!("the booking's row cannot be written: {}", error.safe_message()));
    // A synced booking is certain: its reservation is stored.
    let synced = || QueueUpdate::failed(outcome.write_back.as_ref().map_or(0, |write| write.attempts.unsigned_abs()));
    let words = error_column(problem.class, &problem.sentence);
    let write = outcome.write_back.clone().map(|write| WriteBack { status: "failed", error: Some(words), ..write });
    let queue_update = QueueUpdate { problem: Some(problem.clone()), ..outcome.queue_update.unwrap_or_else(synced) };
    let attempt = outcome.attempt.map(|attempt| Attempt { problem: Some(problem), ..attempt });
    OutcomeRows { queue_update: Some(queue_update), write_back: write, attempt, ..outcome }
}
