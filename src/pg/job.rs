//! One booking's call, from claim to outcome: what is sent, and which rows its outcome becomes. Made and judged by
//! `pg::worker` on the main thread; travels through the sender threads as a tag.

use chrono::{DateTime, Utc};

use super::bookings::WriteBack;
use super::queue::{Attempt, Due, Held, Intent, Kept};
use super::record::Change;
use crate::domain::error::Problem;
use crate::domain::outcome::{Operation, Outcome};
use crate::domain::request::ApiRequest;
use crate::domain::reservation::{Reservation, look_up};
use crate::domain::transition::{Next, Work};

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
    /// Tries, this one included if it is a create.
    pub fn attempts(&self) -> u32 {
        self.due.attempts.saturating_add(u32::from(self.operation == Operation::Create))
    }

    /// What is written before the call leaves.
    pub fn intent(&self) -> Intent {
        Intent {
            booking_id: self.due.booking_id.clone(),
            claim: self.claim,
            operation: self.operation.as_str(),
            attempts: self.attempts(),
            code: self.reservation.code.clone(),
        }
    }

    /// The call.
    pub fn request(&self) -> ApiRequest {
        match self.operation {
            Operation::LookUp => look_up(&self.reservation.code),
            Operation::Create | Operation::Token => self.reservation.create(),
        }
    }

    /// What the state machine looks at.
    pub fn work(&self) -> Work {
        Work {
            operation: self.operation,
            attempts: self.attempts(),
            doubt_since: self.due.doubt_since,
            look_ups: self.due.look_ups,
            creates: self.due.creates,
            problem: self.due.problem.clone(),
            verdict: self.due.verdict,
        }
    }

    /// The rows that the decision becomes.
    pub fn change(self, outcome: &Outcome, next: Next, trace: Trace) -> Change {
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
            Next::Synced { reservation_id, adopted, warning } => {
                let write = WriteBack::synced(&id, &reservation_id, tries);
                let warning = warning.map(|words| Problem::new(crate::domain::error::ErrorClass::Refused, words));
                (
                    None,
                    Some(Held { reservation_id, reservation: *self.reservation.clone(), adopted }),
                    Some(write),
                    warning,
                )
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
        let reference = self.reservation.booking.reference.clone();
        Change {
            booking_id: id,
            reference,
            claim: Some(self.claim),
            kept,
            held,
            write,
            attempt,
            withdrawn: false,
            deleted: None,
        }
    }

    /// The row as it was before the claim: the call certainly never left.
    pub fn unsent(self) -> Change {
        let due = self.due;
        let known = due.doubt_since.is_some() || due.verdict.is_some();
        let kept = Kept {
            state: if known { "unknown" } else { "ready" },
            attempts: due.attempts,
            due: None,
            doubt_since: due.doubt_since,
            look_ups: due.look_ups,
            creates: due.creates,
            verdict: due.verdict,
            look_up_first: self.operation == Operation::LookUp && !known,
            problem: due.problem,
        };
        let reference = self.reservation.booking.reference.clone();
        Change {
            booking_id: due.booking_id,
            reference,
            claim: Some(self.claim),
            kept: Some(kept),
            held: None,
            write: None,
            attempt: None,
            withdrawn: false,
            deleted: None,
        }
    }

    fn kept(&self, next: Next, tries: u32) -> Kept {
        let due = &self.due;
        // What did not count is given back; a look-up never added anything.
        let uncounted = due.attempts;
        let same = Kept {
            state: "ready",
            attempts: tries,
            due: None,
            doubt_since: due.doubt_since,
            look_ups: due.look_ups,
            creates: due.creates,
            verdict: None,
            look_up_first: self.operation == Operation::LookUp && due.doubt_since.is_none() && due.verdict.is_none(),
            problem: due.problem.clone(),
        };
        match next {
            Next::Ready(problem) => Kept { attempts: uncounted, problem: Some(problem), ..same },
            Next::Wait { due, counted, problem } => Kept {
                state: "waiting",
                attempts: if counted { tries } else { uncounted },
                due: Some(due),
                problem: Some(problem),
                ..same
            },
            Next::Doubt { due, since, look_ups, creates, counted, problem, verdict } => Kept {
                state: "unknown",
                attempts: if counted { tries } else { uncounted },
                due: Some(due),
                doubt_since: since,
                look_ups,
                creates,
                verdict,
                problem: Some(problem),
                ..same
            },
            Next::CreateAgain => Kept { doubt_since: None, look_ups: 0, look_up_first: false, ..same },
            Next::Failed(problem) => Kept { creates: due.creates, problem: Some(problem), ..Kept::failed(tries) },
            // Handled by the caller: it leaves the queue.
            Next::Synced { .. } => same,
        }
    }
}

/// What the log says was wrong: the outcome's own words, not those that the booking keeps from before.
fn said(outcome: &Outcome, kept: &Kept) -> Option<Problem> {
    match outcome {
        Outcome::Found(_) if kept.state != "failed" => None,
        _ => kept.problem.clone(),
    }
}

/// One word for the log.
fn word(outcome: &Outcome, next: &Next) -> &'static str {
    match (outcome, next) {
        (_, Next::Synced { adopted: true, .. }) => "adopted",
        (Outcome::Created { .. }, _) => "created",
        (Outcome::Found(hits), _) if hits.is_empty() => "not_found",
        (Outcome::Found(_), _) => "found",
        (Outcome::Token { .. }, _) => "token",
        (Outcome::Refused { .. }, _) => "refused",
        (Outcome::TokenRejected { .. }, _) => "rejected",
        (Outcome::Throttled { .. }, _) => "throttled",
        (Outcome::NotSent { .. }, _) => "not_sent",
        (Outcome::Unavailable { .. }, _) => "unavailable",
        (Outcome::Unknown { .. }, _) => "unknown",
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
    }
}

/// The log's row for a token request.
pub fn token_attempt(outcome: &Outcome, trace: Trace) -> Attempt {
    use crate::domain::error::ErrorClass;
    let problem = match outcome {
        Outcome::Token { .. } | Outcome::Created { .. } | Outcome::Found(_) => None,
        Outcome::Refused { sentence, .. } | Outcome::TokenRejected { sentence, .. } => {
            Some((ErrorClass::Credentials, sentence))
        }
        Outcome::Throttled { sentence, .. } => Some((ErrorClass::Throttled, sentence)),
        Outcome::NotSent { sentence } | Outcome::Unavailable { sentence, .. } => {
            Some((ErrorClass::Unavailable, sentence))
        }
        Outcome::Unknown { sentence } => Some((ErrorClass::UnknownOutcome, sentence)),
    };
    Attempt {
        booking_id: None,
        attempt: 0,
        operation: Operation::Token.as_str(),
        started: trace.started,
        duration_ms: trace.duration_ms,
        http_status: trace.http_status,
        outcome: word(outcome, &Next::CreateAgain),
        problem: problem.map(|(class, sentence)| Problem::new(class, sentence.clone())),
        request_id: trace.request_id,
    }
}
