//! The decision after a look-up by confirmation code: adopt, look again, create again or fail. Part of
//! `domain::transition`; pure, any thread.

use chrono::{DateTime, Utc};

use super::case::{Case, Transition, WRONG_OUTCOME, is_code};
use crate::domain::diff::mismatch;
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::outcome::{Hit, Outcome};
use crate::domain::queue_row::QueueRow;
use crate::domain::reservation::Reservation;
use crate::domain::retry::{LOOK_UP_GIVES_UP_AFTER, has_propagated, look_up_at};
use crate::domain::snapshot::is_active_status;

/// Empty look-ups required before the last one. A clock that jumps ahead, or look-ups that failed until the propagation
/// delay had passed, must not make a single look-up decide.
const MIN_EMPTY_LOOK_UPS: u32 = 3;

/// Failed look-ups in a row required before giving up. After a long stop of this server one failure must not decide.
const MIN_FAILED_LOOK_UPS: u32 = 20;

/// The pause after a failed look-up grows with the age of the uncertainty. Without one it is that of the fourth attempt.
const USUAL_ATTEMPT: u32 = 4;

pub(super) fn after_look_up(case: &Case) -> Transition {
    let attempt = attempt_of_age(case);
    let again = |class, sentence: &str| look_again(case, Problem::new(class, sentence), attempt);
    let unanswered = |class, sentence: &str, attempt| {
        let row = with_failed_read(case);
        let case = Case { row: &row, ..*case };
        match give_up(&case, sentence) {
            Some(problem) => Transition::Failed(problem),
            None => look_again(&case, Problem::new(class, sentence), attempt),
        }
    };
    match case.outcome {
        Outcome::Found(hits) => {
            let code = &case.wanted.code;
            let ours = |hit: &&Hit| hit.confirmation_code.as_ref().is_none_or(|theirs| is_code(theirs, code));
            let ours: Vec<&Hit> = hits.iter().filter(ours).collect();
            adopt(&ours, case.wanted).unwrap_or_else(|| nothing_found(case))
        }
        Outcome::TokenRejected { sentence, .. } => again(ErrorClass::Credentials, sentence),
        Outcome::Throttled { sentence, .. } => again(ErrorClass::Throttled, sentence),
        Outcome::NotSent { sentence } => again(ErrorClass::Unavailable, sentence),
        Outcome::Unsendable { sentence } => {
            let row = with_failed_read(case);
            let case = Case { row: &row, ..*case };
            match row.failed_reads >= case.policy.max_attempts {
                true => Transition::Failed(given_up(&case, sentence)),
                false => look_again(&case, Problem::new(ErrorClass::InvalidBooking, sentence), attempt),
            }
        }
        Outcome::Unavailable { sentence, .. } => unanswered(ErrorClass::Unavailable, sentence, attempt),
        Outcome::Unknown { sentence } => unanswered(ErrorClass::UnknownOutcome, sentence, attempt),
        // It will be refused again, and no breaker opens for it: use the longest pause.
        Outcome::Refused { sentence, .. } => unanswered(ErrorClass::UnknownOutcome, sentence, u32::MAX),
        Outcome::Created { .. } | Outcome::Updated { .. } | Outcome::Payments(_) | Outcome::Token { .. } => {
            again(ErrorClass::Internal, WRONG_OUTCOME)
        }
    }
}

/// Adopts the oldest reservation that is this booking; fails if there are only others with our code. `None` if there are
/// no reservations at all.
fn adopt(ours: &[&Hit], wanted: &Reservation) -> Option<Transition> {
    let same: Vec<&Hit> = ours.iter().copied().filter(|hit| is_this_booking(hit, wanted)).collect();
    let hit = oldest(&same).or_else(|| oldest(ours))?;
    let (id, code, hits) = (&hit.reservation_id, &wanted.code, ours.len());
    if let Some(sides) = mismatch(wanted, hit).filter(|_| !is_this_booking(hit, wanted)) {
        let sentence = format!("Guestly has reservation {id} under our code {code}, but not this booking: {sides}");
        return Some(Transition::Failed(Problem::new(ErrorClass::Refused, sentence)));
    }
    let warning = (hits > 1).then(|| {
        format!("Guestly has {hits} reservations with the code {code}; {id} was kept; cancel the duplicates in Guestly")
    });
    let found = Some(Box::new((*hit).clone()));
    Some(Transition::Synced { reservation_id: id.clone(), adopted: true, warning, found })
}

/// True if it matches the booking, or was created for it before the booking changed. An ended one is not adopted.
fn is_this_booking(hit: &Hit, wanted: &Reservation) -> bool {
    let ended = wanted.is_active() && hit.status.as_deref().is_some_and(|status| !is_active_status(status));
    let origin = hit.origin_id.as_deref() == Some(&wanted.origin_id);
    mismatch(wanted, hit).is_none() || origin && !ended
}

/// By creation time if the answer has all of them; otherwise by id, since Guestly's ids grow.
fn oldest<'a>(hits: &[&'a Hit]) -> Option<&'a Hit> {
    let dated = hits.iter().all(|hit| hit.created_at.is_some());
    hits.iter().copied().min_by_key(|hit| (hit.created_at.filter(|_| dated), &hit.reservation_id))
}

