//! What becomes of a queued booking when a call about the reservation that Guestly holds has come to an outcome: a change,
//! or reading back. Part of `domain::transition`, which see; any thread. Imports no clock, no `pg`, no `net`.
//!
//! Changes are idempotent, and a yes proves nothing: after the last one, or one of unknown outcome, what is held is read
//! back when it has settled, and what still differs is asked for again. Nothing is ever created from here.

use chrono::{DateTime, Utc};

use super::reads::{after_failed_read, not_found};
use super::{Moment, Next, Policy, Work, is_code, later};
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::held::{Aspects, Known, changed, difference, read};
use crate::domain::outcome::{Hit, Operation, Outcome};
use crate::domain::payment::Recording;
use crate::domain::plan::over_there;
use crate::domain::reservation::Reservation;

/// A change that Guestly says yes to and does not make is asked for so often.
const IGNORED: u32 = 3;

/// What a call tells of the reservation that is held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Confirmed values.
    pub aspects: Aspects,
    /// It was seen to be ours.
    pub verified: bool,
    /// Whether it was we who ended it, where that is known.
    pub ended: Option<bool>,
    /// It was changed, or may have been.
    pub changed: bool,
    /// The total that Guestly reports, a decimal in major units.
    pub total: Option<String>,
}

/// Decides. Total: every outcome of every operation has an answer.
#[must_use]
pub fn next_of_held(
    work: &Work,
    known: &Known,
    outcome: &Outcome,
    wanted: &Reservation,
    policy: &Policy,
    moment: &Moment,
) -> Next {
    match (work.operation, outcome) {
        (Operation::ReadBack, Outcome::Found(hits)) => after_read_back(work, known, hits, wanted, policy, moment),
        (Operation::ListPayments | Operation::RecordPayment, Outcome::Payments(notes)) => {
            after_payments(work, notes, wanted, policy, moment)
        }
        (operation, outcome) if operation.is_read() => after_failed_read(work, known, outcome, wanted, policy, moment),
        (_, outcome) => after_change(work, outcome, policy, moment),
    }
}

/// A change that Guestly did not say yes to.
fn after_change(work: &Work, outcome: &Outcome, policy: &Policy, moment: &Moment) -> Next {
    let after = later(moment.now, policy.settle);
    let given_up = work.attempts >= policy.max_attempts;
    let wait = |due, counted, problem| match given_up && counted {
        true => Next::Failed(problem),
        false => Next::Wait { due, counted, problem },
    };
    let unsure = |due, counted, problem| match given_up && counted {
        true => Next::Failed(problem),
        false => unsure(work, due, counted, problem),
    };
    let problem = |class, sentence: &str| Problem::new(class, sentence);
    match outcome {
        // Notes are not worth a second call.
        Outcome::Updated { .. } => Next::Changed { due: after, read_back: work.operation != Operation::Notes },
        Outcome::Refused { class, sentence } => Next::Failed(refusal(work, *class, sentence)),
        // A new token: perhaps it is about the booking. Reading back tells, with the same token.
        Outcome::TokenRejected { sentence, .. } if moment.token_is_new => {
            unsure(moment.now, true, problem(ErrorClass::Credentials, sentence))
        }
        Outcome::TokenRejected { sentence, .. } => wait(moment.now, false, problem(ErrorClass::Credentials, sentence)),
        Outcome::Throttled { sentence, .. } => wait(moment.now, false, problem(ErrorClass::Throttled, sentence)),
        Outcome::NotSent { sentence } => {
            let due = if moment.outage { moment.now } else { pause(work.attempts, policy, moment) };
            wait(due, !moment.outage, problem(ErrorClass::Unavailable, sentence))
        }
        Outcome::Unsendable { sentence } => {
            wait(pause(work.attempts, policy, moment), true, problem(ErrorClass::InvalidBooking, sentence))
        }
        Outcome::Unavailable { sentence, .. } => {
            unsure(after, !moment.outage, problem(ErrorClass::Unavailable, sentence))
        }
        Outcome::Unknown { sentence } => unsure(after, true, problem(ErrorClass::UnknownOutcome, sentence)),
        Outcome::Created { .. } | Outcome::Found(_) | Outcome::Payments(_) | Outcome::Token { .. } => {
            unsure(after, true, problem(ErrorClass::Internal, OTHER_KIND))
        }
    }
}

pub(super) const OTHER_KIND: &str = "an answer of another kind of call";

pub(super) fn unsure(work: &Work, due: DateTime<Utc>, counted: bool, problem: Problem) -> Next {
    Next::Unsure { due, counted, since: work.doubt_since, failed_reads: work.failed_reads, problem }
}

pub(super) fn pause(tries: u32, policy: &Policy, moment: &Moment) -> DateTime<Utc> {
    later(moment.now, policy.backoff.delay(tries.max(1), moment.jitter, None))
}

pub(super) fn refusal(work: &Work, class: ErrorClass, sentence: &str) -> Problem {
    match is_payment(work) {
        true => Problem::new(class, format!("the payment was not recorded: {sentence}; see guestly_sync.payment_path")),
        false => Problem::new(class, sentence),
    }
}

/// The booking's id, as it stands in what a person is told to type.
pub(super) fn quoted(wanted: &Reservation) -> String {
    format!("'{}'", wanted.booking.booking_id.replace('\'', "''"))
}

pub(super) fn is_payment(work: &Work) -> bool {
    matches!(work.operation, Operation::ListPayments | Operation::RecordPayment)
}

