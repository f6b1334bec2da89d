//! Writing outcomes down: what becomes of the queue row, the reservation, the booking's five columns and the log, in one
//! short transaction for all that have come in. Main thread only.
//!
//! The bookings are locked first, then the rows of the queue, both without waiting: a sale that is busy with one must not
//! wait for us, nor we for it. What cannot be written yet stays in memory and is tried again until it commits.

use std::cell::Cell;
use std::collections::HashSet;

use super::alerts::{self, Raised};
use super::bookings::{Bookings, Locked, WriteBack, error_column};
use super::queue::{self, Attempt, Due, Held, Kept};
use super::session::{Result, SqlError};
use crate::domain::alert::AlertKind;
use crate::domain::error::{ErrorClass, Problem};

pub mod at_exit;
mod each;
mod ids;
mod patience;

pub use each::{record_all, record_one};
pub use patience::{Access, Patience};

thread_local! {
    // Only here it is known whether a reservation belongs to its booking; the worker asks afterwards.
    static SUCCEEDED: Cell<bool> = const { Cell::new(false) };
}

/// True once after a call that told about a reservation of its booking was recorded in this process.
pub fn take_succeeded() -> bool {
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
pub struct Change {
    /// The booking.
    pub booking_id: String,
    /// The host's reference, where it is known.
    pub reference: Option<String>,
    /// The fence; none for a row that was decided without a call and is locked by this transaction.
    pub claim: Option<i64>,
    /// What stays in the queue; none if the booking leaves it.
    pub kept: Option<Kept>,
    /// What Guestly holds now.
    pub held: Option<Held>,
    /// What the host's row says from now on; none leaves it alone.
    pub write: Option<WriteBack>,
    /// The log.
    pub attempt: Option<Attempt>,
    /// Cancelled before it was sent: the sweep must not find it again.
    pub withdrawn: bool,
    /// The booking was deleted, and Guestly holds it or may hold it: what a person should look for.
    pub deleted: Option<Deleted>,
    /// The total that Guestly reports differs from what was paid, in words.
    pub price: Option<String>,
    /// Guestly answered with another booking's reservation: the owner hears of it although the booking goes on.
    pub mismatch: bool,
}

/// What Guestly holds of a booking that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// Perhaps something: nobody knows what became of its create.
    InDoubt,
    /// This reservation.
    Held(String),
}

impl Change {
    /// What Guestly holds now, as it is kept.
    pub fn reservation(&self) -> Option<(String, Held)> {
        Some((self.booking_id.clone(), self.held.clone()?))
    }
}

/// `refused` says whether it is the host's row that cannot be written.
fn record(bookings: Option<&Bookings>, changes: Vec<Change>, refused: &Cell<Refused>) -> Result<Vec<Change>> {
    let changes = ids::refuse_taken(changes)?;
    let ids: Vec<String> =
        changes.iter().filter(|change| change.write.is_some()).map(|change| change.booking_id.clone()).collect();
    let locked = match bookings {
        Some(bookings) if !ids.is_empty() => bookings.lock(&ids).inspect_err(|_| refused.set(Refused::Lock))?,
        _ => Locked::default(),
    };
    let busy = |change: &Change| change.write.is_some() && locked.is_busy(&change.booking_id);
    let (mut postponed, mut now): (Vec<Change>, Vec<Change>) = changes.into_iter().partition(busy);
    for change in &mut now {
        if bookings.is_some() && change.write.is_some() && !locked.is_there(&change.booking_id) {
            forget(change);
        }
    }
    let ours = fenced(&now)?;
    let others: Vec<_> =
        now.iter().filter(|c| !ours.contains(&c.booking_id)).map(|c| (c.booking_id.clone(), c.claim)).collect();
    if !others.is_empty() {
        let locked = queue::still_ours(&others)?;
        postponed.extend(now.extract_if(.., |change| locked.contains(&change.booking_id)));
    }
    queue::keep(&now.iter().filter_map(Change::reservation).collect::<Vec<_>>())?;
    if now.iter().any(|change| change.held.is_some()) {
        SUCCEEDED.set(true);
    }
    // A late answer whose claim was taken over changes the row only if it brings a reservation.
    let counts = |change: &&Change| ours.contains(&change.booking_id) || change.held.is_some();
    let writes: Vec<&WriteBack> = now.iter().filter(counts).filter_map(|change| change.write.as_ref()).collect();
    if let (Some(bookings), false) = (bookings, writes.is_empty()) {
        bookings.write(&writes).inspect_err(|_| refused.set(Refused::Write))?;
    }
    let alerts: Vec<Raised> =
        now.iter().filter(counts).flat_map(|change| [alert(change), price_alert(change)]).flatten().collect();
    alerts::raise(&alerts)?;
    let withdrawn: Vec<String> = now.iter().filter(|c| c.withdrawn).map(|c| c.booking_id.clone()).collect();
    if !withdrawn.is_empty() {
        queue::withdraw(withdrawn)?;
    }
    let log: Vec<Attempt> = now.iter().filter_map(|change| change.attempt.clone()).collect();
    if !log.is_empty() {
        queue::log(&log)?;
    }
    Ok(postponed)
}

