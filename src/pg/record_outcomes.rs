//! Records outcomes: queue row, reservation, the booking's five columns and the log, in one short transaction for all outcomes
//! that have arrived. Main thread only.
//!
//! The bookings are locked first, then the queue rows, both with SKIP LOCKED: neither a sale nor the worker waits for the other.
//! An outcome that cannot be written yet stays in memory and is retried until it commits.

use std::cell::Cell;
use std::collections::HashSet;

use super::db::session::{Result, SqlError};
use super::host::bookings::{Bookings, Locked, WriteBack, error_column};
use super::store;
use super::store::alerts::Raised;
use super::store::attempts::Attempt;
use super::store::queue::{QueueState, QueueUpdate};
use super::store::reservations::ReservationUpdate;
use crate::domain::alert::AlertKind;
use crate::domain::error::{ErrorClass, Problem};

pub mod at_exit;
mod ids;
mod retry;
mod write_retries;

pub use retry::{record_all, record_one};
pub use write_retries::{Access, WriteRetries};

thread_local! {
    // Only here it is known whether a reservation belongs to its booking; the worker asks afterwards.
    static SUCCEEDED: Cell<bool> = const { Cell::new(false) };
}

/// True once after a call that told about a reservation of its booking was recorded in this process.
pub fn take_success() -> bool {
    SUCCEEDED.take()
}

/// The part of the work on the host's row that cannot be done.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Refused {
    /// It is not the host's row.
    #[default]
    Nothing,
    /// Locking it. That waits for no other row: the whole table is locked.
    Lock,
    /// Writing it.
    Write,
}

/// The outcome of one booking, as rows to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeRows {
    /// The booking.
    pub booking_id: String,
    /// The host's reference, where it is known.
    pub reference: Option<String>,
    /// The fencing token; none for a row that was decided without a call and is locked by this transaction.
    pub claim_id: Option<i64>,
    /// The new state of the queue row; none if the booking leaves the queue.
    pub queue_update: Option<QueueUpdate>,
    /// The reservation as it is known now.
    pub reservation_update: Option<ReservationUpdate>,
    /// The write to the booking's five columns; none leaves them alone.
    pub write_back: Option<WriteBack>,
    /// The log.
    pub attempt: Option<Attempt>,
    /// Cancelled before it was sent: the sweep leaves it alone.
    pub withdrawn: bool,
    /// The booking was deleted although Guestly has or may have its reservation.
    pub deleted: Option<Deleted>,
    /// The total that Guestly reports differs from what was paid, in words.
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

/// `refused` says whether it is the host's row that cannot be written.
fn record(bookings: Option<&Bookings>, changes: Vec<OutcomeRows>, refused: &Cell<Refused>) -> Result<Vec<OutcomeRows>> {
    let changes = ids::refuse_taken(changes)?;
    let ids: Vec<String> =
        changes.iter().filter(|change| change.write_back.is_some()).map(|change| change.booking_id.clone()).collect();
    let locked = match bookings {
        Some(bookings) if !ids.is_empty() => bookings.lock(&ids).inspect_err(|_| refused.set(Refused::Lock))?,
        _ => Locked::default(),
    };
    let busy = |change: &OutcomeRows| change.write_back.is_some() && locked.is_busy(&change.booking_id);
    let (mut postponed, mut now): (Vec<OutcomeRows>, Vec<OutcomeRows>) = changes.into_iter().partition(busy);
    for change in &mut now {
        if bookings.is_some() && change.write_back.is_some() && !locked.is_there(&change.booking_id) {
            forget(change);
        }
    }
    let ours = fenced(&now)?;
    let others: Vec<_> =
        now.iter().filter(|c| !ours.contains(&c.booking_id)).map(|c| (c.booking_id.clone(), c.claim_id)).collect();
    if !others.is_empty() {
        let locked = store::queue::claims_in_force(&others)?;
        postponed.extend(now.extract_if(.., |change| locked.contains(&change.booking_id)));
    }
    store::reservations::upsert(&now.iter().filter_map(OutcomeRows::reservation).collect::<Vec<_>>())?;
    if now.iter().any(|change| change.reservation_update.is_some()) {
        SUCCEEDED.set(true);
    }
    // A late answer whose claim was taken over changes the row only if it brings a reservation.
    let counts = |change: &&OutcomeRows| ours.contains(&change.booking_id) || change.reservation_update.is_some();
    let writes: Vec<&WriteBack> = now.iter().filter(counts).filter_map(|change| change.write_back.as_ref()).collect();
    if let (Some(bookings), false) = (bookings, writes.is_empty()) {
        bookings.write(&writes).inspect_err(|_| refused.set(Refused::Write))?;
    }
    let alerts: Vec<Raised> =
        now.iter().filter(counts).flat_map(|change| [alert(change), price_alert(change)]).flatten().collect();
    store::alerts::raise(&alerts)?;
    let withdrawn: Vec<String> = now.iter().filter(|c| c.withdrawn).map(|c| c.booking_id.clone()).collect();
    if !withdrawn.is_empty() {
        store::sweep::exclude_withdrawn(withdrawn)?;
    }
    let log: Vec<Attempt> = now.iter().filter_map(|change| change.attempt.clone()).collect();
    if !log.is_empty() {
        store::attempts::add(&log)?;
    }
    Ok(postponed)
}

