//! The facts that a call proves about an existing reservation, whatever the booking's next state. Part of `domain::transition`;
//! pure, any thread.

use super::case::is_code;
use crate::domain::diff::{changed_by, snapshot_of_hit};
use crate::domain::operation::Operation;
use crate::domain::outcome::{Hit, Outcome};
use crate::domain::reservation::Reservation;
use crate::domain::snapshot::{PaymentState, RemoteReservation, Snapshot};

/// The new facts about a reservation; unknown ones stay as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotUpdate {
    /// Confirmed values.
    pub snapshot: Snapshot,
    /// The reservation was seen to belong to the booking.
    pub verified: bool,
    /// True if we ended it, if that is known.
    pub ended: Option<bool>,
    /// It was changed, or may have been.
    pub changed: bool,
    /// The total that Guestly reports, a decimal in major units.
    pub total: Option<String>,
}

/// The facts to store after a call about `remote`.
#[must_use]
pub fn snapshot_update(
    operation: Operation,
    remote: &RemoteReservation,
    outcome: &Outcome,
    wanted: &Reservation,
) -> SnapshotUpdate {
    let ends = operation == Operation::Status && !wanted.is_active();
    match outcome {
        Outcome::Updated { total } => {
            let ended = (operation == Operation::Status).then_some(ends);
            let snapshot = changed_by(operation, wanted, &remote.snapshot);
            SnapshotUpdate { snapshot, ended, changed: true, verified: false, total: total.clone() }
        }
        Outcome::Payments(notes) => after_payments(operation, notes, wanted),
        // Certainly not recorded: the list need not be read again.
        Outcome::NotSent { .. } | Outcome::Unsendable { .. } | Outcome::Throttled { .. }
            if operation == Operation::RecordPayment =>
        {
            payment(PaymentState::NotListed, false)
        }
        Outcome::Unavailable { .. } | Outcome::Unknown { .. } if operation.is_update() => {
            // If it turns out to have ended, it was us, whatever the booking says by then.
            SnapshotUpdate { changed: true, ended: ends.then_some(true), ..SnapshotUpdate::default() }
        }
        Outcome::Found(hits) => match hit_of(remote, hits).filter(|hit| is_ours(hit, remote, wanted)) {
            Some(hit) => {
                let snapshot = snapshot_of_hit(hit, wanted);
                // If both sides have ended it, the booking may get a new one, whoever was first.
                let ended = if snapshot.is_over() { (!wanted.is_active()).then_some(true) } else { Some(false) };
                SnapshotUpdate { snapshot, verified: true, ended, changed: false, total: hit.total.clone() }
            }
            None => SnapshotUpdate::default(),
        },
        _ => SnapshotUpdate::default(),
    }
}

fn after_payments(operation: Operation, notes: &[String], wanted: &Reservation) -> SnapshotUpdate {
    match wanted.payment.as_ref().map(|payment| payment.is_among(notes)) {
        Some(true) => payment(PaymentState::Recorded, !operation.is_read()),
        Some(false) if operation.is_read() => payment(PaymentState::NotListed, false),
        _ => SnapshotUpdate { changed: !operation.is_read(), ..SnapshotUpdate::default() },
    }
}

fn payment(state: PaymentState, changed: bool) -> SnapshotUpdate {
    let snapshot = Snapshot { payment: Some(state), ..Snapshot::default() };
    SnapshotUpdate { snapshot, changed, ..SnapshotUpdate::default() }
}

/// The row of the answer that is about `remote`.
pub(super) fn hit_of<'a>(remote: &RemoteReservation, hits: &'a [Hit]) -> Option<&'a Hit> {
    hits.iter().find(|hit| hit.reservation_id == remote.reservation_id)
}

/// True if the row belongs to the booking: by its origin id or, if Guestly shows none, by its code.
pub(super) fn is_ours(hit: &Hit, remote: &RemoteReservation, wanted: &Reservation) -> bool {
    match hit.origin_id.as_deref() {
        Some(origin) => origin == wanted.origin_id || origin == remote.code,
        None => remote.verified || hit.confirmation_code.as_deref().is_some_and(|code| is_code(code, &wanted.code)),
    }
}
