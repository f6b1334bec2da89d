//! Writes unrecorded outcomes when the worker ends during host code that does not end, which aborts the transaction that records
//! them. They are written to the extension's own tables only; the next worker writes the host's rows. Part of
//! `pg::record_outcomes`; main thread only.

use std::cell::{Cell, RefCell};

use chrono::Utc;

use super::record::record;
use super::rows::OutcomeRows;
use crate::pg::store::queue::{QueueState, QueueUpdate};
use crate::pg::{db::session, sys};

/// Returns the outcomes of replies that were not completed yet.
type Late = Box<dyn FnOnce() -> Vec<OutcomeRows>>;

thread_local! {
    static UNWRITTEN: RefCell<Vec<OutcomeRows>> = const { RefCell::new(Vec::new()) };
    static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
}

/// Registers the callback. Called once, by the worker.
pub fn register() {
    sys::before_exit(write);
}

/// Replaces the outcomes that are not recorded yet.
pub fn set_unrecorded<'a>(outcomes: impl IntoIterator<Item = &'a OutcomeRows>) {
    UNWRITTEN.replace(outcomes.into_iter().cloned().collect());
}

/// Removes the outcome of this booking: it is committed.
pub fn remove(booking_id: &str) {
    UNWRITTEN.with_borrow_mut(|outcomes| outcomes.retain(|outcome| outcome.booking_id != booking_id));
}

/// Sets the function that returns late outcomes at the end.
pub fn set_late_answers(late: Late) {
    LATE.replace(Some(late));
}

fn write() {
    let mut outcomes = UNWRITTEN.take();
    if let Some(late) = LATE.take() {
        outcomes.extend(late());
    }
    let outcomes: Vec<OutcomeRows> = outcomes.into_iter().filter_map(without_row).collect();
    if outcomes.is_empty() {
        return;
    }
    let written = session::transaction(c"guestly_sync: ending", || record(None, outcomes, &Cell::default()));
    if let Err(error) = written {
        pgrx::warning!(
            "guestly_sync: at exit outcomes could not be written; their reservations will be verified after restart: {error}"
        );
    }
}

/// The part of an outcome for the extension's own tables. `None` if the next worker can decide again: no call was made, or the
/// failure is verified by a look-up. A booking that Guestly has stays in the queue until its row is written.
fn without_row(outcome: OutcomeRows) -> Option<OutcomeRows> {
    let has_failed = outcome.queue_update.as_ref().is_some_and(|queue_update| queue_update.state == QueueState::Failed);
    let is_over = outcome.queue_update.is_none() || has_failed;
    if outcome.claim_id.is_none()
        || outcome.withdrawn
        || outcome.deleted.is_some()
        || (is_over && outcome.reservation_update.is_none())
    {
        return None;
    }
    let attempts = outcome.attempt.as_ref().map_or(0, |attempt| attempt.attempt);
    let row_is_due = || QueueUpdate {
        state: QueueState::Ready,
        due_at: Some(Utc::now()),
        is_created: true,
        ..QueueUpdate::failed(attempts)
    };
    Some(OutcomeRows {
        queue_update: Some(outcome.queue_update.unwrap_or_else(row_is_due)),
        write_back: None,
        ..outcome
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::host::bookings::WriteBack;
    use crate::pg::store::reservations::ReservationUpdate;

    fn outcome(reservation_update: Option<ReservationUpdate>, queue_update: Option<QueueUpdate>) -> OutcomeRows {
        OutcomeRows {
            booking_id: "1".to_owned(),
            reference: None,
            code: None,
            claim_id: Some(7),
            queue_update,
            reservation_update,
            write_back: Some(WriteBack::synced("1", "r1", 1)),
            attempt: None,
            withdrawn: false,
            deleted: None,
            price: None,
            mismatch: false,
        }
    }

    #[test]
    fn what_guestly_holds_stays_in_the_queue_for_its_row() {
        let queue_update = without_row(outcome(Some(ReservationUpdate::default()), None)).expect("it is written");
        assert_eq!(queue_update.queue_update.expect("it stays").state, QueueState::Ready);
        assert_eq!(
            (queue_update.write_back, queue_update.reservation_update),
            (None, Some(ReservationUpdate::default()))
        );
    }

    #[test]
    fn what_failed_without_a_reservation_is_decided_again() {
        assert_eq!(without_row(outcome(None, Some(QueueUpdate::failed(1)))), None);
        assert_eq!(without_row(outcome(None, None)), None);
    }

    #[test]
    fn what_was_decided_without_a_call_is_decided_again() {
        assert_eq!(
            without_row(OutcomeRows { claim_id: None, ..outcome(Some(ReservationUpdate::default()), None) }),
            None
        );
    }
}
