//! What becomes of a queued booking when a look-up has come to an outcome: adopted, looked for again, created again or
//! failed. Part of `domain::transition`, which see; any thread. Imports no clock, no `pg`, no `net`.

use chrono::{DateTime, TimeDelta, Utc};

use super::update::quoted;
use super::{Moment, Next, Policy, Work, is_code, later};
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::outcome::{Hit, Outcome};
use crate::domain::reservation::{Reservation, is_active_status};
use crate::domain::retry::{look_up_at, settled};

/// Look-ups that must have found nothing before the one that ends a doubt: a clock that jumps ahead, or look-ups that
/// failed until the window was over, must not make one look enough.
const EARLIER_LOOKS: u32 = 3;

/// A doubt that could not be looked into for so long is left to a person.
const GIVE_UP: TimeDelta = TimeDelta::hours(24);

/// Look-ups in a row that must have failed by then: after a long pause of this server, one failure must not end a doubt.
const FAILED_LOOKS: u32 = 20;

/// Failed look-ups are not counted; without a doubt, whose age stands for their number, the pause is that of the fourth.
const USUAL_TRY: u32 = 4;

pub(super) fn after_look_up(
    work: &Work,
    outcome: &Outcome,
    wanted: &Reservation,
    policy: &Policy,
    moment: &Moment,
) -> Next {
    let again = |class, sentence: &str, tries| look_again(work, Problem::new(class, sentence), tries, policy, moment);
    let unread = |class, sentence: &str, tries| {
        let work = doubted(work, moment);
        match give_up(&work, FAILED_LOOKS, sentence, wanted, moment) {
            Some(problem) => Next::Failed(problem),
            None => look_again(&work, Problem::new(class, sentence), tries, policy, moment),
        }
    };
    let tries = tries(work, policy, moment);
    match outcome {
        Outcome::Found(hits) => {
            let ours = |hit: &&Hit| hit.confirmation_code.as_ref().is_none_or(|code| is_code(code, &wanted.code));
            let ours: Vec<&Hit> = hits.iter().filter(ours).collect();
            adopt(&ours, wanted).unwrap_or_else(|| nothing_found(work, wanted, policy, moment))
        }
        Outcome::TokenRejected { sentence, .. } => again(ErrorClass::Credentials, sentence, tries),
        Outcome::Throttled { sentence, .. } => again(ErrorClass::Throttled, sentence, tries),
        Outcome::NotSent { sentence } => again(ErrorClass::Unavailable, sentence, tries),
        Outcome::Unsendable { sentence } => {
            let work = doubted(work, moment);
            match work.failed_reads >= policy.max_attempts {
                true => Next::Failed(gave_up(&work, sentence, wanted, moment)),
                false => look_again(&work, Problem::new(ErrorClass::InvalidBooking, sentence), tries, policy, moment),
            }
        }
        Outcome::Unavailable { sentence, .. } => unread(ErrorClass::Unavailable, sentence, tries),
        Outcome::Unknown { sentence } => unread(ErrorClass::UnknownOutcome, sentence, tries),
        // It will be refused again, and no breaker opens for it: as seldom as the settings know.
        Outcome::Refused { sentence, .. } => unread(ErrorClass::UnknownOutcome, sentence, u32::MAX),
        Outcome::Created { .. } | Outcome::Updated { .. } | Outcome::Payments(_) | Outcome::Token { .. } => {
            again(ErrorClass::Internal, "an answer of another kind of call", tries)
        }
    }
}

/// None if there is none of ours. The oldest that is this booking is kept; only if none is, a person has to look.
fn adopt(ours: &[&Hit], wanted: &Reservation) -> Option<Next> {
    let same: Vec<&Hit> = ours.iter().copied().filter(|hit| is_this(hit, wanted)).collect();
    let hit = oldest(&same).or_else(|| oldest(ours))?;
    let (id, code, hits) = (&hit.reservation_id, &wanted.code, ours.len());
    if let Some(sides) = wanted.difference(hit).filter(|_| !is_this(hit, wanted)) {
        let sentence = format!("Guestly holds reservation {id} under our code {code}, but not this booking: {sides}");
        return Some(Next::Failed(Problem::new(ErrorClass::Refused, sentence)));
    }
    let warning = (hits > 1).then(|| {
        format!("Guestly holds {hits} reservations with the code {code}; {id} was kept, the others need a person")
    });
    Some(Next::Synced { reservation_id: id.clone(), adopted: true, warning, found: Some(Box::new((*hit).clone())) })
}

/// The same booking, or made for it by us before it was changed. What has ended is not worth keeping.
fn is_this(hit: &Hit, wanted: &Reservation) -> bool {
    let ended = wanted.is_active() && hit.status.as_deref().is_some_and(|status| !is_active_status(status));
    let origin = hit.origin_id.as_deref() == Some(&wanted.origin_id);
    wanted.difference(hit).is_none() || origin && !ended
}

/// Guestly's ids grow with time; where the answer tells of each when it was made, that decides.
fn oldest<'a>(hits: &[&'a Hit]) -> Option<&'a Hit> {
    let dated = hits.iter().all(|hit| hit.created_at.is_some());
    hits.iter().copied().min_by_key(|hit| (hit.created_at.filter(|_| dated), &hit.reservation_id))
}

