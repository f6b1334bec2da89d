//! One booking's call, from claim to outcome: its request, and the rows that its outcome becomes. Created by `pg::claim` and
//! completed by `pg::worker` on the main thread; passes through the sender threads as a tag.

use chrono::{DateTime, Utc};

use super::host::bookings::WriteBack;
use super::record_outcomes::OutcomeRows;
use super::store::attempts::Attempt;
use super::store::queue::{QueueState, QueueUpdate};
use crate::domain::diff::next_change;
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::operation::Operation;
use crate::domain::outcome::Outcome;
use crate::domain::queue_row::QueueRow;
use crate::domain::request::ApiRequest;
use crate::domain::reservation::Reservation;
use crate::domain::snapshot::RemoteReservation;
use crate::domain::transition::{Case, Moment, Policy, Transition, next, next_for_remote};
use crate::domain::update_request::{self, look_up};

mod attempt_log;
mod update_rows;

pub use attempt_log::{Trace, attempt_without_booking};
use attempt_log::{logged_problem, outcome_label};

/// A claimed booking.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The queue row, planned and claimed.
    pub row: QueueRow,
    /// The reservation that Guestly should have.
    pub reservation: Box<Reservation>,
    /// The generation of the token that it is sent with.
    pub generation: u64,
    /// The booking was deleted: nothing is written back.
    pub gone: bool,
}

impl Job {
    /// The existing reservation, if the call is about it.
    fn remote(&self) -> Option<&RemoteReservation> {
        self.row.remote.as_ref().filter(|_| self.row.operation.is_about_remote())
    }

    /// The request of the call.
    pub fn request(&self) -> ApiRequest {
        match (self.row.operation, self.remote()) {
            (Operation::LookUp, _) => look_up(&self.reservation.code),
            (operation, Some(remote)) => update_request::build(operation, &self.reservation, remote),
            _ => self.reservation.create(),
        }
    }

    /// The next state of the booking.
    pub fn next(&self, outcome: &Outcome, policy: &Policy, moment: &Moment) -> Transition {
        let case = Case { row: &self.row, outcome, wanted: &self.reservation, policy, moment };
        match self.remote() {
            Some(remote) => next_for_remote(&case, remote),
            None => next(&case),
        }
    }

    /// The rows to write for the decision.
    pub fn into_rows(self, outcome: &Outcome, next: Transition, trace: Trace) -> OutcomeRows {
        let label = outcome_label(outcome, &next);
        let tries = self.row.attempts;
        let id = self.row.booking_id.clone();
        let attempt = |problem: Option<Problem>| Attempt {
            booking_id: Some(id.clone()),
            attempt: tries,
            operation: self.row.operation.as_str(),
            started: trace.started,
            duration_ms: trace.duration_ms,
            http_status: trace.http_status,
            outcome: label,
            problem,
            request_id: trace.request_id.clone(),
        };
        let (queue_update, reservation_update, write, problem) = match next {
            _ if self.remote().is_some() => self.rows_for_remote(outcome, next),
            Transition::Synced { reservation_id, adopted, warning, found } => {
                let write = WriteBack::synced(&id, &reservation_id, tries);
                let warning = warning.map(|sentence| Problem::new(ErrorClass::Refused, sentence));
                let reservation_update = self.update_after_create(reservation_id, adopted, found.as_deref(), outcome);
                // The booking changed while its create was in flight or unconfirmed.
                let changed = next_change(&self.reservation, &reservation_update.update.snapshot).is_some();
                let queue_update =
                    changed.then(|| QueueUpdate { is_created: true, ..QueueUpdate::waiting(tries, trace.started) });
                (queue_update, Some(reservation_update), Some(write), warning)
            }
            other => {
                let queue_update = self.queue_update(other, tries);
                let status = if queue_update.state == QueueState::Failed { "failed" } else { "pending" };
                let write = WriteBack::unsynced(&id, status, queue_update.problem.as_ref(), queue_update.attempts);
                let problem = logged_problem(outcome, &queue_update);
                (Some(queue_update), None, Some(write), problem)
            }
        };
        let attempt = Some(attempt(problem));
        let write = write.filter(|_| !self.gone);
        OutcomeRows { queue_update, reservation_update, write_back: write, attempt, ..self.blank() }
    }