fn nothing_found(case: &Case) -> Transition {
    let Case { row, policy, moment, .. } = *case;
    let since = uncertain_since(case);
    let late = since.is_some_and(|since| has_propagated(since, moment.started, policy.propagation_delay));
    let certain = since.is_none() || late && row.look_ups >= MIN_EMPTY_LOOK_UPS;
    // A token that was not rejected for a create (a later one) proves nothing about the token that was.
    let refusal = row.pending_refusal.filter(|_| !is_refusal_of_token(row) || moment.token_is_new);
    match (certain, refusal) {
        (true, Some(class)) if row.missing_reservation.is_some() => Transition::Failed(neither_exists(class, case)),
        (true, Some(class)) => Transition::Failed(Problem::new(class, last_problem(row).sentence)),
        (true, None) if row.attempts >= policy.max_attempts => Transition::Failed(exhausted(row)),
        (true, None) => Transition::CreateAgain,
        (false, pending_refusal) => {
            let look_ups = row.look_ups.saturating_add(1);
            // Late, but with too few look-ups: the delay starts again.
            let since = since.map(|since| if late { moment.now } else { since });
            let due = since.map_or(moment.now, |since| look_up_at(since, look_ups, policy.propagation_delay));
            Transition::UncertainCreate {
                due: due.max(moment.now),
                since,
                look_ups,
                failed_reads: 0,
                unconfirmed_creates: row.unconfirmed_creates,
                counted: true,
                problem: last_problem(row),
                pending_refusal,
            }
        }
    }
}

/// A time in the future means that the clock went back; waiting for it would take too long.
fn uncertain_since(case: &Case) -> Option<DateTime<Utc>> {
    case.row.uncertain_since.map(|since| since.min(case.moment.now))
}

/// True if the pending refusal is a create that was rejected like a bad token. A look-up with the same token decides.
fn is_refusal_of_token(row: &QueueRow) -> bool {
    row.pending_refusal.is_some()
        && row.problem.as_ref().is_some_and(|problem| problem.class == ErrorClass::Credentials)
}

/// The booking's row names a reservation that does not exist. A wrong id alone is no reason to create one.
fn neither_exists(class: ErrorClass, case: &Case) -> Problem {
    let (id, code) = (case.row.missing_reservation.as_deref().unwrap_or_default(), &case.wanted.code);
    let sentence = format!(
        "Guestly has neither reservation {id}, which the booking names, nor one with the confirmation code {code}. Set \
         guestly_reservation_id to the right id, or to NULL to create the reservation; then: SELECT guestly_sync({})",
        case.quoted_id()
    );
    Problem::new(class, sentence)
}

fn last_problem(row: &QueueRow) -> Problem {
    let unanswered =
        || Problem::new(ErrorClass::UnknownOutcome, "the create was not answered; its reservation is looked up");
    row.problem.clone().unwrap_or_else(unanswered)
}

fn exhausted(row: &QueueRow) -> Problem {
    let (last, tries) = (last_problem(row), row.attempts);
    let answer = &last.sentence;
    let sentence = format!("given up after {tries} tries, and Guestly does not hold it; the last one: {answer}");
    Problem::new(last.class, sentence)
}

/// Gives up if no answer could be read for a day. Never during an outage, which ends by itself.
fn give_up(case: &Case, last_answer: &str) -> Option<Problem> {
    let Case { row, moment, .. } = *case;
    let since = uncertain_since(case).filter(|_| !moment.outage && row.failed_reads >= MIN_FAILED_LOOK_UPS)?;
    (moment.now - since >= LOOK_UP_GIVES_UP_AFTER).then(|| given_up(case, last_answer))
}

fn given_up(case: &Case, last_answer: &str) -> Problem {
    let hours = uncertain_since(case).map_or(0, |since| (case.moment.now - since).num_hours());
    let (code, id) = (&case.wanted.code, case.quoted_id());
    let sentence = format!(
        "Guestly may have this booking, but no look-up has worked for {hours} hours. Do not create it manually; search Guestly for the \
         confirmation code {code}. To look again: SELECT guestly_sync({id}); last answer: {last_answer}"
    );
    Problem::new(ErrorClass::UnknownOutcome, sentence)
}

/// The row with one more failed read, except during an outage. The uncertainty begins with the first one.
fn with_failed_read(case: &Case) -> QueueRow {
    let counted = !case.moment.outage;
    QueueRow {
        uncertain_since: case.row.uncertain_since.or(counted.then_some(case.moment.now)),
        failed_reads: case.row.failed_reads.saturating_add(u32::from(counted)),
        ..case.row.clone()
    }
}

/// The look-up failed: the uncertainty stays, and a pending refusal keeps its sentence. A refusal of the token is dropped,
/// since the token does not work for look-ups either; the look-up is repeated with the next token.
fn look_again(case: &Case, problem: Problem, attempt: u32) -> Transition {
    let row = case.row;
    let dropped = problem.class == ErrorClass::Credentials && is_refusal_of_token(row);
    let pending_refusal = row.pending_refusal.filter(|_| !dropped);
    let earlier = row.problem.clone().filter(|_| pending_refusal.is_some());
    Transition::UncertainCreate {
        due: case.after_pause(attempt),
        since: uncertain_since(case),
        look_ups: row.look_ups,
        failed_reads: row.failed_reads,
        unconfirmed_creates: row.unconfirmed_creates,
        counted: true,
        problem: earlier.unwrap_or(problem),
        pending_refusal,
    }
}

/// The attempt whose pause fits the age of the uncertainty: pauses grow with it.
fn attempt_of_age(case: &Case) -> u32 {
    let Some(since) = uncertain_since(case) else { return USUAL_ATTEMPT };
    let age = (case.moment.now - since).to_std().unwrap_or_default().as_nanos();
    let base = case.policy.backoff.base.as_nanos().max(1);
    (age / base).checked_ilog2().map_or(1, |doublings| doublings + 1)
}

#[cfg(test)]
#[path = "look_up_tests.rs"]
mod tests;
