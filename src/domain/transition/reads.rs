//! Reading back what Guestly holds: reads that bring no answer, and a reservation that is not found. Part of
//! `domain::transition`, which see; any thread. Imports no clock, no `pg`, no `net`.

use chrono::{DateTime, Utc};

use super::update::{OTHER_KIND, is_payment, pause, quoted, refusal, unsure};
use super::{Moment, Next, Policy, Work, later};
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::held::Known;
use crate::domain::outcome::Outcome;
use crate::domain::reservation::Reservation;
use crate::domain::retry::{look_up_at, settled};

/// A call that only asks may always be repeated and uses up no attempt of the booking. One that is never answered in words that
/// can be read ends all the same: then the change alone fails, and what Guestly holds stays as it is.
pub(super) fn after_failed_read(
    work: &Work,
    known: &Known,
    outcome: &Outcome,
    wanted: &Reservation,
    policy: &Policy,
    moment: &Moment,
) -> Next {
    let failed = work.failed_reads.saturating_add(1);
    let problem = |class, sentence: &str| Problem::new(class, sentence);
    let wait = |due, problem| Next::Wait { due, counted: false, problem };
    let again = |class, sentence: &str| {
        let problem = problem(class, sentence);
        if moment.outage {
            return unsure(work, pause(failed, policy, moment), false, problem);
        }
        if failed >= policy.max_attempts {
            return Next::Failed(unreadable(work, known, wanted, failed, &problem));
        }
        unsure(&Work { failed_reads: failed, ..work.clone() }, pause(failed, policy, moment), false, problem)
    };
    match outcome {
        Outcome::Refused { class, sentence } => Next::Failed(refusal(work, *class, sentence)),
        // The token is good for others, or the send gate will find out that it is not.
        Outcome::TokenRejected { sentence, .. } if moment.token_is_new => again(ErrorClass::Refused, sentence),
        Outcome::TokenRejected { sentence, .. } => wait(moment.now, problem(ErrorClass::Credentials, sentence)),
        Outcome::Throttled { sentence, .. } => wait(moment.now, problem(ErrorClass::Throttled, sentence)),
        Outcome::NotSent { sentence } => {
            let due = if moment.outage { moment.now } else { pause(work.attempts, policy, moment) };
            wait(due, problem(ErrorClass::Unavailable, sentence))
        }
        Outcome::Unsendable { sentence } => again(ErrorClass::InvalidBooking, sentence),
        Outcome::Unavailable { sentence, .. } => again(ErrorClass::Unavailable, sentence),
        Outcome::Unknown { sentence } => again(ErrorClass::UnknownOutcome, sentence),
        _ => again(ErrorClass::Internal, OTHER_KIND),
    }
}

fn unreadable(work: &Work, known: &Known, wanted: &Reservation, tries: u32, last: &Problem) -> Problem {
    let (id, said) = (&known.reservation_id, &last.sentence);
    let what = if is_payment(work) { "its payments" } else { "it" };
    let sentence = format!(
        "Guestly holds reservation {id}, but {what} could not be read in {tries} tries; compare it with the booking in Guestly; \
         to try again: SELECT guestly_sync({}); the last answer: {said}",
        quoted(wanted)
    );
    Problem::new(last.class, sentence)
}

/// Guestly's reads lag behind its writes, and who wrote last may be forgotten: only what is still not found when `settle` has
/// passed since the first look that did not find it, or since a later change, is not there.
pub(super) fn not_found(work: &Work, known: &Known, policy: &Policy, moment: &Moment) -> Next {
    let id = &known.reservation_id;
    // A time of the future means that the clock went back.
    let past = |at: &DateTime<Utc>| *at <= moment.now;
    let since =
        work.doubt_since.filter(past).unwrap_or(moment.now).max(known.changed_at.filter(past).unwrap_or_default());
    if settled(since, moment.started, policy.settle) && work.doubt_since.is_some() {
        if !known.verified || known.code.is_empty() {
            let sentence =
                format!("Guestly does not hold reservation {id}; a look-up by the confirmation code decides");
            return Next::LookUp { due: moment.now, problem: Problem::new(ErrorClass::UnknownOutcome, sentence) };
        }
        let sentence = format!("Guestly does not hold reservation {id} any more");
        return Next::Failed(Problem::new(ErrorClass::Refused, sentence));
    }
    let sentence = format!("Guestly does not show reservation {id} yet; it is looked for again");
    let problem = Problem::new(ErrorClass::UnknownOutcome, sentence);
    let look = (0..16).map(|looks| look_up_at(since, looks, policy.settle)).find(|at| *at > moment.now);
    let due = look.unwrap_or_else(|| later(moment.now, policy.settle));
    Next::Unsure { due, counted: false, since: Some(since), failed_reads: 0, problem }
}

#[cfg(test)]
#[path = "reads_tests.rs"]
mod tests;
