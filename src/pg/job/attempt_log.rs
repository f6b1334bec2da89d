//! The rows of the log, `guestly.attempts`. Part of `pg::job`; main thread.

use chrono::{DateTime, Utc};

use crate::domain::error::{ErrorClass, Problem};
use crate::domain::operation::Operation;
use crate::domain::outcome::Outcome;
use crate::domain::transition::Transition;
use crate::pg::store::attempts::Attempt;
use crate::pg::store::queue::{QueueState, QueueUpdate};

/// Times and identifiers of a call, for the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// When it began.
    pub started: DateTime<Utc>,
    /// Its duration in milliseconds.
    pub duration_ms: i32,
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// `x-request-id`.
    pub request_id: Option<String>,
}

/// The problem for the log: that of this outcome, not an earlier one that the booking keeps.
pub(super) fn logged_problem(outcome: &Outcome, queue_update: &QueueUpdate) -> Option<Problem> {
    match outcome {
        Outcome::Found(_) if queue_update.state != QueueState::Failed => None,
        _ => queue_update.problem.clone(),
    }
}

/// The outcome in one word.
pub(super) fn outcome_label(outcome: &Outcome, next: &Transition) -> &'static str {
    match (outcome, next) {
        (_, Transition::Synced { adopted: true, .. }) => "adopted",
        // The answer has another confirmation code.
        (Outcome::Created { .. }, Transition::UncertainCreate { .. }) => "unknown",
        (Outcome::Created { .. }, _) => "created",
        (Outcome::Updated { .. }, _) => "changed",
        (Outcome::Found(_), Transition::Confirmed) => "confirmed",
        (Outcome::Found(_), Transition::Differs { .. }) => "differs",
        (Outcome::Found(hits), _) if hits.is_empty() => "not_found",
        (Outcome::Found(_), _) => "found",
        (Outcome::Payments(_), Transition::Changed { .. }) => "recorded",
        (Outcome::Payments(_), Transition::Differs { .. }) => "not_recorded",
        (Outcome::Payments(_), _) => "unknown",
        (Outcome::Token { .. }, _) => "token",
        (Outcome::Refused { .. }, _) => "refused",
        (Outcome::TokenRejected { .. }, _) => "rejected",
        (Outcome::Throttled { .. }, _) => "throttled",
        (Outcome::NotSent { .. } | Outcome::Unsendable { .. }, _) => "not_sent",
        (Outcome::Unavailable { .. }, _) => "unavailable",
        (Outcome::Unknown { .. }, _) => "unknown",
    }
}

/// The row of a call that is about no booking: a token request or a ping.
pub fn attempt_without_booking(operation: Operation, outcome: &Outcome, trace: Trace) -> Attempt {
    let problem = match outcome {
        Outcome::Refused { class, sentence } if operation != Operation::Token => Some((*class, sentence)),
        Outcome::Refused { sentence, .. } | Outcome::TokenRejected { sentence, .. } => {
            Some((ErrorClass::Credentials, sentence))
        }
        Outcome::Throttled { sentence, .. } => Some((ErrorClass::Throttled, sentence)),
        Outcome::Unsendable { sentence } => Some((ErrorClass::InvalidBooking, sentence)),
        Outcome::NotSent { sentence } | Outcome::Unavailable { sentence, .. } => {
            Some((ErrorClass::Unavailable, sentence))
        }
        Outcome::Unknown { sentence } => Some((ErrorClass::UnknownOutcome, sentence)),
        _ => None,
    };
    Attempt {
        booking_id: None,
        attempt: 0,
        operation: operation.as_str(),
        started: trace.started,
        duration_ms: trace.duration_ms,
        http_status: trace.http_status,
        outcome: outcome_label(outcome, &Transition::CreateAgain),
        problem: problem.map(|(class, sentence)| Problem::new(class, sentence.clone())),
        request_id: trace.request_id,
    }
}
