//! Attributes failures: to the source that all failures since the last success share, or to the bookings and kinds of call
//! that fail while others succeed. Part of `domain::breaker`; pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::operation::Operation;
use crate::domain::retry::{FAILURE_FORGOTTEN_AFTER, FAILURE_YIELDS_FOR};

/// Most sources with recent failures that are tracked; the oldest booking is dropped first.
const MAX_TRACKED: usize = 256;

/// Failures, each followed by a success of another source, after which a source is a suspect.
const STRIKES: u32 = 3;

/// Kinds of calls, each of which may fail while the others work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// Creates.
    Create,
    /// Searches by confirmation code.
    LookUp,
    /// Calls about an existing reservation.
    FollowUp,
}

impl CallKind {
    /// The kind of a call; `None` for a token request, which goes to another address.
    #[must_use]
    pub const fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::Token => None,
            Operation::Create => Some(Self::Create),
            Operation::LookUp => Some(Self::LookUp),
            _ => Some(Self::FollowUp),
        }
    }

    /// `create`, `look_up` or `follow_up`, as the claim query names them.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::LookUp => "look_up",
            Self::FollowUp => "follow_up",
        }
    }
}

/// The booking and kind of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSource {
    /// The booking; `None` for a probe.
    pub booking: Option<String>,
    /// The kind of call.
    pub kind: CallKind,
}

/// A booking or a kind of call that fails while others work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Culprit {
    Booking(String),
    Kind(CallKind),
}

impl Culprit {
    fn is(&self, source: &CallSource) -> bool {
        match self {
            Self::Booking(booking) => source.booking.as_ref() == Some(booking),
            Self::Kind(kind) => source.kind == *kind,
        }
    }
}

/// The value that all failures share, if they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Shared<T> {
    #[default]
    Nothing,
    One(T),
    Several,
}

impl<T: PartialEq> Shared<T> {
    fn add(&mut self, value: T) {
        *self = match std::mem::take(self) {
            Self::Nothing => Self::One(value),
            Self::One(known) if known == value => Self::One(known),
            _ => Self::Several,
        };
    }
}

/// The booking and the kind that all failures since the last success share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CommonSource {
    booking: Shared<Option<String>>,
    kind: Shared<CallKind>,
}

impl CommonSource {
    /// Adds a failure. Without a source, any booking or kind may have caused it.
    pub(super) fn add(&mut self, source: Option<&CallSource>) {
        match source {
            Some(source) => {
                self.booking.add(source.booking.clone());
                self.kind.add(source.kind);
            }
            None => (self.booking, self.kind) = (Shared::Several, Shared::Several),
        }
    }

    /// The only booking that failed.
    pub(super) fn booking(&self) -> Option<&String> {
        if let Shared::One(booking) = &self.booking { booking.as_ref() } else { None }
    }

    /// The only kind of call that failed.
    pub(super) fn kind(&self) -> Option<CallKind> {
        if let Shared::One(kind) = &self.kind { Some(*kind) } else { None }
    }

    /// True if all failures come from one booking or one kind of call.
    pub(super) fn is_single(&self) -> bool {
        self.booking().is_some() || self.kind().is_some()
    }

