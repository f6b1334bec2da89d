//! The send gate: rate limiter, breaker and token decide together whether a call may be sent now. One per worker; lives on
//! its main thread; pure: `now` is monotonic time since the worker's start, `wall` the clock.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::breaker::{Breaker, BreakerState, CallKind, CallSource};
use super::operation::Operation;
use super::outcome::{Outcome, RateLimitHeaders};
use super::rate_limiter::{Limits, RateLimiter};
use super::retry::{MIN_THROTTLE_PAUSE, RETRY_AFTER_JITTER, THROTTLE_PAUSE, part};

mod completion;
mod token_gate;

pub use completion::Completion;
pub use token_gate::{Blocked, TokenGate};

/// The answer to "may I send?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// This many calls may be sent.
    Send(u32),
    /// There is no usable token, and one may be fetched.
    FetchToken,
    /// Nothing may be sent; ask again after this time, or when a call has ended.
    Wait(Option<Duration>),
}

/// Rate limiter, breaker and token of one worker.
#[derive(Debug)]
pub struct SendGate {
    /// Calls per second, minute and hour.
    pub limiter: RateLimiter,
    /// Outages.
    pub breaker: Breaker,
    /// The access token.
    pub tokens: TokenGate,
}

impl SendGate {
    /// A gate with a full rate limit, a closed breaker and no token.
    #[must_use]
    pub fn new(limits: Limits, now: Duration) -> Self {
        Self { limiter: RateLimiter::new(limits, now), breaker: Breaker::new(), tokens: TokenGate::default() }
    }

    /// Permission to send, with `in_flight` calls unanswered and at most `concurrency` at once.
    pub fn permit_calls(&mut self, now: Duration, wall: DateTime<Utc>, in_flight: u32, concurrency: u32) -> Permit {
        self.decide(now, wall, in_flight, 0, concurrency)
    }

    /// Permission to claim, with `prefetched` calls claimed but not sent. Up to `concurrency` extra calls are prefetched if
    /// the rate limit allows them now, so that a finished call is replaced without waiting for a commit; none while the
    /// breaker is not closed.
    pub fn permit_claims(
        &mut self,
        now: Duration,
        wall: DateTime<Utc>,
        in_flight: u32,
        prefetched: u32,
        concurrency: u32,
    ) -> Permit {
        let places = if self.breaker.state() == BreakerState::Closed { concurrency * 2 } else { concurrency };
        self.decide(now, wall, in_flight, prefetched, places)
    }

    fn decide(&mut self, now: Duration, wall: DateTime<Utc>, in_flight: u32, prefetched: u32, places: u32) -> Permit {
        if in_flight == 0 {
            self.limiter.all_answered();
        }
        let calls = self
            .limiter
            .permits(now)
            .saturating_sub(prefetched)
            .min(self.breaker.permits(now, in_flight + prefetched))
            .min(places.saturating_sub(in_flight + prefetched));
        match (calls, self.tokens.has_token(wall), self.tokens.wait(wall)) {
            (0, _, _) => Permit::Wait(self.pause(now)),
            (_, true, _) => Permit::Send(calls),
            (_, false, None) if self.tokens.is_fetching() => Permit::Wait(None),
            (_, false, None) => Permit::FetchToken,
            (_, false, Some(wait)) => Permit::Wait(Some(wait)),
        }
    }

    fn pause(&mut self, now: Duration) -> Option<Duration> {
        let limit = self.limiter.next_permit(now);
        let probe = self.breaker.next_probe(now);
        limit.into_iter().chain(probe).max()
    }

    /// A call has ended. `generation` is that of the token it was sent with.
    pub fn record_outcome(
        &mut self,
        operation: Operation,
        generation: u64,
        outcome: &Outcome,
        completion: &Completion,
    ) {
        if operation == Operation::Token {
            self.tokens.record_answer(outcome, completion);
        } else if let Outcome::TokenRejected { sentence, .. } = outcome {
            self.tokens.record_rejection(operation, generation, sentence, completion);
        } else if outcome.is_success() {
            self.tokens.record_success(generation);
        }
        self.update_breaker(operation, outcome, completion);
    }

    /// Learns from the rate-limit headers of an answer to a call that began `elapsed` ago, with `in_flight` others
    /// unanswered; see [`RateLimiter::observe`].
    pub fn observe(&mut self, headers: &RateLimitHeaders, in_flight: u32, elapsed: Duration, now: Duration) {
        self.limiter.observe(headers, in_flight, elapsed, now);
    }

    /// The clock was changed by `by`: times of the wall clock move along.
    pub fn shift_clock(&mut self, by: TimeDelta) {
        self.tokens.shift_clock(by);
    }

    /// True if the breaker considers the failure of this call an outage: it uses up no attempt. An answer that is not a
    /// server error never is one.
    #[must_use]
    pub fn is_outage_for(&self, operation: Operation, outcome: &Outcome, completion: &Completion) -> bool {
        // A request that never arrived does not show that calls of its kind fail.
        let source = source(operation, completion).filter(|_| !matches!(outcome, Outcome::NotSent { .. }));
        let outage =
            source.map_or(self.breaker.is_outage(), |source| self.breaker.is_outage_for(&source, completion.now));
        outage && is_failure(outcome, completion.status)
    }

    fn update_breaker(&mut self, operation: Operation, outcome: &Outcome, completion: &Completion) {
        let now = completion.now;
        // No call waits for a token that is being renewed, and the token may come from another server.
        let renewal = operation == Operation::Token && self.tokens.has_token(completion.wall);
        let source = source(operation, completion);
        match outcome {
            _ if renewal && !outcome.is_success() => return,
            Outcome::Unsendable { .. } => return self.breaker.inconclusive(source.as_ref()),
            // The cap on tokens stops token requests, not calls with a valid token.
            Outcome::Throttled { .. } if completion.token_call => return,
            Outcome::Throttled { retry_after, .. } => {
                return self.pause_for(retry_after.unwrap_or(THROTTLE_PAUSE).max(MIN_THROTTLE_PAUSE), completion);
            }
            Outcome::Unavailable { retry_after, .. } => self.pause_for(retry_after.unwrap_or_default(), completion),
            _ => {}
        }
        let (source, started) = (source.as_ref(), completion.started);
        match (is_failure(outcome, completion.status), outcome) {
            (false, _) => self.breaker.succeeded(source, now),
            (true, Outcome::NotSent { .. }) => self.breaker.not_sent(source, started, now, completion.jitter),
            (true, _) => self.breaker.failed(source, started, now, completion.jitter),
        }
    }

    /// `Retry-After` is a lower bound: jitter only lengthens it.
    fn pause_for(&mut self, floor: Duration, completion: &Completion) {
        let pause = floor.saturating_add(part(floor, RETRY_AFTER_JITTER * completion.jitter));
        self.limiter.pause_until(completion.now.saturating_add(pause));
    }
}

/// True for a sign of an outage: the request never arrived, no whole answer came, or a server error. Any other answer,
/// readable or not, proves that the API is up.
fn is_failure(outcome: &Outcome, status: Option<u16>) -> bool {
    match status {
        Some(status) => (500..600).contains(&status),
        None => {
            matches!(outcome, Outcome::NotSent { .. } | Outcome::Unknown { .. } | Outcome::Unavailable { .. })
        }
    }
}

fn source(operation: Operation, completion: &Completion) -> Option<CallSource> {
    let kind = CallKind::of(operation)?;
    Some(CallSource { booking: completion.booking.clone(), kind })
}

#[cfg(test)]
#[path = "send_gate_tests.rs"]
mod tests;