fn nothing_found(work: &Work, wanted: &Reservation, policy: &Policy, moment: &Moment) -> Next {
    let since = doubt_since(work, moment);
    let late = since.is_some_and(|since| settled(since, moment.started, policy.settle));
    let over = since.is_none() || late && work.look_ups >= EARLIER_LOOKS;
    // A token that was not rejected for a create, say one fetched since, proves nothing about the one that was.
    let verdict = work.verdict.filter(|_| !is_about_token(work) || moment.token_is_new);
    match (over, verdict) {
        (true, Some(class)) if work.absent.is_some() => Next::Failed(neither(class, work, wanted)),
        (true, Some(class)) => Next::Failed(Problem::new(class, still_unknown(work).sentence)),
        (true, None) if work.attempts >= policy.max_attempts => Next::Failed(exhausted(work)),
        (true, None) => Next::CreateAgain,
        (false, verdict) => {
            let look_ups = work.look_ups.saturating_add(1);
            // Late, and hardly looked at: the window begins again.
            let since = since.map(|since| if late { moment.now } else { since });
            let due = since.map_or(moment.now, |since| look_up_at(since, look_ups, policy.settle));
            Next::Doubt {
                due: due.max(moment.now),
                since,
                look_ups,
                failed_reads: 0,
                creates: work.creates,
                counted: true,
                problem: still_unknown(work),
                verdict,
            }
        }
    }
}

/// A doubt of the future means that the clock went back; it would have to be waited out.
fn doubt_since(work: &Work, moment: &Moment) -> Option<DateTime<Utc>> {
    work.doubt_since.map(|since| since.min(moment.now))
}

/// A create was rejected as if for its token, and a look-up with the same token decides.
fn is_about_token(work: &Work) -> bool {
    work.verdict.is_some() && work.problem.as_ref().is_some_and(|problem| problem.class == ErrorClass::Credentials)
}

/// Of a reservation that only the booking's row names: it is never created on the strength of a wrong id alone.
fn neither(class: ErrorClass, work: &Work, wanted: &Reservation) -> Problem {
    let (id, code) = (work.absent.as_deref().unwrap_or_default(), &wanted.code);
    let sentence = format!(
        "Guestly holds neither reservation {id}, which the booking names, nor one with the confirmation code {code}. Set \
         guestly_reservation_id to the right id, or to NULL to create the reservation; then: SELECT guestly_sync({})",
        quoted(wanted)
    );
    Problem::new(class, sentence)
}

fn still_unknown(work: &Work) -> Problem {
    let unsaid = || Problem::new(ErrorClass::UnknownOutcome, "no answer came to the create; Guestly is asked for it");
    work.problem.clone().unwrap_or_else(unsaid)
}

fn exhausted(work: &Work) -> Problem {
    let (last, tries) = (still_unknown(work), work.attempts);
    let said = &last.sentence;
    let sentence = format!("given up after {tries} tries, and Guestly does not hold it; the last one: {said}");
    Problem::new(last.class, sentence)
}

/// Answers that cannot be read, again and again: for ever is too long. Not during an outage, which ends by itself.
fn give_up(work: &Work, least: u32, last: &str, wanted: &Reservation, moment: &Moment) -> Option<Problem> {
    let since = doubt_since(work, moment).filter(|_| !moment.outage && work.failed_reads >= least)?;
    (moment.now - since >= GIVE_UP).then(|| gave_up(work, last, wanted, moment))
}

fn gave_up(work: &Work, last: &str, wanted: &Reservation, moment: &Moment) -> Problem {
    let hours = doubt_since(work, moment).map_or(0, |since| (moment.now - since).num_hours());
    let (code, id) = (&wanted.code, quoted(wanted));
    let sentence = format!(
        "Guestly may hold this booking, but no look-up has worked for {hours} hours. Do not enter it by hand; search Guestly for the \
         confirmation code {code}. To look again: SELECT guestly_sync({id}); last answer: {last}"
    );
    Problem::new(ErrorClass::UnknownOutcome, sentence)
}

/// The doubt is as old as the first look that told nothing; each is counted, except during an outage.
fn doubted(work: &Work, moment: &Moment) -> Work {
    let counted = !moment.outage;
    Work {
        doubt_since: work.doubt_since.or(counted.then_some(moment.now)),
        failed_reads: work.failed_reads.saturating_add(u32::from(counted)),
        ..work.clone()
    }
}

/// The look-up itself did not work: the doubt stays as it is, and a verdict keeps its words. Only a verdict about the
/// token falls, since the token is bad for look-ups too; the look-up is repeated with the next token.
fn look_again(work: &Work, problem: Problem, tries: u32, policy: &Policy, moment: &Moment) -> Next {
    let falls = problem.class == ErrorClass::Credentials && is_about_token(work);
    let verdict = work.verdict.filter(|_| !falls);
    let kept = work.problem.clone().filter(|_| verdict.is_some());
    Next::Doubt {
        due: later(moment.now, policy.backoff.delay(tries, moment.jitter, None)),
        since: doubt_since(work, moment),
        look_ups: work.look_ups,
        failed_reads: work.failed_reads,
        creates: work.creates,
        counted: true,
        problem: kept.unwrap_or(problem),
        verdict,
    }
}

/// The pause after a failed look-up grows to the age of the doubt.
fn tries(work: &Work, policy: &Policy, moment: &Moment) -> u32 {
    let Some(since) = doubt_since(work, moment) else { return USUAL_TRY };
    let age = (moment.now - since).to_std().unwrap_or_default().as_nanos();
    let base = policy.backoff.base.as_nanos().max(1);
    (age / base).checked_ilog2().map_or(1, |doublings| doublings + 1)
}

#[cfg(test)]
#[path = "look_up_tests.rs"]
mod tests;
