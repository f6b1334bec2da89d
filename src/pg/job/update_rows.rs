//! The rows that a call about a reservation becomes which Guestly holds. Part of `pg::job`: main thread.

use chrono::{DateTime, Utc};

use super::Job;
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::held::{Aspects, difference, read};
use crate::domain::outcome::{Hit, Operation, Outcome};
use crate::domain::payment::Recording;
use crate::domain::transition::{Learned, Next, learned};
use crate::pg::host::bookings::WriteBack;
use crate::pg::store::queue::Kept;
use crate::pg::store::reservations::Held;

/// What stays in the queue, what Guestly holds, what the host's row says, and the log's problem.
type Rows = (Option<Kept>, Option<Held>, Option<WriteBack>, Option<Problem>);

impl Job {
    /// What Guestly holds after a create or its look-up.
    pub(super) fn made(&self, reservation_id: String, adopted: bool, found: Option<&Hit>, outcome: &Outcome) -> Held {
        let asked = self.reservation.aspects();
        // A create takes no notes and no payment.
        let payment = self.reservation.payment.as_ref().map(|_| Recording::Due);
        let asked = Aspects { notes: Some(String::new()), payment, ..asked };
        let aspects = found.map_or_else(|| asked.clone(), |hit| read(hit, &self.reservation).over(&asked));
        let origin = found.map(|hit| hit.origin_id.as_deref() == Some(&self.reservation.origin_id));
        let total = match (found, outcome) {
            (Some(hit), _) => hit.total.clone(),
            (None, Outcome::Created { total, .. }) => total.clone(),
            _ => None,
        };
        let learned = Learned { aspects, verified: origin.unwrap_or(true), ended: Some(false), changed: true, total };
        Held { reservation_id, code: self.reservation.code.clone(), adopted, learned, paid: self.paid() }
    }

    /// A row that is due again as it was.
    pub(super) fn kept_as_it_was(&self) -> Kept {
        let due = &self.due;
        let unsure = due.in_doubt && !due.settled;
        Kept {
            state: if unsure { "unknown" } else { "waiting" },
            due: None,
            doubt_since: due.doubt_since,
            look_ups: due.look_ups,
            failed_reads: due.failed_reads,
            look_up_first: due.in_doubt,
            held: true,
            problem: due.problem.clone(),
            ..Kept::failed(due.attempts)
        }
    }

    /// What a call told, if it told anything.
    pub(super) fn told(&self, outcome: &Outcome) -> Option<Held> {
        let known = self.due.known.clone().unwrap_or_default();
        let learned = learned(self.operation, &known, outcome, &self.reservation);
        let told = learned != Learned::default();
        let paid = self.paid();
        told.then_some(Held { reservation_id: known.reservation_id, code: known.code, adopted: false, learned, paid })
    }

    /// The host's row changes only when all is done, or nothing more will be: until then it says what was confirmed.
    pub(super) fn held_rows(&self, outcome: &Outcome, next: Next) -> Rows {
        let (id, tries, same) = (&self.due.booking_id, self.attempts(), self.kept_as_it_was());
        let held = self.told(outcome);
        let counting = |counted| if counted { tries } else { self.due.attempts };
        let kept = match next {
            Next::Wait { due, counted, problem } => {
                Kept { attempts: counting(counted), due: Some(due), problem: Some(problem), ..same }
            }
            Next::Changed { read_back, .. } if !read_back && !self.due.in_doubt && self.is_done(held.as_ref()) => {
                let write = WriteBack::synced(id, &self.reservation_id(), self.due.attempts);
                return (None, held, Some(write), None);
            }
            Next::Changed { due, read_back } => Kept {
                state: "waiting",
                attempts: counting(read_back),
                due: Some(due),
                doubt_since: None,
                look_up_first: read_back || self.due.in_doubt,
                problem: None,
                ..same
            },
            Next::Unsure { due, counted, since, failed_reads, problem } => Kept {
                state: "unknown",
                attempts: counting(counted),
                due: Some(due),
                doubt_since: since,
                failed_reads,
                look_up_first: true,
                problem: Some(problem),
                ..same
            },
            // The verdict says that a look-up by the code is next; the code of an earlier create stays.
            Next::LookUp { due, problem } => Kept {
                state: "unknown",
                due: Some(due),
                verdict: Some(ErrorClass::Refused),
                look_up_first: true,
                problem: Some(problem),
                ..Kept::failed(self.due.attempts)
            },
            Next::Differs { due, look_ups, problem } => self.differs(due, look_ups, problem),
            Next::Settled => {
                let write = WriteBack::synced(id, &self.reservation_id(), tries);
                return (None, held, Some(write), None);
            }
            Next::Failed(problem) => {
                let write = WriteBack::unsynced(id, "failed", Some(&problem), tries);
                let kept = Kept { look_up_first: true, held: true, problem: Some(problem), ..Kept::failed(tries) };
                let problem = kept.problem.clone();
                return (Some(kept), held, Some(write), problem);
            }
            // Said of creates only.
            Next::Ready(_) | Next::Synced { .. } | Next::Doubt { .. } | Next::CreateAgain => same,
        };
        let problem = kept.problem.clone();
        (Some(kept), held, None, problem)
    }

    fn differs(&self, due: DateTime<Utc>, look_ups: u32, problem: Option<Problem>) -> Kept {
        // Reading back ends a doubt; a list of payments says nothing of the rest.
        let in_doubt = self.due.in_doubt && self.operation != Operation::ReadBack;
        let doubt_since = self.due.doubt_since.filter(|_| in_doubt);
        let same = self.kept_as_it_was();
        Kept {
            state: "waiting",
            due: Some(due),
            doubt_since,
            look_ups,
            failed_reads: 0,
            look_up_first: in_doubt,
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
        let before = self.due.known.as_ref().map(|known| known.aspects.clone()).unwrap_or_default();
        let after = held.map(|held| held.learned.aspects.clone()).unwrap_or_default().over(&before);
        difference(&self.reservation, &after).is_none()
    }

    fn reservation_id(&self) -> String {
        self.due.known.as_ref().map(|known| known.reservation_id.clone()).unwrap_or_default()
    }
}
