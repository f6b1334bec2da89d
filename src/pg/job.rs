//! One booking's call, from claim to outcome: what is sent, and which rows its outcome becomes. Made and judged by
//! `pg::worker` on the main thread; travels through the sender threads as a tag.

use chrono::{DateTime, Utc};

use super::bookings::WriteBack;
use super::queue::{Attempt, Due, Intent, Kept};
use super::record::Change;
use crate::domain::diff::next_change;
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::operation::Operation;
use crate::domain::outcome::Outcome;
use crate::domain::request::ApiRequest;
use crate::domain::reservation::Reservation;
use crate::domain::snapshot::RemoteReservation;
use crate::domain::transition::{Case, Moment, Policy, Transition, Work, next, next_for_remote};
use crate::domain::update_request::{self, look_up};

mod held;
mod log;

pub use log::attempt_for_nobody;
use log::{said, word};

/// A claimed booking.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The queue row as it was.
    pub due: Due,
    /// What is called.
    pub operation: Operation,
    /// What Guestly should hold.
    pub reservation: Box<Reservation>,
    /// The fence.
    pub claim: i64,
    /// The token's generation it is sent with.
    pub generation: u64,
    /// The booking's row is gone: nothing is written back.
    pub gone: bool,
}

/// How a call went, for the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// When it began.
    pub started: DateTime<Utc>,
    /// Milliseconds.
    pub duration_ms: i32,
    /// The status, where there was an answer.
    pub http_status: Option<u16>,
    /// `x-request-id`.
    pub request_id: Option<String>,
}

impl Job {
    /// Tries, this one included if it creates or changes something.
    pub fn attempts(&self) -> u32 {
        self.due.attempts.saturating_add(u32::from(!self.operation.is_read()))
    }

    /// What Guestly holds, if the call is about that.
    fn remote(&self) -> Option<&RemoteReservation> {
        self.due.remote.as_ref().filter(|_| self.operation.is_about_remote())
    }

    /// What is written before the call leaves.
    pub fn intent(&self) -> Intent {
        Intent {
            booking_id: self.due.booking_id.clone(),
            claim: self.claim,
            operation: self.operation.as_str(),
            attempts: self.attempts(),
            code: self.remote().is_none().then(|| self.reservation.code.clone()),
        }
    }

    /// The call.
    pub fn request(&self) -> ApiRequest {
        match (self.operation, self.remote()) {
            (Operation::LookUp, _) => look_up(&self.reservation.code),
            (operation, Some(remote)) => update_request::build(operation, &self.reservation, remote),
            _ => self.reservation.create(),
        }
    }

    /// What becomes of the booking.
    pub fn next(&self, outcome: &Outcome, policy: &Policy, moment: &Moment) -> Transition {
        let case = Case { work: &self.work(), outcome, wanted: &self.reservation, policy, moment };
        match self.remote() {
            Some(remote) => next_for_remote(&case, remote),
            None => next(&case),
        }
    }

    /// What the state machine looks at.
    fn work(&self) -> Work {
        Work {
            operation: self.operation,
            attempts: self.attempts(),
            uncertain_since: self.due.uncertain_since,
            look_ups: self.due.look_ups,
            failed_reads: self.due.failed_reads,
            unconfirmed_creates: self.due.unconfirmed_creates,
            problem: self.due.problem.clone(),
            pending_refusal: self.due.pending_refusal,
            missing_reservation: self.due.missing_reservation.clone(),
        }
    }

    /// The rows that the decision becomes.
    pub fn change(self, outcome: &Outcome, next: Transition, trace: Trace) -> Change {
        let word = word(outcome, &next);
        let tries = self.attempts();
        let id = self.due.booking_id.clone();
        let attempt = |problem: Option<Problem>| Attempt {
            booking_id: Some(id.clone()),
            attempt: tries,
            operation: self.operation.as_str(),
            started: trace.started,
            duration_ms: trace.duration_ms,
            http_status: trace.http_status,
            outcome: word,
            problem,
            request_id: trace.request_id.clone(),
        };
        let (kept, held, write, problem) = match next {
            _ if self.remote().is_some() => self.held_rows(outcome, next),
            Transition::Synced { reservation_id, adopted, warning, found } => {
                let write = WriteBack::synced(&id, &reservation_id, tries);
                let warning = warning.map(|words| Problem::new(ErrorClass::Refused, words));
                let held = self.made(reservation_id, adopted, found.as_deref(), outcome);
                // It changed while its create was in flight or in doubt.
                let changed = next_change(&self.reservation, &held.update.snapshot).is_some();
                let kept = changed.then(|| Kept { held: true, ..Kept::waiting(tries, trace.started) });
                (kept, Some(held), Some(write), warning)
            }
            other => {
                let kept = self.kept(other, tries);
                let status = if kept.state == "failed" { "failed" } else { "pending" };
                let write = WriteBack::unsynced(&id, status, kept.problem.as_ref(), kept.attempts);
                let problem = said(outcome, &kept);
                (Some(kept), None, Some(write), problem)
            }
        };
        let attempt = Some(attempt(problem));
        let write = write.filter(|_| !self.gone);
        Change { kept, held, write, attempt, ..self.blank() }
    }

