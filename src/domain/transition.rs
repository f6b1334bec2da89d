//! The state machine: what becomes of a queued booking when a call has come to an outcome. A table of cases, pure, and the
//! only place that decides whether a create may be repeated. Called by `pg::worker` for each outcome; any thread.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::error::{ErrorClass, Problem};
use super::outcome::{Hit, Operation, Outcome, speaks_of_code};
use super::reservation::Reservation;
use super::retry::{Backoff, later, look_up_at};
use look_up::after_look_up;

mod look_up;
mod reads;
mod update;

pub use update::{Learned, learned, next_of_held};

/// The queue row of a call, as it was when the call was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// What was called.
    pub operation: Operation,
    /// Tries, this one included when it is a create.
    pub attempts: u32,
    /// Since when a create of unknown outcome may be taking effect.
    pub doubt_since: Option<DateTime<Utc>>,
    /// Look-ups since then that found nothing. Of what is held: changes that Guestly said yes to and did not make.
    pub look_ups: u32,
    /// Look-ups or read-backs in a row that brought no answer that can be read.
    pub failed_reads: u32,
    /// Creates of this booking whose outcome was never known.
    pub creates: u32,
    /// Why the row is where it is.
    pub problem: Option<Problem>,
    /// The class the booking fails with when a look-up finds nothing: a refusal that waits to be confirmed.
    pub verdict: Option<ErrorClass>,
    /// The reservation that the booking's row names and Guestly does not hold.
    pub absent: Option<String>,
}

/// The operator's settings for retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Pauses between tries.
    pub backoff: Backoff,
    /// Tries before a transient problem becomes `failed`.
    pub max_attempts: u32,
    /// How long a look-up may find nothing before a create is repeated.
    pub settle: Duration,
}

impl Policy {
    /// No booking waits longer for its next turn: neither for a try nor for what is to settle.
    #[must_use]
    pub fn longest_pause(&self) -> Duration {
        self.backoff.max.max(self.settle)
    }
}

/// The moment of the decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// When the call began.
    pub started: DateTime<Utc>,
    /// When its outcome is judged.
    pub now: DateTime<Utc>,
    /// In [0, 1).
    pub jitter: f64,
    /// The breaker holds this to be an outage: no attempt is used up.
    pub outage: bool,
    /// What `SendGate::token_was_new` says about this call: a rejected create is the booking's affair, not the token's.
    pub token_is_new: bool,
}

/// What becomes of the queue row.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Guestly holds the reservation; the row leaves the queue.
    Synced {
        /// Guestly's id.
        reservation_id: String,
        /// Found instead of created.
        adopted: bool,
        /// Something a person should know, e.g. that Guestly holds two.
        warning: Option<String>,
        /// What Guestly shows of it, if it was found; made by us, it is as it was asked for.
        found: Option<Box<Hit>>,
    },
    /// Back in line at once; no attempt was used.
    Ready(Problem),
    /// Tried and certainly without effect; tried again at `due`. `counted`: it used an attempt.
    Wait {
        /// When to try again.
        due: DateTime<Utc>,
        /// Whether it used an attempt.
        counted: bool,
        /// What was wrong.
        problem: Problem,
    },
    /// A create may have taken effect: the next call is a look-up at `due`.
    Doubt {
        /// When to look.
        due: DateTime<Utc>,
        /// Since when.
        since: Option<DateTime<Utc>>,
        /// Look-ups that found nothing.
        look_ups: u32,
        /// Look-ups in a row that brought no answer that can be read.
        failed_reads: u32,
        /// Creates of unknown outcome.
        creates: u32,
        /// Whether the call used an attempt.
        counted: bool,
        /// Why.
        problem: Problem,
        /// A refusal that the look-up has to confirm.
        verdict: Option<ErrorClass>,
    },
    /// Guestly said yes to a change of what it holds: changed further, or read back, at `due`.
    Changed {
        /// When it has settled.
        due: DateTime<Utc>,
        /// Only reading back tells whether it was made.
        read_back: bool,
    },
    /// A change of what is held may have taken effect, or reading back told nothing: read back at `due`.
    Unsure {
        /// When it has settled, or when to ask again.
        due: DateTime<Utc>,
        /// Whether the call used an attempt.
        counted: bool,
        /// Since when it was not found, if it was not.
        since: Option<DateTime<Utc>>,
        /// Reads in a row that brought no answer that can be read.
        failed_reads: u32,
        /// Why.
        problem: Problem,
    },
    /// The reservation is not there, and nothing but the booking's row said that it was: looked up by our code at `due`.
    LookUp {
        /// When to look.
        due: DateTime<Utc>,
        /// Why.
        problem: Problem,
    },
    /// What was read back is not what it should be.
    Differs {
        /// When to go on.
        due: DateTime<Utc>,
        /// Changes that Guestly said yes to and did not make.
        look_ups: u32,
        /// What is wrong, if it is not just a new change of the booking.
        problem: Option<Problem>,
    },
    /// What was read back is what it should be; the row leaves the queue.
    Settled,
    /// The settle window is over and enough look-ups found nothing: one more create, with the same code.
    CreateAgain,
    /// A person has to look.
    Failed(Problem),
}

