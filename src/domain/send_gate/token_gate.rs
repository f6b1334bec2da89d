//! The access token: when to fetch one, and how answers and rejections change its state. Part of `domain::send_gate`; lives
//! on the worker's main thread; pure.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::completion::Completion;
use crate::domain::error::ErrorClass;
use crate::domain::operation::Operation;
use crate::domain::outcome::Outcome;
use crate::domain::retry::{
    TOKEN_CAP_MIN_PAUSE, TOKEN_CAP_PAUSE, TOKEN_LOST_FACTOR, TOKEN_MAX_PAUSE_SECS, TOKEN_REFUSED_PAUSE,
};
use crate::domain::token::{FETCH_LIMIT, FETCH_WINDOW, Token, may_fetch};

/// The reason why no call can be made without another token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// `Throttled` for the cap on tokens, otherwise `Credentials`.
    pub class: ErrorClass,
    /// For the operator.
    pub sentence: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Time of the next attempt.
    pub until: DateTime<Utc>,
}

/// The token in use and the history of token requests.
#[derive(Debug, Default)]
pub struct TokenGate {
    /// The current token.
    pub token: Option<Token>,
    /// The token requests of the last 24 hours.
    pub history: Vec<DateTime<Utc>>,
    /// The credentials were refused, or the cap on tokens was reached.
    pub blocked: Option<Blocked>,
    /// Counts tokens, and the times without one. A rejection counts only against the token that the call was sent with.
    pub generation: u64,
    in_flight: bool,
    /// The credentials changed during a token request: its answer belongs to the old ones.
    stale_request: bool,
    /// Token requests in a row without a token, and the pause after the last one.
    failures: u32,
    pause: Option<Range<DateTime<Utc>>>,
    /// The token was fetched because the previous one was rejected.
    after_rejection: bool,
    /// A call with this token succeeded.
    proven: bool,
    /// A create was rejected although the token was new.
    create_rejected: bool,
    /// A read of one reservation was rejected although the token was new; whether the token works is unknown.
    read_rejected: bool,
}

impl TokenGate {
    /// Time until a token may be fetched; `None` if one may be fetched now.
    pub(super) fn wait(&self, wall: DateTime<Utc>) -> Option<Duration> {
        let blocked = self.blocked.as_ref().map(|blocked| blocked.until).filter(|until| *until > wall);
        let pause = self.pause.as_ref().filter(|pause| pause.contains(&wall)).map(|pause| pause.end);
        let capped = may_fetch(&self.history, wall).err();
        let until = blocked.into_iter().chain(pause).chain(capped).max()?;
        Some((until - wall).to_std().unwrap_or_default())
    }

    /// True while a token request is in flight.
    pub(super) fn is_fetching(&self) -> bool {
        self.in_flight
    }

    /// The reason why no call can be made, if it is the credentials or the cap on tokens.
    #[must_use]
    pub fn reason_not_usable(&self, wall: DateTime<Utc>) -> Option<Blocked> {
        if let Some(blocked) = self.blocked.as_ref().filter(|blocked| blocked.until > wall) {
            return Some(blocked.clone());
        }
        let until = may_fetch(&self.history, wall).err().filter(|_| !self.has_token(wall) && !self.in_flight)?;
        let sentence = format!("the {FETCH_LIMIT} access tokens that Guestly gives in 24 hours are used up");
        Some(Blocked { class: ErrorClass::Throttled, sentence, since: wall, until })
    }

    /// True if there is a usable token and the credentials are not refused.
    #[must_use]
    pub fn works(&self, wall: DateTime<Utc>) -> bool {
        self.blocked.is_none() && self.has_token(wall)
    }

    pub(super) fn has_token(&self, wall: DateTime<Utc>) -> bool {
        self.token.as_ref().is_some_and(|token| token.usable(wall))
    }

    /// True if the token should be renewed while it still works.
    #[must_use]
    pub fn should_renew(&self, wall: DateTime<Utc>) -> bool {
        let old = self.token.as_ref().is_some_and(|token| token.should_renew(wall));
        old && !self.in_flight && self.wait(wall).is_none()
    }

