//! The calls that the breaker lets through next, and the failures that count as an outage. Part of `domain::breaker`; pure.

use std::time::Duration;

use super::source::{CallKind, CallSource, NextCall};
use super::{Breaker, BreakerState};
use crate::domain::retry::{CREATE_YIELDS_FOR, OUTAGE_CONFIRMED_AFTER};

impl Breaker {
    /// The ways to choose the next calls, in order of preference: later ones fill the places that earlier ones leave.
    /// Skipped calls are only postponed.
    #[must_use]
    pub fn next_calls(&self, now: Duration) -> Vec<NextCall> {
        let claim = |not_booking: Option<&String>, skip_kind| NextCall::Claim {
            skip_bookings: not_booking.cloned().into_iter().collect(),
            skip_kind,
        };
        let (booking, kind) = (self.common.booking(), self.common.kind());
        if self.state != BreakerState::Open {
            // Likely culprits must not take scarce places. If there is room, creates are always first.
            let (skip_bookings, skip_kind) = self.suspects.likely(now);
            let last = if self.others_before_creates(now) { Some(CallKind::Create) } else { None };
            let skip_kind =
                skip_kind.filter(|kind| *kind != CallKind::Create || self.state == BreakerState::HalfOpen).or(last);
            let mut steps = vec![NextCall::Claim { skip_bookings, skip_kind }, claim(None, None)];
            steps.dedup();
            return steps;
        }
        if now < self.until {
            return match booking {
                Some(booking) => vec![claim(Some(booking), kind), claim(Some(booking), None), NextCall::Probe],
                None => vec![claim(None, kind)],
            };
        }
        let last = self.last.as_ref().and_then(|source| source.booking.as_ref());
        let probe = last.map(|_| NextCall::Probe);
        let mut steps = Vec::new();
        if kind.is_some() {
            steps.push(claim(last, kind));
            steps.extend(probe.clone().filter(|_| kind != Some(CallKind::LookUp)));
        }
        steps.push(claim(last, None));
        steps.extend(probe);
        steps.push(claim(None, None));
        steps.dedup();
        steps
    }

    /// None of the ways led to a call: wait for the end of the pause, or for new work.
    pub fn mark_exhausted(&mut self) {
        self.exhausted = true;
    }

    /// A booking may have become due.
    pub fn work_arrived(&mut self) {
        self.exhausted = false;
    }

    /// True if a failure of this source counts as an outage and uses up no attempt: an outage of all calls, or of all
    /// creates. A booking that fails while others succeed uses up its attempts; so do reads and changes.
    #[must_use]
    pub fn is_outage_for(&self, source: &CallSource, now: Duration) -> bool {
        match self.state {
            _ if source.kind == CallKind::Create && self.refuses_creates(now) => true,
            BreakerState::Closed => false,
            BreakerState::Open => true,
            BreakerState::HalfOpen => !self.suspects.has(source, now),
        }
    }

    /// True while creates fail and other calls succeed: Guestly accepts no new reservations.
    #[must_use]
    pub fn refuses_creates(&self, now: Duration) -> bool {
        self.suspects.has_kind(CallKind::Create, now)
    }

    /// True just after a create has failed while creates are refused: other calls go first, or creates that time out would
    /// take every place. Then one create is tried again, which may find that the outage is over.
    fn others_before_creates(&self, now: Duration) -> bool {
        let recently = self.create_failed.is_some_and(|at| now.saturating_sub(at) < CREATE_YIELDS_FOR);
        recently && self.refuses_creates(now)
    }

    /// True from the time when creates were first refused until a create succeeds.
    #[must_use]
    pub fn awaits_create(&self) -> bool {
        self.suspects.awaits(CallKind::Create)
    }

    /// True if it is open, and not just because of one booking or one kind of call.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        let (since, last) = self.without_success;
        self.state == BreakerState::Open
            && (self.several_failed || last.saturating_sub(since) >= OUTAGE_CONFIRMED_AFTER)
    }
}

#[cfg(test)]
#[path = "next_calls_tests.rs"]
mod tests;