    /// The rows that restore the state before the claim: the call was certainly not sent.
    pub fn unsent(self) -> OutcomeRows {
        if self.remote().is_some() {
            // A planned payment was certainly not recorded.
            let reservation_update = self.update_from_outcome(&Outcome::NotSent { sentence: String::new() });
            return OutcomeRows { queue_update: Some(self.unchanged()), reservation_update, ..self.blank() };
        }
        let blank = self.blank();
        let due = self.row;
        let is_uncertain = due.uncertain_since.is_some() || due.pending_refusal.is_some();
        let queue_update = QueueUpdate {
            state: if is_uncertain { QueueState::Unknown } else { QueueState::Ready },
            pending_refusal: due.pending_refusal,
            verify_first: due.operation == Operation::LookUp && !is_uncertain,
            problem: due.problem.clone(),
            ..QueueUpdate::failed_uncertain(&due, due.attempts_before())
        };
        OutcomeRows { queue_update: Some(queue_update), ..blank }
    }

    /// No rows: only the booking and its claim.
    fn blank(&self) -> OutcomeRows {
        OutcomeRows {
            booking_id: self.row.booking_id.clone(),
            reference: self.reservation.booking.reference.clone(),
            code: Some(self.reservation.code.clone()).filter(|code| !code.is_empty()),
            claim_id: self.row.claim_id,
            queue_update: None,
            reservation_update: None,
            write_back: None,
            attempt: None,
            withdrawn: false,
            deleted: None,
            price: None,
            mismatch: false,
        }
    }

    fn queue_update(&self, next: Transition, tries: u32) -> QueueUpdate {
        let due = &self.row;
        // An outcome that does not count does not use an attempt.
        let uncounted = due.attempts_before();
        let is_uncertain = due.uncertain_since.is_some() || due.pending_refusal.is_some();
        let same = QueueUpdate {
            state: QueueState::Ready,
            verify_first: due.operation == Operation::LookUp && !is_uncertain,
            problem: due.problem.clone(),
            ..QueueUpdate::failed_uncertain(due, tries)
        };
        match next {
            Transition::Ready(problem) => QueueUpdate { attempts: uncounted, problem: Some(problem), ..same },
            Transition::Wait { due, counted, problem } => QueueUpdate {
                state: QueueState::Waiting,
                attempts: if counted { tries } else { uncounted },
                due_at: Some(due),
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
            } => QueueUpdate {
                state: QueueState::Unknown,
                attempts: if counted { tries } else { uncounted },
                due_at: Some(due),
                uncertain_since: since,
                look_ups,
                failed_reads,
                unconfirmed_creates,
                pending_refusal,
                problem: Some(problem),
                ..same
            },
            Transition::CreateAgain => {
                QueueUpdate { uncertain_since: None, look_ups: 0, failed_reads: 0, verify_first: false, ..same }
            }
            Transition::Failed(problem) => QueueUpdate {
                unconfirmed_creates: due.unconfirmed_creates,
                // If Guestly may have the reservation, a look-up precedes the next create.
                verify_first: due.operation == Operation::LookUp && !problem.class.is_permanent(),
                problem: Some(problem),
                ..QueueUpdate::failed(tries)
            },
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

/// The rows of a booking that needs no call.
pub fn without_call(
    due: &QueueRow,
    operation: &'static str,
    outcome: &'static str,
    problem: Option<Problem>,
    now: DateTime<Utc>,
) -> OutcomeRows {
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
    OutcomeRows {
        booking_id: due.booking_id.clone(),
        reference: None,
        code: due.code.clone(),
        claim_id: due.claim_id,
        queue_update: None,
        reservation_update: None,
        write_back: None,
        attempt: Some(attempt),
        withdrawn: false,
        deleted: None,
        price: None,
        mismatch: false,
    }
}
