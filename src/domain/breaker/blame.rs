//! Blames failures: on the source that all of them since the last success share, or on the bookings and kinds of call that
//! fail while the others succeed. Part of `domain::breaker`, which see; pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::outcome::Operation;

/// Bookings and kinds that are remembered; the oldest is forgotten.
const MEMORY: usize = 256;

/// Failures, with a success elsewhere between any two, after which the source itself is blamed.
const STRIKES: u32 = 3;

/// How long a failure that is no suspicion yet lets others go first.
const STRIKE_FOR: Duration = Duration::from_secs(60);

/// How long strikes and suspicions last without a success of the source.
const SUSPECT_FOR: Duration = Duration::from_secs(15 * 60);

/// Kinds of call that may fail for a reason of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Creates.
    Create,
    /// Searches by confirmation code.
    LookUp,
    /// Calls about a reservation that Guestly holds.
    FollowUp,
}

impl Kind {
    /// The kind of a call; none for a token request, which goes to another address.
    #[must_use]
    pub const fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::Token => None,
            Operation::Create => Some(Self::Create),
            Operation::LookUp => Some(Self::LookUp),
            _ => Some(Self::FollowUp),
        }
    }

    /// `create`, `look_up` or `follow_up`, as `due.sql` names them.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::LookUp => "look_up",
            Self::FollowUp => "follow_up",
        }
    }
}

/// The subject of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The booking; none for a harmless look-up that is about no booking.
    pub booking: Option<String>,
    /// The kind of call.
    pub kind: Kind,
}

/// A booking or a kind of call that fails on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Culprit {
    Booking(String),
    Kind(Kind),
}

impl Culprit {
    fn is(&self, source: &Source) -> bool {
        match self {
            Self::Booking(booking) => source.booking.as_ref() == Some(booking),
            Self::Kind(kind) => source.kind == *kind,
        }
    }
}

/// The one value that all failures share, if they do.
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

/// The source of all failures since the last success, as far as it is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Blame {
    booking: Shared<Option<String>>,
    kind: Shared<Kind>,
}

impl Blame {
    /// One more failure; without a source any booking or kind may have caused it.
    pub(super) fn add(&mut self, source: Option<&Source>) {
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
    pub(super) fn kind(&self) -> Option<Kind> {
        if let Shared::One(kind) = &self.kind { Some(*kind) } else { None }
    }

    /// All failures come from one booking, or from one kind of call.
    pub(super) fn is_single(&self) -> bool {
        self.booking().is_some() || self.kind().is_some()
    }

    /// The source that must be at fault, now that a call of `source` succeeded. The booking rather than the kind: it excuses less.
    pub(super) fn other_than(&self, source: &Source) -> Option<Culprit> {
        let booking = self.booking().filter(|booking| source.booking.as_ref() != Some(booking));
        let kind = self.kind().filter(|kind| source.kind != *kind);
        booking.cloned().map(Culprit::Booking).or(kind.map(Culprit::Kind))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    culprit: Culprit,
    /// Failures with a success of others between any two.
    strikes: u32,
    /// The successes that had been counted at the last one, and its booking.
    seen: (u64, Option<String>),
    /// The last failure.
    last: Duration,
    suspect_since: Option<Duration>,
}

impl Record {
    fn is_suspect(&self, now: Duration) -> bool {
        self.suspect_since.is_some_and(|since| now.saturating_sub(since) < SUSPECT_FOR)
    }
}

/// The bookings and kinds that failed since they last succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Suspects {
    records: VecDeque<Record>,
    successes: u64,
}

impl Suspects {
    /// A call of `source` failed.
    pub(super) fn failed(&mut self, source: &Source, now: Duration) {
        let successes = self.successes;
        for culprit in source.booking.clone().map(Culprit::Booking).into_iter().chain([Culprit::Kind(source.kind)]) {
            // A kind is at fault if several bookings fail with it.
            let again = matches!(culprit, Culprit::Kind(_));
            let record = self.record(culprit);
            if now.saturating_sub(std::mem::replace(&mut record.last, now)) >= SUSPECT_FOR {
                record.strikes = 0;
            }
            let seen = (successes, source.booking.clone());
            if record.strikes > 0 && (record.seen.0 == seen.0 || again && record.seen.1 == seen.1) {
                continue;
            }
            (record.strikes, record.seen) = (record.strikes.saturating_add(1), seen);
            if record.strikes >= STRIKES {
                record.suspect_since = Some(now);
            }
        }
    }

    /// A call of `source` succeeded: it is trusted again.
    pub(super) fn succeeded(&mut self, source: &Source) {
        self.successes += 1;
        self.records.retain(|record| !record.culprit.is(source));
    }

    /// This one is at fault.
    pub(super) fn suspect(&mut self, culprit: Culprit, now: Duration) {
        self.record(culprit).suspect_since = Some(now);
    }

    /// True while failures of `source` say nothing about the API.
    pub(super) fn has(&self, source: &Source, now: Duration) -> bool {
        self.records.iter().any(|record| record.culprit.is(source) && record.is_suspect(now))
    }

    /// True while all calls of this kind are at fault, as opposed to those of single bookings.
    pub(super) fn has_kind(&self, kind: Kind, now: Duration) -> bool {
        self.records.iter().any(|record| record.culprit == Culprit::Kind(kind) && record.is_suspect(now))
    }

    /// True from the first suspicion of this kind until one of its calls succeeds, however long that takes.
    pub(super) fn awaits(&self, kind: Kind) -> bool {
        self.records.iter().any(|record| record.culprit == Culprit::Kind(kind) && record.suspect_since.is_some())
    }

    /// The bookings, and the kind if it is one, of which that is so, or nearly so.
    pub(super) fn doubtful(&self, now: Duration) -> (Vec<String>, Option<Kind>) {
        let (mut bookings, mut kinds) = (Vec::new(), Vec::new());
        let doubtful = |record: &&Record| {
            let recent = now.saturating_sub(record.last) < STRIKE_FOR;
            recent && record.strikes.saturating_add(1) >= STRIKES || record.is_suspect(now)
        };
        for record in self.records.iter().filter(doubtful) {
            match &record.culprit {
                Culprit::Booking(booking) => bookings.push(booking.clone()),
                Culprit::Kind(kind) => kinds.push(*kind),
            }
        }
        let kind = kinds.pop().filter(|_| kinds.is_empty());
        (bookings, kind)
    }

    fn record(&mut self, culprit: Culprit) -> &mut Record {
        let place = self.records.iter().position(|record| record.culprit == culprit).unwrap_or_else(|| {
            if self.records.len() >= MEMORY {
                // Never one of the few kinds.
                let oldest = self.records.iter().position(|record| matches!(record.culprit, Culprit::Booking(_)));
                self.records.remove(oldest.unwrap_or_default());
            }
            let last = Duration::ZERO;
            self.records.push_back(Record { culprit, strikes: 0, seen: (0, None), last, suspect_since: None });
            self.records.len() - 1
        });
        &mut self.records[place]
    }
}
