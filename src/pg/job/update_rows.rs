//! The rows that a call about an existing reservation becomes. Part of `pg::job`; main thread.

use chrono::{DateTime, Utc};

use super::Job;
use crate::domain::diff::{next_change, snapshot_of_hit};
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::operation::Operation;
use crate::domain::outcome::{Hit, Outcome};
use crate::domain::snapshot::PaymentState;
use crate::domain::snapshot::Snapshot;
use crate::domain::transition::{SnapshotUpdate, Transition, snapshot_update};
use crate::pg::host::bookings::WriteBack;
use crate::pg::store::queue::{QueueState, QueueUpdate};
use crate::pg::store::reservations::ReservationUpdate;

/// The updates of queue, reservation and booking, and the problem for the log.
type Rows = (Option<QueueUpdate>, Option<ReservationUpdate>, Option<WriteBack>, Option<Problem>);

impl Job {
    /// The reservation after a create or its look-up.
    pub(super) fn update_after_create(
        &self,
        reservation_id: String,
        adopted: bool,
        found: Option<&Hit>,
        outcome: &Outcome,
    ) -> ReservationUpdate {
        let requested = self.reservation.snapshot();
        // A create sends no notes and no payment.
        let payment = self.reservation.payment.as_ref().map(|_| PaymentState::ToRecord);
        let requested = Snapshot { notes: Some(String::new()), payment, ..requested };
        let snapshot =
            found.map_or_else(|| requested.clone(), |hit| snapshot_of_hit(hit, &self.reservation).over(&requested));
        let origin = found.map(|hit| hit.origin_id.as_deref() == Some(&self.reservation.origin_id));
        let total = match (found, outcome) {
            (Some(hit), _) => hit.total.clone(),
            (None, Outcome::Created { total, .. }) => total.clone(),
            _ => None,
        };
        let update =
            SnapshotUpdate { snapshot, verified: origin.unwrap_or(true), ended: Some(false), changed: true, total };
        ReservationUpdate { reservation_id, code: self.reservation.code.clone(), adopted, update, paid: self.paid() }
    }

    /// The queue row without changes; it is due again.
    pub(super) fn unchanged(&self) -> QueueUpdate {
        let due = &self.row;
        QueueUpdate {
            state: if due.reads_back_first() { QueueState::Unknown } else { QueueState::Waiting },
            due_at: None,
            uncertain_since: due.uncertain_since,
            look_ups: due.look_ups,
            failed_reads: due.failed_reads,
            verify_first: due.verify_first,
            is_created: true,
            problem: due.problem.clone(),
            ..QueueUpdate::failed(due.attempts_before())
        }
    }

    /// The facts that the outcome proves about the reservation, if any.
    pub(super) fn update_from_outcome(&self, outcome: &Outcome) -> Option<ReservationUpdate> {
        let remote = self.row.remote.clone().unwrap_or_default();
        let update = snapshot_update(self.row.operation, &remote, outcome, &self.reservation);
        let is_changed = update != SnapshotUpdate::default();
        let paid = self.paid();
        is_changed.then_some(ReservationUpdate {
            reservation_id: remote.reservation_id,
            code: remote.code,
            adopted: false,
            update,
            paid,
        })
    }

    /// The rows for a call about an existing reservation. The booking's row is written only when nothing is left to do or the
    /// booking has failed.
    pub(super) fn rows_for_remote(&self, outcome: &Outcome, next: Transition) -> Rows {
        let (id, tries, same) = (&self.row.booking_id, self.row.attempts, self.unchanged());
        let reservation_update = self.update_from_outcome(outcome);
        let counting = |counted| if counted { tries } else { self.row.attempts_before() };
        let queue_update = match next {
            Transition::Wait { due, counted, problem } => {
                QueueUpdate { attempts: counting(counted), due_at: Some(due), problem: Some(problem), ..same }
            }
            Transition::Changed { read_back, .. }
                if !read_back && !self.row.verify_first && self.is_done(reservation_update.as_ref()) =>
            {
                let write = WriteBack::synced(id, &self.reservation_id(), self.row.attempts_before());
                return (None, reservation_update, Some(write), None);
            }
            Transition::Changed { due, read_back } => QueueUpdate {
                state: QueueState::Waiting,
                attempts: counting(read_back),
                due_at: Some(due),
                uncertain_since: None,
                verify_first: read_back || self.row.verify_first,
                problem: None,
                ..same
            },
            Transition::UncertainChange { due, counted, since, failed_reads, problem } => QueueUpdate {
                state: QueueState::Unknown,
                attempts: counting(counted),
                due_at: Some(due),
                uncertain_since: since,
                failed_reads,
                verify_first: true,
                problem: Some(problem),
                ..same
            },
            Transition::LookUp { due, problem } => self.look_up_at(due, problem),
            Transition::Differs { due, look_ups, problem } => self.differs(due, look_ups, problem),
            Transition::Confirmed => {
                let write = WriteBack::synced(id, &self.reservation_id(), tries);
                return (None, reservation_update, Some(write), None);
            }
            Transition::Failed(problem) => {
                let write = WriteBack::unsynced(id, "failed", Some(&problem), tries);
                let queue_update = QueueUpdate {
                    verify_first: true,
                    is_created: true,
                    problem: Some(problem),
                    ..QueueUpdate::failed(tries)
                };
                let problem = queue_update.problem.clone();
                return (Some(queue_update), reservation_update, Some(write), problem);
            }
            // Transitions of creates only.
            Transition::Ready(_)
            | Transition::Synced { .. }
            | Transition::UncertainCreate { .. }
            | Transition::CreateAgain => same,
        };
        let problem = queue_update.problem.clone();
        (Some(queue_update), reservation_update, None, problem)
    }

    /// The pending refusal makes the next call a look-up by the code; the code of an earlier create stays.
    fn look_up_at(&self, due: DateTime<Utc>, problem: Problem) -> QueueUpdate {
        QueueUpdate {
            state: QueueState::Unknown,
            due_at: Some(due),
            pending_refusal: Some(ErrorClass::Refused),
            verify_first: true,
            problem: Some(problem),
            ..QueueUpdate::failed(self.row.attempts_before())
        }
    }

    fn differs(&self, due: DateTime<Utc>, look_ups: u32, problem: Option<Problem>) -> QueueUpdate {
        // A read-back makes the state certain; a list of payments proves nothing about the other aspects.
        let verify_first = self.row.verify_first && self.row.operation != Operation::ReadBack;
        let uncertain_since = self.row.uncertain_since.filter(|_| verify_first);
        let same = self.unchanged();
        QueueUpdate {
            state: QueueState::Waiting,
            due_at: Some(due),
            uncertain_since,
            look_ups,
            failed_reads: 0,
            verify_first,
            problem,
            ..same
        }
    }

    /// The amount that the guest paid; `None` for an ended booking, whose price is not compared.
    fn paid(&self) -> Option<f64> {
        self.reservation.is_active().then_some(self.reservation.booking.total)
    }

    /// True if nothing differs once the update is applied.
    fn is_done(&self, reservation_update: Option<&ReservationUpdate>) -> bool {
        let before = self.row.remote.as_ref().map(|remote| remote.snapshot.clone()).unwrap_or_default();
        let after = reservation_update
            .map(|reservation_update| reservation_update.update.snapshot.clone())
            .unwrap_or_default()
            .over(&before);
        next_change(&self.reservation, &after).is_none()
    }

    fn reservation_id(&self) -> String {
        self.row.remote.as_ref().map(|remote| remote.reservation_id.clone()).unwrap_or_default()
    }
}