    /// The culprit, given that a call of `source` succeeded. A booking is preferred to a kind: it excuses fewer failures.
    pub(super) fn other_than(&self, source: &CallSource) -> Option<Culprit> {
        let booking = self.booking().filter(|booking| source.booking.as_ref() != Some(booking));
        let kind = self.kind().filter(|kind| source.kind != *kind);
        booking.cloned().map(Culprit::Booking).or(kind.map(Culprit::Kind))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Failures {
    culprit: Culprit,
    /// Failures, each followed by a success of another source.
    strikes: u32,
    /// The count of successes at the last failure, and its booking.
    seen: (u64, Option<String>),
    /// Time of the last failure.
    last: Duration,
    suspect_since: Option<Duration>,
}

impl Failures {
    fn is_suspect(&self, now: Duration) -> bool {
        self.suspect_since.is_some_and(|since| now.saturating_sub(since) < FAILURE_FORGOTTEN_AFTER)
    }
}

/// The bookings and kinds that have failed since their last success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Suspects {
    tracked: VecDeque<Failures>,
    successes: u64,
}

impl Suspects {
    /// A call of `source` failed.
    pub(super) fn failed(&mut self, source: &CallSource, now: Duration) {
        let successes = self.successes;
        for culprit in source.booking.clone().map(Culprit::Booking).into_iter().chain([Culprit::Kind(source.kind)]) {
            // A kind is a suspect only if several bookings fail with it.
            let is_kind = matches!(culprit, Culprit::Kind(_));
            let record = self.failures_of(culprit);
            if now.saturating_sub(std::mem::replace(&mut record.last, now)) >= FAILURE_FORGOTTEN_AFTER {
                record.strikes = 0;
            }
            let seen = (successes, source.booking.clone());
            if record.strikes > 0 && (record.seen.0 == seen.0 || is_kind && record.seen.1 == seen.1) {
                continue;
            }
            (record.strikes, record.seen) = (record.strikes.saturating_add(1), seen);
            if record.strikes >= STRIKES {
                record.suspect_since = Some(now);
            }
        }
    }

    /// A call of `source` succeeded: its booking and kind are no longer suspects.
    pub(super) fn succeeded(&mut self, source: &CallSource) {
        self.successes += 1;
        self.tracked.retain(|record| !record.culprit.is(source));
    }

    /// Makes this one a suspect.
    pub(super) fn suspect(&mut self, culprit: Culprit, now: Duration) {
        self.failures_of(culprit).suspect_since = Some(now);
    }

    /// True if the booking or the kind of `source` is a suspect: its failures do not count as an outage.
    pub(super) fn has(&self, source: &CallSource, now: Duration) -> bool {
        self.tracked.iter().any(|record| record.culprit.is(source) && record.is_suspect(now))
    }

    /// True if this kind of call is a suspect.
    pub(super) fn has_kind(&self, kind: CallKind, now: Duration) -> bool {
        self.tracked.iter().any(|record| record.culprit == Culprit::Kind(kind) && record.is_suspect(now))
    }

    /// True from the time when this kind became a suspect until one of its calls succeeds, however long that takes.
    pub(super) fn awaits(&self, kind: CallKind) -> bool {
        self.tracked.iter().any(|record| record.culprit == Culprit::Kind(kind) && record.suspect_since.is_some())
    }

    /// The bookings that are suspects or about to become one, and the kind if there is just one.
    pub(super) fn likely(&self, now: Duration) -> (Vec<String>, Option<CallKind>) {
        let (mut bookings, mut kinds) = (Vec::new(), Vec::new());
        let likely = |record: &&Failures| {
            let recent = now.saturating_sub(record.last) < FAILURE_YIELDS_FOR;
            recent && record.strikes.saturating_add(1) >= STRIKES || record.is_suspect(now)
        };
        for record in self.tracked.iter().filter(likely) {
            match &record.culprit {
                Culprit::Booking(booking) => bookings.push(booking.clone()),
                Culprit::Kind(kind) => kinds.push(*kind),
            }
        }
        let kind = kinds.pop().filter(|_| kinds.is_empty());
        (bookings, kind)
    }

    fn failures_of(&mut self, culprit: Culprit) -> &mut Failures {
        let place = self.tracked.iter().position(|record| record.culprit == culprit).unwrap_or_else(|| {
            if self.tracked.len() >= MAX_TRACKED {
                // Kinds are never dropped: there are three.
                let oldest = self.tracked.iter().position(|record| matches!(record.culprit, Culprit::Booking(_)));
                self.tracked.remove(oldest.unwrap_or_default());
            }
            let last = Duration::ZERO;
            self.tracked.push_back(Failures { culprit, strikes: 0, seen: (0, None), last, suspect_since: None });
            self.tracked.len() - 1
        });
        &mut self.tracked[place]
    }
}

/// One way to choose the next call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextCall {
    /// Claim a due booking, skipping some.
    Claim {
        /// Bookings to skip.
        skip_bookings: Vec<String>,
        /// The kind of call to skip.
        skip_kind: Option<CallKind>,
    },
    /// Send a look-up that is about no booking: its answer shows whether there is an outage.
    Probe,
}