/// What the owner should hear about it.
fn alert(change: &Change) -> Option<Raised> {
    if let Some(deleted) = &change.deleted {
        let (class, sentence) = match deleted {
            Deleted::InDoubt => (
                Some(ErrorClass::UnknownOutcome),
                "the booking was deleted while its outcome at Guestly was unknown".to_owned(),
            ),
            Deleted::Held(id) => (None, format!("the booking was deleted, and Guestly holds reservation {id}")),
        };
        return Some(Raised {
            booking_id: Some(change.booking_id.clone()),
            reference: change.reference.clone(),
            class,
            ..Raised::new(AlertKind::Deleted, sentence)
        });
    }
    let failed = change
        .kept
        .as_ref()
        .filter(|kept| kept.state == "failed" || change.mismatch)
        .and_then(|kept| kept.problem.as_ref());
    let adopted = change.held.as_ref().is_some_and(|held| held.adopted);
    let doubled = change.attempt.as_ref().filter(|_| adopted).and_then(|attempt| attempt.problem.as_ref());
    let (kind, problem) = match (failed, doubled) {
        (Some(problem), _) => (AlertKind::of_failure(problem.class), problem),
        (None, Some(problem)) => (AlertKind::TwoReservations, problem),
        (None, None) => return None,
    };
    Some(Raised {
        booking_id: Some(change.booking_id.clone()),
        reference: change.reference.clone(),
        arrival: change.held.as_ref().and_then(|held| held.update.snapshot.check_in),
        class: Some(problem.class),
        ..Raised::new(kind, problem.sentence.clone())
    })
}

/// The reservation stands whatever its price.
fn price_alert(change: &Change) -> Option<Raised> {
    Some(Raised {
        booking_id: Some(change.booking_id.clone()),
        reference: change.reference.clone(),
        ..Raised::new(AlertKind::PriceDiffers, change.price.clone()?)
    })
}

/// The booking was deleted meanwhile: nothing to write back, nothing left to do.
fn forget(change: &mut Change) {
    change.write = None;
    let kept = change.kept.take();
    change.deleted = match &change.held {
        Some(held) => Some(Deleted::Held(held.reservation_id.clone())),
        None => kept.filter(|kept| kept.uncertain_since.is_some()).map(|_| Deleted::InDoubt),
    };
    let gone = Problem::new(ErrorClass::InvalidBooking, "the booking was deleted");
    if let Some(attempt) = change.attempt.as_mut().filter(|attempt| attempt.problem.is_none() && change.held.is_none())
    {
        attempt.problem = Some(gone);
    }
}

fn fenced(changes: &[Change]) -> Result<HashSet<String>> {
    let mut ours = HashSet::new();
    let leave: Vec<_> = changes.iter().filter(|c| c.kept.is_none()).map(|c| (c.booking_id.clone(), c.claim)).collect();
    let stay: Vec<_> = changes.iter().filter_map(|c| Some((c.booking_id.clone(), c.claim, c.kept.clone()?))).collect();
    if !leave.is_empty() {
        ours.extend(queue::finish(&leave)?);
    }
    if !stay.is_empty() {
        ours.extend(queue::record(&stay)?);
    }
    Ok(ours)
}

/// What a write that raises for ever becomes: failed with the trigger's own words, in the booking's row too if that much is
/// allowed; the reservation is kept.
fn park(change: Change, error: &SqlError) -> Change {
    let problem = Problem::new(ErrorClass::Internal, format!("the booking's row cannot be written: {}", error.words()));
    // A synced one leaves no doubt: its reservation is kept beside it.
    let synced = || Kept::failed(change.write.as_ref().map_or(0, |write| write.attempts.unsigned_abs()));
    let words = error_column(problem.class, &problem.sentence);
    let write = change.write.clone().map(|write| WriteBack { status: "failed", error: Some(words), ..write });
    let kept = Kept { problem: Some(problem.clone()), ..change.kept.unwrap_or_else(synced) };
    let attempt = change.attempt.map(|attempt| Attempt { problem: Some(problem), ..attempt });
    Change { kept: Some(kept), write, attempt, ..change }
}

impl Kept {
    /// A row that waits for a person.
    pub fn failed(attempts: u32) -> Self {
        Self {
            state: "failed",
            attempts,
            due: None,
            uncertain_since: None,
            look_ups: 0,
            failed_reads: 0,
            unconfirmed_creates: 0,
            pending_refusal: None,
            verify_first: false,
            held: false,
            problem: None,
        }
    }

    /// The same; what Guestly may hold by now is asked for before the next create, whenever that comes.
    pub fn failed_in_doubt(due: &Due, attempts: u32) -> Self {
        Self {
            uncertain_since: due.uncertain_since,
            look_ups: due.look_ups,
            failed_reads: due.failed_reads,
            unconfirmed_creates: due.unconfirmed_creates,
            verify_first: due.verify_first,
            ..Self::failed(attempts)
        }
    }
}

impl WriteBack {
    /// Still on its way, or failed; with the problem, if there is one.
    pub fn unsynced(booking_id: &str, status: &'static str, problem: Option<&Problem>, attempts: u32) -> Self {
        Self {
            booking_id: booking_id.to_owned(),
            status,
            reservation_id: None,
            error: problem.map(|problem| error_column(problem.class, &problem.sentence)),
            attempts: queue::signed(attempts),
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
            attempts: queue::signed(attempts),
            idle: false,
        }
    }
}