    /// The row as it was before the claim: the call certainly never left.
    pub fn unsent(self) -> Change {
        if self.remote().is_some() {
            // A payment that was to be recorded certainly was not.
            let held = self.told(&Outcome::NotSent { sentence: String::new() });
            return Change { kept: Some(self.kept_as_it_was()), held, ..self.blank() };
        }
        let blank = self.blank();
        let due = self.due;
        let known = due.uncertain_since.is_some() || due.pending_refusal.is_some();
        let kept = Kept {
            state: if known { "unknown" } else { "ready" },
            attempts: due.attempts,
            due: None,
            uncertain_since: due.uncertain_since,
            look_ups: due.look_ups,
            failed_reads: due.failed_reads,
            unconfirmed_creates: due.unconfirmed_creates,
            pending_refusal: due.pending_refusal,
            verify_first: self.operation == Operation::LookUp && !known,
            held: false,
            problem: due.problem,
        };
        Change { kept: Some(kept), ..blank }
    }

    /// A change of nothing, with the fence.
    fn blank(&self) -> Change {
        Change {
            booking_id: self.due.booking_id.clone(),
            reference: self.reservation.booking.reference.clone(),
            claim: Some(self.claim),
            kept: None,
            held: None,
            write: None,
            attempt: None,
            withdrawn: false,
            deleted: None,
            price: None,
            mismatch: false,
        }
    }

    /// The row as it was claimed, ready again.
    fn as_claimed(&self, attempts: u32) -> Kept {
        let due = &self.due;
        Kept {
            state: "ready",
            attempts,
            due: None,
            uncertain_since: due.uncertain_since,
            look_ups: due.look_ups,
            failed_reads: due.failed_reads,
            unconfirmed_creates: due.unconfirmed_creates,
            pending_refusal: None,
            verify_first: self.operation == Operation::LookUp
                && due.uncertain_since.is_none()
                && due.pending_refusal.is_none(),
            held: false,
            problem: due.problem.clone(),
        }
    }

    fn kept(&self, next: Transition, tries: u32) -> Kept {
        let due = &self.due;
        // What did not count is given back; a look-up never added anything.
        let (uncounted, same) = (due.attempts, self.as_claimed(tries));
        match next {
            Transition::Ready(problem) => Kept { attempts: uncounted, problem: Some(problem), ..same },
            Transition::Wait { due, counted, problem } => Kept {
                state: "waiting",
                attempts: if counted { tries } else { uncounted },
                due: Some(due),
                problem: Some(problem),
                ..same
            },
            Transition::UncertainCreate {
                due,
                since,
                look_ups,
                failed_reads,
                unconfirmed_creates,
                counted,
                problem,
                pending_refusal,
            } => Kept {
                state: "unknown",
                attempts: if counted { tries } else { uncounted },
                due: Some(due),
                uncertain_since: since,
                look_ups,
                failed_reads,
                unconfirmed_creates,
                pending_refusal,
                problem: Some(problem),
                ..same
            },
            Transition::CreateAgain => {
                Kept { uncertain_since: None, look_ups: 0, failed_reads: 0, verify_first: false, ..same }
            }
            Transition::Failed(problem) => {
                // Where Guestly may hold it, it is asked again before anything is created.
                let verify_first = self.operation == Operation::LookUp && !problem.class.is_permanent();
                let unconfirmed_creates = due.unconfirmed_creates;
                Kept { unconfirmed_creates, verify_first, problem: Some(problem), ..Kept::failed(tries) }
            }
            // Handled by the caller.
            Transition::Synced { .. }
            | Transition::Changed { .. }
            | Transition::UncertainChange { .. }
            | Transition::LookUp { .. }
            | Transition::Differs { .. }
            | Transition::Confirmed => same,
        }
    }
}

/// A booking that is settled without a call.
pub fn without_call(
    due: &Due,
    operation: &'static str,
    outcome: &'static str,
    problem: Option<Problem>,
    now: DateTime<Utc>,
) -> Change {
    let attempt = Attempt {
        booking_id: Some(due.booking_id.clone()),
        attempt: due.attempts,
        operation,
        started: now,
        duration_ms: 0,
        http_status: None,
        outcome,
        problem,
        request_id: None,
    };
    Change {
        booking_id: due.booking_id.clone(),
        reference: None,
        claim: due.claim,
        kept: None,
        held: None,
        write: None,
        attempt: Some(attempt),
        withdrawn: false,
        deleted: None,
        price: None,
        mismatch: false,
    }
}
