//! The decision after a read of an existing reservation that failed or did not find it. Part of `domain::transition`; pure,
//! any thread.

use chrono::{DateTime, Utc};

use super::case::{Case, Transition, WRONG_OUTCOME};
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::outcome::Outcome;
use crate::domain::queue_row::QueueRow;
use crate::domain::retry::{has_propagated, look_up_at};
use crate::domain::snapshot::RemoteReservation;

/// A read may always be repeated and uses up no attempt. If no answer can be read within `max_attempts` reads, only the
/// change fails; the reservation stays as it is.
pub(super) fn after_failed_read(case: &Case, remote: &RemoteReservation) -> Transition {
    let Case { row, policy, moment, .. } = *case;
    let failed = row.failed_reads.saturating_add(1);
    let problem = |class, sentence: &str| Problem::new(class, sentence);
    let wait = |due, problem| Transition::Wait { due, counted: false, problem };
    let again = |class, sentence: &str| {
        let problem = problem(class, sentence);
        if moment.outage {
            return case.uncertain_change(case.after_pause(failed), false, problem);
        }
        if failed >= policy.max_attempts {
            return Transition::Failed(unreadable(case, remote, failed, &problem));
        }
        let row = QueueRow { failed_reads: failed, ..row.clone() };
        Case { row: &row, ..*case }.uncertain_change(case.after_pause(failed), false, problem)
    };
    match case.outcome {
        Outcome::Refused { class, sentence } => Transition::Failed(case.refusal(*class, sentence)),
        // The token works for other calls, or the send gate will find out that it does not.
        Outcome::TokenRejected { sentence, .. } if moment.token_is_new => again(ErrorClass::Refused, sentence),
        Outcome::TokenRejected { sentence, .. } => wait(moment.now, problem(ErrorClass::Credentials, sentence)),
        Outcome::Throttled { sentence, .. } => wait(moment.now, problem(ErrorClass::Throttled, sentence)),
        Outcome::NotSent { sentence } => {
            let due = if moment.outage { moment.now } else { case.after_pause(row.attempts) };
            wait(due, problem(ErrorClass::Unavailable, sentence))
        }
        Outcome::Unsendable { sentence } => again(ErrorClass::InvalidBooking, sentence),
        Outcome::Unavailable { sentence, .. } => again(ErrorClass::Unavailable, sentence),
        Outcome::Unknown { sentence } => again(ErrorClass::UnknownOutcome, sentence),
        _ => again(ErrorClass::Internal, WRONG_OUTCOME),
    }
}

fn unreadable(case: &Case, remote: &RemoteReservation, tries: u32, last: &Problem) -> Problem {
    let (id, answer) = (&remote.reservation_id, &last.sentence);
    let what = if case.row.operation.is_about_payment() { "its payments" } else { "it" };
    let sentence = format!(
        "Guestly has reservation {id}, but {what} could not be read in {tries} tries; compare it with the booking in Guestly; \
         to try again: SELECT guestly_sync({}); the last answer: {answer}",
        case.quoted_id()
    );
    Problem::new(last.class, sentence)
}

/// Guestly's reads lag behind its writes, and the time of the last write may be lost. The reservation is missing only if
/// it is still not found when the propagation delay has passed since the first read without it, or since a later change.
pub(super) fn not_found(case: &Case, remote: &RemoteReservation) -> Transition {
    let Case { row, policy, moment, .. } = *case;
    let delay = policy.propagation_delay;
    let id = &remote.reservation_id;
    // A time in the future means that the clock went back.
    let past = |at: &DateTime<Utc>| *at <= moment.now;
    let first = row.uncertain_since.filter(past).unwrap_or(moment.now);
    let since = first.max(remote.changed_at.filter(past).unwrap_or_default());
    if has_propagated(since, moment.started, delay) && row.uncertain_since.is_some() {
        if !remote.verified || remote.code.is_empty() {
            let sentence =
                format!("Guestly does not hold reservation {id}; a look-up by the confirmation code decides");
            return Transition::LookUp { due: moment.now, problem: Problem::new(ErrorClass::UnknownOutcome, sentence) };
        }
        let sentence = format!("Guestly no longer holds reservation {id}");
        return Transition::Failed(Problem::new(ErrorClass::Refused, sentence));
    }
    let sentence = format!("Guestly does not show reservation {id} yet; it is read again");
    let problem = Problem::new(ErrorClass::UnknownOutcome, sentence);
    let look = (0..16).map(|looks| look_up_at(since, looks, delay)).find(|at| *at > moment.now);
    let due = look.unwrap_or_else(|| case.after_propagation());
    Transition::UncertainChange { due, counted: false, since: Some(since), failed_reads: 0, problem }
}

#[cfg(test)]
#[path = "reads_tests.rs"]
mod tests;