/// A list without ours is reason to record it; an answer to the record without ours is no proof of anything.
fn after_payments(work: &Work, notes: &[String], wanted: &Reservation, policy: &Policy, moment: &Moment) -> Next {
    let listed = wanted.payment.as_ref().is_none_or(|payment| payment.is_among(notes));
    match (listed, work.operation.is_read()) {
        (true, true) => Next::Changed { due: moment.now, read_back: false },
        (true, false) => Next::Changed { due: later(moment.now, policy.settle), read_back: false },
        (false, true) => Next::Differs { due: moment.now, look_ups: work.look_ups, problem: None },
        (false, false) => {
            let sentence = "Guestly says yes to the record of the payment and does not list it".to_owned();
            after_change(work, &Outcome::Unknown { sentence }, policy, moment)
        }
    }
}

fn after_read_back(
    work: &Work,
    known: &Known,
    hits: &[Hit],
    wanted: &Reservation,
    policy: &Policy,
    moment: &Moment,
) -> Next {
    let refused = |sentence| Next::Failed(Problem::new(ErrorClass::Refused, sentence));
    let id = &known.reservation_id;
    let Some(hit) = of(known, hits) else { return not_found(work, known, policy, moment) };
    if !is_ours(hit, known, wanted) {
        let origin = hit.origin_id.as_deref().unwrap_or("unknown");
        return refused(format!(
            "reservation {id} was not made for this booking (its origin id is {origin}), so it is left alone; change it in Guestly"
        ));
    }
    let seen = Known { aspects: read(hit, wanted).over(&known.aspects), ..known.clone() };
    let left = difference(wanted, &seen.aspects);
    let (over, alive) = (seen.aspects.is_over(), wanted.is_active());
    if over && alive && !known.ended {
        return Next::Failed(over_there(&seen));
    }
    let believed = difference(wanted, &known.aspects).is_none();
    match left {
        None if over && alive => Next::Differs { due: moment.now, look_ups: 0, problem: None },
        None => Next::Settled,
        Some(change) if believed => {
            let ignored = work.look_ups.saturating_add(1);
            let sentence = format!("Guestly says yes to a change ({}) and does not make it", change.as_str());
            let problem = Problem::new(ErrorClass::Refused, sentence);
            match ignored >= IGNORED {
                true => Next::Failed(problem),
                false => Next::Differs { due: moment.now, look_ups: ignored, problem: Some(problem) },
            }
        }
        Some(_) => Next::Differs { due: moment.now, look_ups: work.look_ups, problem: None },
    }
}

fn of<'a>(known: &Known, hits: &'a [Hit]) -> Option<&'a Hit> {
    hits.iter().find(|hit| hit.reservation_id == known.reservation_id)
}

/// By its origin; where Guestly shows none, by its code, which no other booking has.
fn is_ours(hit: &Hit, known: &Known, wanted: &Reservation) -> bool {
    match hit.origin_id.as_deref() {
        Some(origin) => origin == wanted.origin_id || origin == known.code,
        None => known.verified || hit.confirmation_code.as_deref().is_some_and(|code| is_code(code, &wanted.code)),
    }
}

/// What to write down of a call about the reservation that is held, whatever becomes of the booking.
#[must_use]
pub fn learned(operation: Operation, known: &Known, outcome: &Outcome, wanted: &Reservation) -> Learned {
    let ends = operation == Operation::Status && !wanted.is_active();
    match outcome {
        Outcome::Updated { total } => {
            let ended = (operation == Operation::Status).then_some(ends);
            let aspects = changed(operation, wanted, &known.aspects);
            Learned { aspects, ended, changed: true, verified: false, total: total.clone() }
        }
        Outcome::Payments(notes) => learned_of_payment(operation, notes, wanted),
        // It certainly was not recorded: no need to ask again.
        Outcome::NotSent { .. } | Outcome::Unsendable { .. } | Outcome::Throttled { .. }
            if operation == Operation::RecordPayment =>
        {
            recording(Recording::Absent, false)
        }
        Outcome::Unavailable { .. } | Outcome::Unknown { .. } if operation.is_update() => {
            // If it is over when it is read back, it was we who ended it, whatever the booking says by then.
            Learned { changed: true, ended: ends.then_some(true), ..Learned::default() }
        }
        Outcome::Found(hits) => match of(known, hits).filter(|hit| is_ours(hit, known, wanted)) {
            Some(hit) => {
                let aspects = read(hit, wanted);
                // Over on both sides: whoever did it, the booking may get a new one.
                let ended = if aspects.is_over() { (!wanted.is_active()).then_some(true) } else { Some(false) };
                Learned { aspects, verified: true, ended, changed: false, total: hit.total.clone() }
            }
            None => Learned::default(),
        },
        _ => Learned::default(),
    }
}

fn learned_of_payment(operation: Operation, notes: &[String], wanted: &Reservation) -> Learned {
    match wanted.payment.as_ref().map(|payment| payment.is_among(notes)) {
        Some(true) => recording(Recording::Recorded, !operation.is_read()),
        Some(false) if operation.is_read() => recording(Recording::Absent, false),
        _ => Learned { changed: !operation.is_read(), ..Learned::default() },
    }
}

fn recording(recording: Recording, changed: bool) -> Learned {
    Learned { aspects: Aspects { payment: Some(recording), ..Aspects::default() }, changed, ..Learned::default() }
}

#[cfg(test)]
#[path = "update_tests.rs"]
pub(super) mod tests;