/// Decides. Total: every outcome of every operation has an answer.
#[must_use]
pub fn next(work: &Work, outcome: &Outcome, wanted: &Reservation, policy: &Policy, moment: &Moment) -> Next {
    match work.operation {
        Operation::LookUp => after_look_up(work, outcome, wanted, policy, moment),
        // Calls about what is held are decided by [`next_of_held`].
        _ => after_create(work, outcome, wanted, policy, moment),
    }
}

fn after_create(work: &Work, outcome: &Outcome, wanted: &Reservation, policy: &Policy, moment: &Moment) -> Next {
    let problem = |class: ErrorClass, sentence: &str| Problem::new(class, sentence);
    match outcome {
        Outcome::Created { confirmation_code: Some(code), .. } if !is_code(code, &wanted.code) => {
            let sentence = "Guestly answered the create with another confirmation code";
            doubt(work, problem(ErrorClass::UnknownOutcome, sentence), true, policy, moment)
        }
        Outcome::Created { reservation_id, .. } => {
            Next::Synced { reservation_id: reservation_id.clone(), adopted: false, warning: None, found: None }
        }
        Outcome::Refused { class, sentence } if is_perhaps_ours(work, *class, sentence) => {
            confirm(work, *class, problem(*class, sentence), policy, moment)
        }
        Outcome::Refused { class, sentence } => Next::Failed(problem(*class, sentence)),
        // A new token that works for a look-up but not for this create: Guestly means the booking, not the token.
        Outcome::TokenRejected { sentence, .. } if moment.token_is_new => {
            confirm(work, ErrorClass::Refused, problem(ErrorClass::Credentials, sentence), policy, moment)
        }
        Outcome::TokenRejected { sentence, .. } => Next::Ready(problem(ErrorClass::Credentials, sentence)),
        Outcome::Throttled { sentence, .. } => Next::Ready(problem(ErrorClass::Throttled, sentence)),
        Outcome::NotSent { sentence } => not_sent(work, problem(ErrorClass::Unavailable, sentence), policy, moment),
        // The breaker knows nothing of it, and the same request cannot be sent later either.
        Outcome::Unsendable { sentence } => {
            let own = Moment { outage: false, ..*moment };
            not_sent(work, problem(ErrorClass::InvalidBooking, sentence), policy, &own)
        }
        Outcome::Unavailable { sentence, .. } => {
            doubt(work, problem(ErrorClass::Unavailable, sentence), !moment.outage, policy, moment)
        }
        Outcome::Unknown { sentence } => {
            doubt(work, problem(ErrorClass::UnknownOutcome, sentence), !moment.outage, policy, moment)
        }
        Outcome::Updated { .. } | Outcome::Found(_) | Outcome::Payments(_) | Outcome::Token { .. } => {
            doubt(work, problem(ErrorClass::Internal, "an answer of another kind of call"), true, policy, moment)
        }
    }
}

/// Guestly may store a code in another case; whether it does is not documented.
fn is_code(theirs: &str, ours: &str) -> bool {
    theirs.trim().eq_ignore_ascii_case(ours.trim())
}

/// An earlier create of ours may be what takes the dates, or holds the code, or it took effect before Guestly changed its mind.
fn is_perhaps_ours(work: &Work, class: ErrorClass, sentence: &str) -> bool {
    class == ErrorClass::DatesTaken || work.creates > 0 || speaks_of_code(sentence)
}

fn not_sent(work: &Work, problem: Problem, policy: &Policy, moment: &Moment) -> Next {
    if moment.outage {
        return Next::Ready(problem);
    }
    if work.attempts >= policy.max_attempts {
        return Next::Failed(problem);
    }
    let delay = policy.backoff.delay(work.attempts, moment.jitter, None);
    Next::Wait { due: later(moment.now, delay), counted: true, problem }
}

fn doubt(work: &Work, problem: Problem, counted: bool, policy: &Policy, moment: &Moment) -> Next {
    let creates = work.creates.saturating_add(1);
    let look = look_up_at(moment.now, 0, policy.settle);
    // During an outage the attempts do not grow, so the pauses grow with the creates.
    let pause = if moment.outage { policy.backoff.delay(creates, moment.jitter, None) } else { Duration::ZERO };
    Next::Doubt {
        due: look.max(later(moment.now, pause)),
        since: Some(moment.now),
        look_ups: 0,
        failed_reads: 0,
        creates,
        counted,
        problem,
        verdict: None,
    }
}

/// A refusal that a look-up has to confirm. Only an earlier create of unknown outcome makes it worth more than one look.
fn confirm(work: &Work, verdict: ErrorClass, problem: Problem, policy: &Policy, moment: &Moment) -> Next {
    let earlier = work.creates > 0;
    Next::Doubt {
        due: if earlier { look_up_at(moment.now, 0, policy.settle) } else { moment.now },
        since: earlier.then_some(moment.now),
        look_ups: 0,
        failed_reads: 0,
        creates: work.creates,
        counted: true,
        problem,
        verdict: Some(verdict),
    }
}

#[cfg(test)]
#[path = "transition_tests.rs"]
mod tests;
