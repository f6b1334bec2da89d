//! Outcomes that are not written when the worker ends: code of the host did not end, and the transaction that was to record
//! them is lost. As the last act of the process they are written to the extension's own tables; the host's rows follow, one
//! by one, from the next worker. Part of `pg::record`; main thread only.

use std::cell::{Cell, RefCell};

use chrono::Utc;

use super::{Change, record};
use crate::pg::store::queue::Kept;
use crate::pg::{db::session, sys};

/// Gives the outcomes that have come in and were not looked at yet.
type Late = Box<dyn FnOnce() -> Vec<Change>>;

thread_local! {
    static UNWRITTEN: RefCell<Vec<Change>> = const { RefCell::new(Vec::new()) };
    static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
}

/// To be called once, by the worker.
pub fn register() {
    sys::before_exit(write);
}

/// All outcomes that are not written now.
pub fn hold<'a>(changes: impl IntoIterator<Item = &'a Change>) {
    UNWRITTEN.replace(changes.into_iter().cloned().collect());
}

/// The outcome of this booking is committed.
pub fn written(booking_id: &str) {
    UNWRITTEN.with_borrow_mut(|changes| changes.retain(|change| change.booking_id != booking_id));
}

/// Asked at the end for what has come in meanwhile.
pub fn also(late: Late) {
    LATE.replace(Some(late));
}

fn write() {
    let mut changes = UNWRITTEN.take();
    if let Some(late) = LATE.take() {
        changes.extend(late());
    }
    let changes: Vec<Change> = changes.into_iter().filter_map(without_row).collect();
    if changes.is_empty() {
        return;
    }
    let written = session::transaction(c"guestly_sync: ending", || record(None, changes, &Cell::default()));
    if let Err(error) = written {
        pgrx::warning!("guestly_sync: outcomes could not be written at the end, they will be looked up: {error}");
    }
}

/// The part of an outcome that concerns the extension's own tables. None if the next worker decides the same again: nothing
/// was called, or what failed is looked up. A booking that Guestly holds stays in the queue until its row says so.
fn without_row(change: Change) -> Option<Change> {
    let has_failed = change.kept.as_ref().is_some_and(|kept| kept.state == "failed");
    let is_over = change.kept.is_none() || has_failed;
    if change.claim.is_none() || change.withdrawn || change.deleted.is_some() || (is_over && change.held.is_none()) {
        return None;
    }
    let attempts = change.attempt.as_ref().map_or(0, |attempt| attempt.attempt);
    let row_is_due = || Kept { state: "ready", due: Some(Utc::now()), held: true, ..Kept::failed(attempts) };
    Some(Change { kept: Some(change.kept.unwrap_or_else(row_is_due)), write: None, ..change })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::host::bookings::WriteBack;
    use crate::pg::store::reservations::Held;

    fn change(held: Option<Held>, kept: Option<Kept>) -> Change {
        Change {
            booking_id: "1".to_owned(),
            reference: None,
            claim: Some(7),
            kept,
            held,
            write: Some(WriteBack::synced("1", "r1", 1)),
            attempt: None,
            withdrawn: false,
            deleted: None,
            price: None,
            mismatch: false,
        }
    }

    #[test]
    fn what_guestly_holds_stays_in_the_queue_for_its_row() {
        let kept = without_row(change(Some(Held::default()), None)).expect("it is written");
        assert_eq!(kept.kept.expect("it stays").state, "ready");
        assert_eq!((kept.write, kept.held), (None, Some(Held::default())));
    }

    #[test]
    fn what_failed_without_a_reservation_is_decided_again() {
        assert_eq!(without_row(change(None, Some(Kept::failed(1)))), None);
        assert_eq!(without_row(change(None, None)), None);
    }

    #[test]
    fn what_was_decided_without_a_call_is_decided_again() {
        assert_eq!(without_row(Change { claim: None, ..change(Some(Held::default()), None) }), None);
    }
}
