//! The rows that a call about a reservation becomes which Guestly holds. Part of `pg::job`: main thread.

use chrono::{DateTime, Utc};

use super::Job;
use crate::domain::diff::{next_change, snapshot_of_hit};
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::operation::Operation;
use crate::domain::outcome::{Hit, Outcome};
use crate::domain::snapshot::PaymentState;
use crate::domain::snapshot::Snapshot;
use crate::domain::transition::{SnapshotUpdate, Transition, snapshot_update};
use crate::pg::bookings::WriteBack;
use crate::pg::queue::{Held, Kept};

/// What stays in the queue, what Guestly holds, what the host's row says, and the log's problem.
type Rows = (Option<Kept>, Option<Held>, Option<WriteBack>, Option<Problem>);

impl Job {
    /// What Guestly holds after a create or its look-up.
    pub(super) fn made(&self, reservation_id: String, adopted: bool, found: Option<&Hit>, outcome: &Outcome) -> Held {
        let asked = self.reservation.snapshot();
        // A create takes no notes and no payment.
        let payment = self.reservation.payment.as_ref().map(|_| PaymentState::ToRecord);
        let asked = Snapshot { notes: Some(String::new()), payment, ..asked };
        let snapshot = found.map_or_else(|| asked.clone(), |hit| snapshot_of_hit(hit, &self.reservation).over(&asked));
        let origin = found.map(|hit| hit.origin_id.as_deref() == Some(&self.reservation.origin_id));
        let total = match (found, outcome) {
            (Some(hit), _) => hit.total.clone(),
            (None, Outcome::Created { total, .. }) => total.clone(),
            _ => None,
        };
        let update =
            SnapshotUpdate { snapshot, verified: origin.unwrap_or(true), ended: Some(false), changed: true, total };
        Held { reservation_id, code: self.reservation.code.clone(), adopted, update, paid: self.paid() }
    }

    /// A row that is due again as it was.
    pub(super) fn kept_as_it_was(&self) -> Kept {
        let due = &self.due;
        let read_back_first = due.verify_first && !due.waited;
        Kept {
            state: if read_back_first { "unknown" } else { "waiting" },
            due: None,
            uncertain_since: due.uncertain_since,
            look_ups: due.look_ups,
            failed_reads: due.failed_reads,
            verify_first: due.verify_first,
            held: true,
            problem: due.problem.clone(),
            ..Kept::failed(due.attempts)
        }
    }

    /// What a call told, if it told anything.
    pub(super) fn told(&self, outcome: &Outcome) -> Option<Held> {
        let remote = self.due.remote.clone().unwrap_or_default();
        let update = snapshot_update(self.operation, &remote, outcome, &self.reservation);
        let told = update != SnapshotUpdate::default();
        let paid = self.paid();
        told.then_some(Held { reservation_id: remote.reservation_id, code: remote.code, adopted: false, update, paid })
    }

    /// The host's row changes only when all is done, or nothing more will be: until then it says what was confirmed.
    pub(super) fn held_rows(&self, outcome: &Outcome, next: Transition) -> Rows {
        let (id, tries, same) = (&self.due.booking_id, self.attempts(), self.kept_as_it_was());
        let held = self.told(outcome);
        let counting = |counted| if counted { tries } else { self.due.attempts };
        let kept = match next {
            Transition::Wait { due, counted, problem } => {
                Kept { attempts: counting(counted), due: Some(due), problem: Some(problem), ..same }
            }
            Transition::Changed { read_back, .. }
                if !read_back && !self.due.verify_first && self.is_done(held.as_ref()) =>
            {
                let write = WriteBack::synced(id, &self.reservation_id(), self.due.attempts);
                return (None, held, Some(write), None);
            }
            Transition::Changed { due, read_back } => Kept {
                state: "waiting",
                attempts: counting(read_back),
                due: Some(due),
                uncertain_since: None,
                verify_first: read_back || self.due.verify_first,
                problem: None,
                ..same
            },
            Transition::UncertainChange { due, counted, since, failed_reads, problem } => Kept {
                state: "unknown",
                attempts: counting(counted),
                due: Some(due),
                uncertain_since: since,
                failed_reads,
                verify_first: true,
                problem: Some(problem),
                ..same
            },
            Transition::LookUp { due, problem } => self.looked_up_next(due, problem),
            Transition::Differs { due, look_ups, problem } => self.differs(due, look_ups, problem),
            Transition::Confirmed => {
                let write = WriteBack::synced(id, &self.reservation_id(), tries);
                return (None, held, Some(write), None);
            }
            Transition::Failed(problem) => {
                let write = WriteBack::unsynced(id, "failed", Some(&problem), tries);
                let kept = Kept { verify_first: true, held: true, problem: Some(problem), ..Kept::failed(tries) };
                let problem = kept.problem.clone();
                return (Some(kept), held, Some(write), problem);
            }
            // Said of creates only.
            Transition::Ready(_)
            | Transition::Synced { .. }
            | Transition::UncertainCreate { .. }
            | Transition::CreateAgain => same,
        };
        let problem = kept.problem.clone();
        (Some(kept), held, None, problem)
    }

    /// A pending refusal makes a look-up by the code the next call; the code of an earlier create stays.
    fn looked_up_next(&self, due: DateTime<Utc>, problem: Problem) -> Kept {
        Kept {
            state: "unknown",
            due: Some(due),
            pending_refusal: Some(ErrorClass::Refused),
            verify_first: true,
            problem: Some(problem),
            ..Kept::failed(self.due.attempts)
        }
    }

    fn differs(&self, due: DateTime<Utc>, look_ups: u32, problem: Option<Problem>) -> Kept {
        // Reading back ends a doubt; a list of payments says nothing of the rest.
        let verify_first = self.due.verify_first && self.operation != Operation::ReadBack;
        let uncertain_since = self.due.uncertain_since.filter(|_| verify_first);
        let same = self.kept_as_it_was();
        Kept {
            state: "waiting",
            due: Some(due),
            uncertain_since,
            look_ups,
            failed_reads: 0,
            verify_first,
            problem,
            ..same
        }
    }

    /// What the guest paid; of a booking that is over, nobody compares it with Guestly's total.
    fn paid(&self) -> Option<f64> {
        self.reservation.is_active().then_some(self.reservation.booking.total)
    }

    /// With what was learned, nothing differs.
    fn is_done(&self, held: Option<&Held>) -> bool {
        let before = self.due.remote.as_ref().map(|remote| remote.snapshot.clone()).unwrap_or_default();
        let after = held.map(|held| held.update.snapshot.clone()).unwrap_or_default().over(&before);
        next_change(&self.reservation, &after).is_none()
    }

    fn reservation_id(&self) -> String {
        self.due.remote.as_ref().map(|remote| remote.reservation_id.clone()).unwrap_or_default()
    }
}

impl Kept {
    /// A row that is looked at again at `due`.
    pub fn waiting(attempts: u32, due: DateTime<Utc>) -> Self {
        Self { state: "waiting", due: Some(due), ..Self::failed(attempts) }
    }
}
