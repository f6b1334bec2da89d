//! The decision after a create. Part of `domain::transition`; pure, any thread.

use std::time::Duration;

use super::case::{Case, Moment, Transition, WRONG_OUTCOME, is_code};
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::outcome::{Outcome, speaks_of_code};
use crate::domain::queue_row::QueueRow;
use crate::domain::retry::{later, look_up_at};

pub(super) fn after_create(case: &Case) -> Transition {
    let outage = case.moment.outage;
    let problem = |class: ErrorClass, sentence: &str| Problem::new(class, sentence);
    match case.outcome {
        Outcome::Created { confirmation_code: Some(code), .. } if !is_code(code, &case.wanted.code) => {
            let sentence = "Guestly answered the create with another confirmation code";
            uncertain(case, problem(ErrorClass::UnknownOutcome, sentence), true)
        }
        Outcome::Created { reservation_id, .. } => {
            Transition::Synced { reservation_id: reservation_id.clone(), adopted: false, warning: None, found: None }
        }
        Outcome::Refused { class, sentence } if may_be_our_own(case.row, *class, sentence) => {
            verify_refusal(case, *class, problem(*class, sentence))
        }
        Outcome::Refused { class, sentence } => Transition::Failed(problem(*class, sentence)),
        // A new token that works for a look-up but not for this create: the rejection is about the booking.
        Outcome::TokenRejected { sentence, .. } if case.moment.token_is_new => {
            verify_refusal(case, ErrorClass::Refused, problem(ErrorClass::Credentials, sentence))
        }
        Outcome::TokenRejected { sentence, .. } => Transition::Ready(problem(ErrorClass::Credentials, sentence)),
        Outcome::Throttled { sentence, .. } => Transition::Ready(problem(ErrorClass::Throttled, sentence)),
        Outcome::NotSent { sentence } => not_sent(case, problem(ErrorClass::Unavailable, sentence)),
        // The breaker does not see it, and the same request can never be sent.
        Outcome::Unsendable { sentence } => {
            let moment = Moment { outage: false, ..*case.moment };
            not_sent(&Case { moment: &moment, ..*case }, problem(ErrorClass::InvalidBooking, sentence))
        }
        Outcome::Unavailable { sentence, .. } => uncertain(case, problem(ErrorClass::Unavailable, sentence), !outage),
        Outcome::Unknown { sentence } => uncertain(case, problem(ErrorClass::UnknownOutcome, sentence), !outage),
        Outcome::Updated { .. } | Outcome::Found(_) | Outcome::Payments(_) | Outcome::Token { .. } => {
            uncertain(case, problem(ErrorClass::Internal, WRONG_OUTCOME), true)
        }
    }
}

/// True if an earlier create may occupy the dates or the code, so that the refusal needs a look-up.
fn may_be_our_own(row: &QueueRow, class: ErrorClass, sentence: &str) -> bool {
    class == ErrorClass::DatesTaken || row.unconfirmed_creates > 0 || speaks_of_code(sentence)
}

fn not_sent(case: &Case, problem: Problem) -> Transition {
    if case.moment.outage {
        return Transition::Ready(problem);
    }
    if case.row.attempts >= case.policy.max_attempts {
        return Transition::Failed(problem);
    }
    Transition::Wait { due: case.after_pause(case.row.attempts), counted: true, problem }
}

fn uncertain(case: &Case, problem: Problem, counted: bool) -> Transition {
    let Case { row, policy, moment, .. } = *case;
    let unconfirmed_creates = row.unconfirmed_creates.saturating_add(1);
    let look = look_up_at(moment.now, 0, policy.propagation_delay);
    // An outage uses up no attempts, so the pauses grow with the creates instead.
    let pause =
        if moment.outage { policy.backoff.delay(unconfirmed_creates, moment.jitter, None) } else { Duration::ZERO };
    Transition::UncertainCreate {
        due: look.max(later(moment.now, pause)),
        since: Some(moment.now),
        look_ups: 0,
        failed_reads: 0,
        unconfirmed_creates,
        counted,
        problem,
        pending_refusal: None,
    }
}

/// One look-up confirms the refusal; several only if an earlier create may still take effect.
fn verify_refusal(case: &Case, class: ErrorClass, problem: Problem) -> Transition {
    let Case { row, policy, moment, .. } = *case;
    let earlier = row.unconfirmed_creates > 0;
    Transition::UncertainCreate {
        due: if earlier { look_up_at(moment.now, 0, policy.propagation_delay) } else { moment.now },
        since: earlier.then_some(moment.now),
        look_ups: 0,
        failed_reads: 0,
        unconfirmed_creates: row.unconfirmed_creates,
        counted: true,
        problem,
        pending_refusal: Some(class),
    }
}