    /// True while the token in use was fetched because the previous one was rejected. A create that is rejected with it
    /// fetches no other one, or a single booking that Guestly refuses would use up the tokens of the day.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.after_rejection && self.token.is_some()
    }

    /// `transition::Moment::token_is_new` of a call that was sent with the token of `generation`; to be asked before
    /// `SendGate::record_outcome`. For a create or a read of one reservation: the token was new, so a rejection may be about
    /// the booking. For a look-up: a create was rejected with this very token, so an answer proves that it was.
    #[must_use]
    pub fn was_new_for(&self, operation: Operation, generation: u64) -> bool {
        let relevant = operation != Operation::LookUp || self.create_rejected;
        relevant && self.is_new() && generation == self.generation
    }

    /// A token request is about to be sent. It counts against the cap from now on, whatever its outcome.
    pub fn record_request(&mut self, wall: DateTime<Utc>) {
        self.in_flight = true;
        self.history.retain(|at| *at > wall - FETCH_WINDOW);
        self.history.push(wall);
    }

    /// New credentials or a new address: the token and all refusals belong to the old ones.
    pub fn reset(&mut self) {
        self.forget();
        self.blocked = None;
        self.after_rejection = false;
        self.failures = 0;
        self.pause = None;
        self.stale_request = self.in_flight;
    }

    /// The clock was changed by `by`: times of the wall clock move along.
    pub(super) fn shift_clock(&mut self, by: TimeDelta) {
        if let Some(token) = &mut self.token {
            (token.fetched_at, token.expires_at) = (token.fetched_at + by, token.expires_at + by);
        }
        if let Some(blocked) = &mut self.blocked {
            (blocked.since, blocked.until) = (blocked.since + by, blocked.until + by);
        }
        if let Some(pause) = &mut self.pause {
            (pause.start, pause.end) = (pause.start + by, pause.end + by);
        }
        self.history.iter_mut().for_each(|at| *at += by);
    }

    /// A token request has ended.
    pub(super) fn record_answer(&mut self, outcome: &Outcome, completion: &Completion) {
        self.in_flight = false;
        if std::mem::take(&mut self.stale_request) {
            return;
        }
        match outcome {
            Outcome::Token { access_token, expires_in } => {
                let lifetime = TimeDelta::from_std(*expires_in).unwrap_or(TimeDelta::days(1));
                let expires_at = completion.wall.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC);
                // A renewal replaces a token that was not rejected.
                self.after_rejection &= self.token.is_none();
                self.forget();
                self.token = Some(Token { value: access_token.clone(), fetched_at: completion.wall, expires_at });
                self.blocked = None;
                self.failures = 0;
                self.pause = None;
            }
            Outcome::TokenRejected { sentence, .. } | Outcome::Refused { sentence, .. } => {
                self.block(ErrorClass::Credentials, sentence, completion.wall, TOKEN_REFUSED_PAUSE);
            }
            Outcome::Throttled { retry_after, sentence } => {
                let pause = retry_after.unwrap_or(TOKEN_CAP_PAUSE).max(TOKEN_CAP_MIN_PAUSE);
                let pause = TimeDelta::from_std(pause).unwrap_or(TOKEN_REFUSED_PAUSE);
                self.block(ErrorClass::Throttled, sentence, completion.wall, pause);
            }
            // Certainly no token was issued, so the request did not count against the cap.
            Outcome::NotSent { .. } | Outcome::Unsendable { .. } | Outcome::Unavailable { .. } => {
                self.history.pop();
                self.pause(completion.wall, TOKEN_MAX_PAUSE_SECS.min(1 << self.failures.min(10)));
            }
            // A token may have been issued and lost. A short outage must not use up all five.
            Outcome::Unknown { .. }
            | Outcome::Created { .. }
            | Outcome::Updated { .. }
            | Outcome::Found(_)
            | Outcome::Payments(_) => {
                let lost = u32::try_from(self.history.len()).unwrap_or(u32::MAX).clamp(1, 5);
                self.pause(completion.wall, TOKEN_MAX_PAUSE_SECS * TOKEN_LOST_FACTOR.pow(lost - 1));
            }
        }
    }

    /// A call with the token of `generation` succeeded.
    pub(super) fn record_success(&mut self, generation: u64) {
        self.proven |= generation == self.generation;
    }

    /// A call was rejected for its token. A proven token is fetched again once; if the new one is rejected too, the
    /// credentials are wrong. A create alone does not prove that, nor does a read of one reservation: the API uses the same
    /// status for refusals about one booking. A look-up decides.
    pub(super) fn record_rejection(
        &mut self,
        operation: Operation,
        generation: u64,
        sentence: &str,
        completion: &Completion,
    ) {
        if generation != self.generation {
            return;
        }
        if operation.is_about_remote() && operation.is_read() && self.is_new() {
            self.read_rejected = true;
            return;
        }
        if !operation.is_read() && self.is_new() {
            self.create_rejected = true;
            return;
        }
        if self.is_new() && !self.proven {
            self.block(ErrorClass::Credentials, sentence, completion.wall, TOKEN_REFUSED_PAUSE);
        }
        self.forget();
        self.after_rejection = true;
    }

    /// True, once, if a new token was rejected for a read of one reservation: a look-up that is about no booking should find
    /// out whether the token works.
    pub fn take_check_request(&mut self) -> bool {
        std::mem::take(&mut self.read_rejected) && self.token.is_some() && !self.proven
    }

    /// Drops the token. Calls that were sent with it say nothing about the next one.
    fn forget(&mut self) {
        self.token = None;
        self.generation += 1;
        self.proven = false;
        self.create_rejected = false;
        self.read_rejected = false;
    }

    fn pause(&mut self, wall: DateTime<Utc>, seconds: u32) {
        self.failures = self.failures.saturating_add(1);
        self.pause = Some(wall..wall + TimeDelta::seconds(i64::from(seconds)));
    }

    fn block(&mut self, class: ErrorClass, sentence: &str, since: DateTime<Utc>, pause: TimeDelta) {
        self.blocked = Some(Blocked { class, sentence: sentence.to_owned(), since, until: since + pause });
    }
}

#[cfg(test)]
#[path = "token_gate_tests.rs"]
mod tests;
