//! The decision after a call about an existing reservation: a change, a payment or a read-back. Part of
//! `domain::transition`; pure, any thread.
//!
//! Changes are idempotent, and a 2xx does not prove that a change was made: after the last change, or one of unknown
//! outcome, the reservation is read back once the propagation delay has passed, and remaining differences are sent again.

use super::case::{Case, Transition, WRONG_OUTCOME};
use super::reads::{after_failed_read, not_found};
use super::snapshot_update::{hit_of, is_ours};
use crate::domain::diff::{next_change, snapshot_of_hit};
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::operation::Operation;
use crate::domain::outcome::{Hit, Outcome};
use crate::domain::plan::ended_remotely;
use crate::domain::snapshot::RemoteReservation;

/// Times that a change is sent which Guestly accepts but does not make.
const MAX_IGNORED: u32 = 3;

pub(super) fn after_call(case: &Case, remote: &RemoteReservation) -> Transition {
    match (case.row.operation, case.outcome) {
        (Operation::ReadBack, Outcome::Found(hits)) => after_read_back(case, remote, hits),
        (operation, Outcome::Payments(notes)) if operation.is_about_payment() => after_payments(case, notes),
        (operation, _) if operation.is_read() => after_failed_read(case, remote),
        _ => after_change(case),
    }
}

fn after_change(case: &Case) -> Transition {
    let Case { row, policy, moment, .. } = *case;
    let exhausted = row.attempts >= policy.max_attempts;
    let wait = |due, counted, problem| match exhausted && counted {
        true => Transition::Failed(problem),
        false => Transition::Wait { due, counted, problem },
    };
    let uncertain = |due, counted, problem| match exhausted && counted {
        true => Transition::Failed(problem),
        false => case.uncertain_change(due, counted, problem),
    };
    let problem = |class, sentence: &str| Problem::new(class, sentence);
    let (now, propagated) = (moment.now, case.after_propagation());
    match case.outcome {
        // Notes are not worth a second call.
        Outcome::Updated { .. } => {
            Transition::Changed { due: propagated, read_back: row.operation != Operation::Notes }
        }
        Outcome::Refused { class, sentence } => Transition::Failed(case.refusal(*class, sentence)),
        // With a new token the rejection may be about the booking. A read with the same token decides.
        Outcome::TokenRejected { sentence, .. } if moment.token_is_new => {
            uncertain(now, true, problem(ErrorClass::Credentials, sentence))
        }
        Outcome::TokenRejected { sentence, .. } => wait(now, false, problem(ErrorClass::Credentials, sentence)),
        Outcome::Throttled { sentence, .. } => wait(now, false, problem(ErrorClass::Throttled, sentence)),
        Outcome::NotSent { sentence } => {
            let due = if moment.outage { now } else { case.after_pause(row.attempts) };
            wait(due, !moment.outage, problem(ErrorClass::Unavailable, sentence))
        }
        Outcome::Unsendable { sentence } => {
            wait(case.after_pause(row.attempts), true, problem(ErrorClass::InvalidBooking, sentence))
        }
        Outcome::Unavailable { sentence, .. } => {
            uncertain(propagated, !moment.outage, problem(ErrorClass::Unavailable, sentence))
        }
        Outcome::Unknown { sentence } => uncertain(propagated, true, problem(ErrorClass::UnknownOutcome, sentence)),
        Outcome::Created { .. } | Outcome::Found(_) | Outcome::Payments(_) | Outcome::Token { .. } => {
            uncertain(propagated, true, problem(ErrorClass::Internal, WRONG_OUTCOME))
        }
    }
}

/// A list without our payment means that it must be recorded. An answer to the record without it proves nothing.
fn after_payments(case: &Case, notes: &[String]) -> Transition {
    let (row, now) = (case.row, case.moment.now);
    let listed = case.wanted.payment.as_ref().is_none_or(|payment| payment.is_among(notes));
    match (listed, row.operation.is_read()) {
        (true, true) => Transition::Changed { due: now, read_back: false },
        (true, false) => Transition::Changed { due: case.after_propagation(), read_back: false },
        (false, true) => Transition::Differs { due: now, look_ups: row.look_ups, problem: None },
        (false, false) => {
            let sentence = "Guestly accepted the payment record but does not list it".to_owned();
            after_change(&Case { outcome: &Outcome::Unknown { sentence }, ..*case })
        }
    }
}

fn after_read_back(case: &Case, remote: &RemoteReservation, hits: &[Hit]) -> Transition {
    let Case { row, wanted, moment, .. } = *case;
    let id = &remote.reservation_id;
    let Some(hit) = hit_of(remote, hits) else { return not_found(case, remote) };
    if !is_ours(hit, remote, wanted) {
        let origin = hit.origin_id.as_deref().unwrap_or("unknown");
        let sentence = format!(
            "reservation {id} was not made for this booking (its origin id is {origin}), so it is left alone; change it in Guestly"
        );
        return Transition::Failed(Problem::new(ErrorClass::Refused, sentence));
    }
    let seen = RemoteReservation { snapshot: snapshot_of_hit(hit, wanted).over(&remote.snapshot), ..remote.clone() };
    let (over, active) = (seen.snapshot.is_over(), wanted.is_active());
    if over && active && !remote.ended {
        return Transition::Failed(ended_remotely(&seen));
    }
    let believed_equal = next_change(wanted, &remote.snapshot).is_none();
    let differs = |look_ups, problem| Transition::Differs { due: moment.now, look_ups, problem };
    match next_change(wanted, &seen.snapshot) {
        None if over && active => differs(0, None),
        None => Transition::Confirmed,
        Some(change) if believed_equal => {
            let ignored = row.look_ups.saturating_add(1);
            let sentence = format!("Guestly accepted a change ({}) but did not make it", change.as_str());
            let problem = Problem::new(ErrorClass::Refused, sentence);
            match ignored >= MAX_IGNORED {
                true => Transition::Failed(problem),
                false => differs(ignored, Some(problem)),
            }
        }
        Some(_) => differs(row.look_ups, None),
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
pub(super) mod tests;
