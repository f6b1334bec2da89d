//! The send gate to Guestly: quota, breaker and token together decide whether a call may go now. One per worker; lives on its
//! main thread; pure: `now` is monotonic time since the worker began, `wall` the clock.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::breaker::{Breaker, BreakerState};
use super::error::ErrorClass;
use super::outcome::{Operation, Outcome, RateLimitHeaders};
use super::rate_limiter::{Limits, RateLimiter};
use super::token::Token;

mod health;
mod token_gate;

/// Five tokens in 24 hours: with credentials that are refused, one request per share of the window and no more.
pub const REFUSED_PAUSE: TimeDelta = TimeDelta::seconds(24 * 3600 / 5);

/// Why the send gate stands still on account of the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// `Throttled`: the token cap; else `Credentials`.
    pub class: ErrorClass,
    /// One clear sentence.
    pub sentence: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When it is tried again by itself.
    pub until: DateTime<Utc>,
}

/// What may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// That many calls may go.
    Send(u32),
    /// No usable token, and one may be asked for.
    FetchToken,
    /// Nothing now; look again after that time, or when a call comes back.
    Wait(Option<Duration>),
}

/// See the module.
#[derive(Debug)]
pub struct SendGate {
    /// Calls per second, minute and hour.
    pub limiter: RateLimiter,
    /// Outages.
    pub breaker: Breaker,
    /// The current token.
    pub token: Option<Token>,
    /// When tokens were asked for, at most 24 hours back.
    pub history: Vec<DateTime<Utc>>,
    /// The credentials are refused, or capped.
    pub blocked: Option<Blocked>,
    /// Counts tokens, and the times without one: a rejection counts only for the token it was sent with.
    pub generation: u64,
    token_in_flight: bool,
    /// The credentials changed while a token request was in flight: what it brings is theirs, not ours.
    stale_request: bool,
    /// Token requests in a row that came to nothing, and the pause after the last.
    token_failures: u32,
    token_rest: Option<Range<DateTime<Utc>>>,
    /// The token was fetched because an earlier one was rejected.
    after_rejection: bool,
    /// A call was answered with this token.
    proven: bool,
    /// A create was rejected with this token, though it was new.
    create_rejected: bool,
    /// A read about one reservation was, and it is to be found out whether the token is good.
    read_rejected: bool,
}

impl SendGate {
    /// A send gate with full quota, closed breaker and no token.
    #[must_use]
    pub fn new(limits: Limits, now: Duration) -> Self {
        Self {
            limiter: RateLimiter::new(limits, now),
            breaker: Breaker::new(),
            token: None,
            history: Vec::new(),
            blocked: None,
            generation: 0,
            token_in_flight: false,
            stale_request: false,
            token_failures: 0,
            token_rest: None,
            after_rejection: false,
            proven: false,
            create_rejected: false,
            read_rejected: false,
        }
    }

    /// How many calls may go, with `in_flight` on their way and at most `concurrency` at once.
    pub fn permit_calls(&mut self, now: Duration, wall: DateTime<Utc>, in_flight: u32, concurrency: u32) -> Permit {
        self.decide(now, wall, in_flight, 0, concurrency)
    }

    /// How many calls may be claimed, with `waiting` others that are claimed and not sent yet: what is prefetched goes as soon as a
    /// place is free, without waiting for a commit. As many again as may be in flight, for which the quota is there already;
    /// none while something is wrong.
    pub fn permit_claims(
        &mut self,
        now: Duration,
        wall: DateTime<Utc>,
        in_flight: u32,
        waiting: u32,
        concurrency: u32,
    ) -> Permit {
        let places = if self.breaker.state() == BreakerState::Closed { concurrency * 2 } else { concurrency };
        self.decide(now, wall, in_flight, waiting, places)
    }

    fn decide(&mut self, now: Duration, wall: DateTime<Utc>, in_flight: u32, waiting: u32, places: u32) -> Permit {
        if in_flight == 0 {
            self.limiter.all_answered();
        }
        let calls = self
            .limiter
            .permits(now)
            .saturating_sub(waiting)
            .min(self.breaker.permits(now, in_flight + waiting))
            .min(places.saturating_sub(in_flight + waiting));
        let usable = self.has_token(wall);
        match (calls, usable, self.token_wait(wall)) {
            (0, _, _) => Permit::Wait(self.pause(now)),
            (_, true, _) => Permit::Send(calls),
            (_, false, None) if self.token_in_flight => Permit::Wait(None),
            (_, false, None) => Permit::FetchToken,
            (_, false, Some(wait)) => Permit::Wait(Some(wait)),
        }
    }

