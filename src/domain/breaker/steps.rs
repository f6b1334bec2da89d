//! The calls that the breaker lets through next, and the failures that it counts as an outage. Part of `domain::breaker`,
//! which see; pure.

use std::time::Duration;

use super::{Breaker, BreakerState, Kind, Source};

/// Failures for so long without a single success are an outage, whoever's calls failed.
const SURELY: Duration = Duration::from_secs(120);

/// So long after a create has failed other calls go first, while creates are refused.
const CREATE_TURN: Duration = Duration::from_secs(10);

/// One thing to try, in the order of [`Breaker::steps`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A call that is due, but not of these bookings, and not of this kind.
    Claim {
        /// Passed over.
        not_bookings: Vec<String>,
        /// Passed over.
        not_kind: Option<Kind>,
    },
    /// A harmless look-up that is about no booking: its answer tells an outage from the fault of one booking.
    Ask,
}

impl Breaker {
    /// The steps for the next calls, in order; later ones fill the places that earlier ones leave. Calls that are passed over are
    /// not lost.
    #[must_use]
    pub fn steps(&self, now: Duration) -> Vec<Step> {
        let claim = |not_booking: Option<&String>, not_kind| Step::Claim {
            not_bookings: not_booking.cloned().into_iter().collect(),
            not_kind,
        };
        let (booking, kind) = (self.blame.booking(), self.blame.kind());
        if self.state != BreakerState::Open {
            // Probable culprits must not take the few places that there are. Where there is room, sales are always first.
            let (not_bookings, not_kind) = self.suspects.doubtful(now);
            let last = if self.others_before_creates(now) { Some(Kind::Create) } else { None };
            let not_kind =
                not_kind.filter(|kind| *kind != Kind::Create || self.state == BreakerState::HalfOpen).or(last);
            let mut steps = vec![Step::Claim { not_bookings, not_kind }, claim(None, None)];
            steps.dedup();
            return steps;
        }
        if now < self.until {
            return match booking {
                Some(booking) => vec![claim(Some(booking), kind), claim(Some(booking), None), Step::Ask],
                None => vec![claim(None, kind)],
            };
        }
        let last = self.last.as_ref().and_then(|source| source.booking.as_ref());
        let ask = last.map(|_| Step::Ask);
        let mut steps = Vec::new();
        if kind.is_some() {
            steps.push(claim(last, kind));
            steps.extend(ask.clone().filter(|_| kind != Some(Kind::LookUp)));
        }
        steps.push(claim(last, None));
        steps.extend(ask);
        steps.push(claim(None, None));
        steps.dedup();
        steps
    }

    /// None of the steps led to a call: until something new is there, the pause is waited for.
    pub fn nothing_else(&mut self) {
        self.exhausted = true;
    }

    /// Something new may be due.
    pub fn something_new(&mut self) {
        self.exhausted = false;
    }

    /// Whether a failure of this source is the API's and uses up no attempt: an outage of all calls, or of all creates; not a
    /// booking that fails while the others succeed. Reads and changes that fail alone end after their own tries.
    #[must_use]
    pub fn is_outage_for(&self, source: &Source, now: Duration) -> bool {
        match self.state {
            _ if source.kind == Kind::Create && self.refuses_creates(now) => true,
            BreakerState::Closed => false,
            BreakerState::Open => true,
            BreakerState::HalfOpen => !self.suspects.has(source, now),
        }
    }

    /// True while creates fail and the other calls succeed: Guestly accepts no new reservations.
    #[must_use]
    pub fn refuses_creates(&self, now: Duration) -> bool {
        self.suspects.has_kind(Kind::Create, now)
    }

    /// While creates fail and a create has just failed, other calls go first: creates that run into their time-out would take every
    /// place. After a moment a create has its turn again, which may find that the outage is over.
    fn others_before_creates(&self, now: Duration) -> bool {
        let recently = self.create_failed.is_some_and(|at| now.saturating_sub(at) < CREATE_TURN);
        recently && self.refuses_creates(now)
    }

    /// True from then on until a create succeeds.
    #[must_use]
    pub fn awaits_create(&self) -> bool {
        self.suspects.awaits(Kind::Create)
    }

    /// True if it is open and not just one booking's or one kind's fault, as far as can be told by now.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        let (since, last) = self.silent;
        self.state == BreakerState::Open && (self.confirmed || last.saturating_sub(since) >= SURELY)
    }

    /// Something else may be tried at once.
    pub(super) fn may_try(&self) -> bool {
        self.alone && !self.exhausted
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