/// The alert about a failure, a deletion or a duplicate.
fn alert(change: &OutcomeRows) -> Option<Raised> {
    if let Some(deleted) = &change.deleted {
        let (class, sentence) = match deleted {
            Deleted::Uncertain => (
                Some(ErrorClass::UnknownOutcome),
                "the booking was deleted while its outcome at Guestly was unknown".to_owned(),
            ),
            Deleted::Remote(id) => (None, format!("the booking was deleted, and Guestly holds reservation {id}")),
        };
        return Some(Raised {
            booking_id: Some(change.booking_id.clone()),
            reference: change.reference.clone(),
            class,
            ..Raised::new(AlertKind::Deleted, sentence)
        });
    }
    let failed = change
        .queue_update
        .as_ref()
        .filter(|queue_update| queue_update.state == QueueState::Failed || change.mismatch)
        .and_then(|queue_update| queue_update.problem.as_ref());
    let adopted = change.reservation_update.as_ref().is_some_and(|reservation_update| reservation_update.adopted);
    let doubled = change.attempt.as_ref().filter(|_| adopted).and_then(|attempt| attempt.problem.as_ref());
    let (kind, problem) = match (failed, doubled) {
        (Some(problem), _) => (AlertKind::of_failure(problem.class), problem),
        (None, Some(problem)) => (AlertKind::TwoReservations, problem),
        (None, None) => return None,
    };
    Some(Raised {
        booking_id: Some(change.booking_id.clone()),
        reference: change.reference.clone(),
        arrival: change
            .reservation_update
            .as_ref()
            .and_then(|reservation_update| reservation_update.update.snapshot.check_in),
        class: Some(problem.class),
        ..Raised::new(kind, problem.sentence.clone())
    })
}

/// The reservation stands whatever its price.
fn price_alert(change: &OutcomeRows) -> Option<Raised> {
    Some(Raised {
        booking_id: Some(change.booking_id.clone()),
        reference: change.reference.clone(),
        ..Raised::new(AlertKind::PriceDiffers, change.price.clone()?)
    })
}

/// The booking was deleted meanwhile: nothing to write back, nothing left to do.
fn forget(change: &mut OutcomeRows) {
    change.write_back = None;
    let queue_update = change.queue_update.take();
    change.deleted = match &change.reservation_update {
        Some(reservation_update) => Some(Deleted::Remote(reservation_update.reservation_id.clone())),
        None => queue_update.filter(|queue_update| queue_update.uncertain_since.is_some()).map(|_| Deleted::Uncertain),
    };
    let gone = Problem::new(ErrorClass::InvalidBooking, "the booking was deleted");
    if let Some(attempt) =
        change.attempt.as_mut().filter(|attempt| attempt.problem.is_none() && change.reservation_update.is_none())
    {
        attempt.problem = Some(gone);
    }
}

fn fenced(changes: &[OutcomeRows]) -> Result<HashSet<String>> {
    let mut ours = HashSet::new();
    let leave: Vec<_> =
        changes.iter().filter(|c| c.queue_update.is_none()).map(|c| (c.booking_id.clone(), c.claim_id)).collect();
    let stay: Vec<_> =
        changes.iter().filter_map(|c| Some((c.booking_id.clone(), c.claim_id, c.queue_update.clone()?))).collect();
    if !leave.is_empty() {
        ours.extend(store::queue::delete_done(&leave)?);
    }
    if !stay.is_empty() {
        ours.extend(store::queue::update(&stay)?);
    }
    Ok(ours)
}

/// The rows of an outcome whose write raises again and again: failed with the trigger's own words, also in the booking's row if the
/// trigger allows that; the reservation is stored.
fn park(change: OutcomeRows, error: &SqlError) -> OutcomeRows {
    let problem = Problem::new(ErrorClass::Internal, format!("the booking's row cannot be written: {}", error.words()));
    // A synced booking is certain: its reservation is stored beside it.
    let synced = || QueueUpdate::failed(change.write_back.as_ref().map_or(0, |write| write.attempts.unsigned_abs()));
    let words = error_column(problem.class, &problem.sentence);
    let write = change.write_back.clone().map(|write| WriteBack { status: "failed", error: Some(words), ..write });
    let queue_update = QueueUpdate { problem: Some(problem.clone()), ..change.queue_update.unwrap_or_else(synced) };
    let attempt = change.attempt.map(|attempt| Attempt { problem: Some(problem), ..attempt });
    OutcomeRows { queue_update: Some(queue_update), write_back: write, attempt, ..change }
}