    /// True when the token should be renewed while it still works.
    #[must_use]
    pub fn should_renew(&self, wall: DateTime<Utc>) -> bool {
        let old = self.token.as_ref().is_some_and(|token| token.should_renew(wall));
        old && !self.token_in_flight && self.token_wait(wall).is_none()
    }

    /// True while there is a token that was fetched because an earlier one was rejected. A create that is rejected with
    /// it fetches no other one, or a single booking that Guestly does not want would use up the tokens of the day.
    #[must_use]
    pub fn token_is_new(&self) -> bool {
        self.after_rejection && self.token.is_some()
    }

    /// What `transition::Moment` has to know of a call that was sent with the token of `generation`; to be asked before
    /// [`SendGate::record_outcome`]. A create: the token was new, so its rejection may be about the booking; so may that of a
    /// read about what is held. A look-up: a create
    /// was rejected with this very token, so an answer to the look-up says that it was about the booking.
    #[must_use]
    pub fn token_was_new(&self, operation: Operation, generation: u64) -> bool {
        let asked = operation != Operation::LookUp || self.create_rejected;
        asked && self.token_is_new() && generation == self.generation
    }

    /// A token request is about to be sent; it counts from now on, whatever comes of it.
    pub fn token_requested(&mut self, wall: DateTime<Utc>) {
        self.token_in_flight = true;
        self.history.retain(|at| *at > wall - TimeDelta::hours(24));
        self.history.push(wall);
    }

    /// A call has come to an outcome. `generation` is the one it was sent with.
    pub fn record_outcome(&mut self, operation: Operation, generation: u64, outcome: &Outcome, moment: &Completion) {
        if operation == Operation::Token {
            self.token_came_back(outcome, moment);
        } else if let Outcome::TokenRejected { sentence, .. } = outcome {
            self.rejected(operation, generation, sentence, moment);
        } else if outcome.is_yes() && generation == self.generation {
            self.proven = true;
        }
        self.health(operation, outcome, moment);
    }

    /// Learns from the quota headers of an answer to a call that began `elapsed` ago, while `in_flight` others are on their
    /// way; see [`RateLimiter::observe`].
    pub fn observe(&mut self, headers: &RateLimitHeaders, in_flight: u32, elapsed: Duration, now: Duration) {
        self.limiter.observe(headers, in_flight, elapsed, now);
    }

    /// New credentials or a new address: what was refused before may be accepted now.
    pub fn credentials_changed(&mut self) {
        self.forget_token();
        self.blocked = None;
        self.after_rejection = false;
        self.token_failures = 0;
        self.token_rest = None;
        self.stale_request = self.token_in_flight;
    }

    /// The clock jumped: times of the wall clock move along.
    pub fn shift_clock(&mut self, by: TimeDelta) {
        if let Some(token) = &mut self.token {
            (token.fetched_at, token.expires_at) = (token.fetched_at + by, token.expires_at + by);
        }
        if let Some(blocked) = &mut self.blocked {
            (blocked.since, blocked.until) = (blocked.since + by, blocked.until + by);
        }
        if let Some(rest) = &mut self.token_rest {
            (rest.start, rest.end) = (rest.start + by, rest.end + by);
        }
        self.history.iter_mut().for_each(|at| *at += by);
    }

    fn pause(&mut self, now: Duration) -> Option<Duration> {
        let limit = self.limiter.next_permit(now);
        let probe = self.breaker.next_probe(now);
        limit.into_iter().chain(probe).max()
    }
}

/// When an outcome came in, and of what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completion {
    /// Monotonic.
    pub now: Duration,
    /// When the call began, monotonic.
    pub started: Duration,
    /// The clock.
    pub wall: DateTime<Utc>,
    /// In [0, 1).
    pub jitter: f64,
    /// The call was a token request.
    pub token_call: bool,
    /// The status, where there was an answer.
    pub status: Option<u16>,
    /// The booking that the call was about.
    pub booking: Option<String>,
}

#[cfg(test)]
#[path = "send_gate_tests.rs"]
mod tests;
