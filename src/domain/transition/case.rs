//! The inputs of a decision about a queued booking, the decision itself, and what all decisions share. Part of
//! `domain::transition`; pure, any thread.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::domain::error::{ErrorClass, Problem};
use crate::domain::outcome::{Hit, Outcome};
use crate::domain::queue_row::QueueRow;
use crate::domain::reservation::Reservation;
use crate::domain::retry::{Backoff, later};

/// The problem of an outcome that the operation cannot have.
pub(super) const WRONG_OUTCOME: &str = "an answer of another kind of call";

/// The operator's settings for retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// Attempts before a transient problem becomes `failed`.
    pub max_attempts: u32,
    /// The setting `settle`: how long Guestly's reads may lag behind its writes. A create is repeated only after look-ups
    /// have found nothing for this long.
    pub propagation_delay: Duration,
}

impl Policy {
    /// The longest time that a booking waits for its next call.
    #[must_use]
    pub fn longest_pause(&self) -> Duration {
        self.backoff.max.max(self.propagation_delay)
    }
}

/// The circumstances of the decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// When the call began.
    pub started: DateTime<Utc>,
    /// The time of the decision.
    pub now: DateTime<Utc>,
    /// In [0, 1).
    pub jitter: f64,
    /// The breaker considers this failure an outage: no attempt is used up.
    pub outage: bool,
    /// `TokenGate::was_new_for` of this call: its rejection is about the booking, not about the token.
    pub token_is_new: bool,
}

/// A call that has ended, with everything that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The queue row, with the call that was made.
    pub row: &'a QueueRow,
    /// The outcome of the call.
    pub outcome: &'a Outcome,
    /// The reservation that Guestly should have.
    pub wanted: &'a Reservation,
    /// The operator's settings.
    pub policy: &'a Policy,
    /// Times, jitter and the state of breaker and token.
    pub moment: &'a Moment,
}

/// The next state of a booking.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// Guestly has the reservation; the row leaves the queue.
    Synced {
        /// Guestly's id.
        reservation_id: String,
        /// Found instead of created.
        adopted: bool,
        /// Something that needs manual action, for example a duplicate in Guestly.
        warning: Option<String>,
        /// The reservation as Guestly shows it, if it was found; one that we created is as requested.
        found: Option<Box<Hit>>,
    },
    /// Ready again at once; no attempt was used.
    Ready(Problem),
    /// The call certainly had no effect; it is repeated at `due`.
    Wait {
        /// Time of the next attempt.
        due: DateTime<Utc>,
        /// True if it used an attempt.
        counted: bool,
        /// The cause.
        problem: Problem,
    },
    /// A create may have taken effect: the next call is a look-up at `due`.
    UncertainCreate {
        /// Time of the look-up.
        due: DateTime<Utc>,
        /// Since when.
        since: Option<DateTime<Utc>>,
        /// Look-ups that found nothing.
        look_ups: u32,
        /// Look-ups in a row without a readable answer.
        failed_reads: u32,
        /// Creates of unknown outcome.
        unconfirmed_creates: u32,
        /// True if the call used an attempt.
        counted: bool,
        /// The cause.
        problem: Problem,
        /// A refusal that the look-up must confirm.
        pending_refusal: Option<ErrorClass>,
    },
    /// Guestly accepted a change. The next change, or a read to verify this one, follows at `due`.
    Changed {
        /// End of the propagation delay.
        due: DateTime<Utc>,
        /// The change must be verified by reading the reservation back.
        read_back: bool,
    },
    /// A change may have taken effect, or a read failed: the reservation is read back at `due`.
    UncertainChange {
        /// Time of the read.
        due: DateTime<Utc>,
        /// True if the call used an attempt.
        counted: bool,
        /// Since when the reservation was not found, if it was not.
        since: Option<DateTime<Utc>>,
        /// Reads in a row without a readable answer.
        failed_reads: u32,
        /// The cause.
        problem: Problem,
    },
    /// The reservation does not exist and only the booking's row named it: it is looked up by our code at `due`.
    LookUp {
        /// Time of the look-up.
        due: DateTime<Utc>,
        /// The cause.
        problem: Problem,
    },
    /// The reservation was read back and differs from the booking.
    Differs {
        /// Time of the next change.
        due: DateTime<Utc>,
        /// Changes that Guestly accepted but did not make.
        look_ups: u32,
        /// The cause, unless the booking just changed again.
        problem: Option<Problem>,
    },
    /// The reservation was read back and matches the booking; the row leaves the queue.
    Confirmed,
    /// The propagation delay has passed and enough look-ups found nothing: create again, with the same code.
    CreateAgain,
    /// Needs manual action.
    Failed(Problem),
}

impl Case<'_> {
    /// The end of the pause after `attempts` attempts.
    pub(super) fn after_pause(&self, attempts: u32) -> DateTime<Utc> {
        later(self.moment.now, self.policy.backoff.delay(attempts, self.moment.jitter, None))
    }

    /// The end of the propagation delay of a write that was made now.
    pub(super) fn after_propagation(&self) -> DateTime<Utc> {
        later(self.moment.now, self.policy.propagation_delay)
    }

    /// The reservation is read back at `due`; the counts of the row stay.
    pub(super) fn uncertain_change(&self, due: DateTime<Utc>, counted: bool, problem: Problem) -> Transition {
        let row = self.row;
        Transition::UncertainChange {
            due,
            counted,
            since: row.uncertain_since,
            failed_reads: row.failed_reads,
            problem,
        }
    }

    /// The problem of a refusal; that of a payment call says so.
    pub(super) fn refusal(&self, class: ErrorClass, sentence: &str) -> Problem {
        match self.row.operation.is_about_payment() {
            true => {
                Problem::new(class, format!("the payment was not recorded: {sentence}; see guestly_sync.payment_path"))
            }
            false => Problem::new(class, sentence),
        }
    }

    /// The booking's id as an SQL literal, for statements that an operator can type.
    pub(super) fn quoted_id(&self) -> String {
        format!("'{}'", self.wanted.booking.booking_id.replace('\'', "''"))
    }
}

/// Compares confirmation codes. The API does not document whether it preserves case.
pub(super) fn is_code(theirs: &str, ours: &str) -> bool {
    theirs.trim().eq_ignore_ascii_case(ours.trim())
}
