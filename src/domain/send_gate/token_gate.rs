//! The send gate's token: when one may be asked for, and the effect of answers and rejections on it. Part of `domain::send_gate`,
//! which see; lives on the worker's main thread. Imports no clock, no `pg`, no `net`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Blocked, Completion, REFUSED_PAUSE, SendGate};
use crate::domain::error::ErrorClass;
use crate::domain::outcome::{Operation, Outcome};
use crate::domain::token::{FETCH_LIMIT, Token, may_fetch};

/// When a capped token request names no time.
const CAPPED_PAUSE: Duration = Duration::from_secs(3600);

/// A capped token request names hardly any time: asking again may itself count.
const LEAST_CAPPED_PAUSE: Duration = Duration::from_secs(60);

/// Seconds of the longest pause after token requests that brought no token and used none up.
const LONGEST_REST: u32 = 60;

impl SendGate {
    /// How long no token may be asked for; none if one may.
    pub(super) fn token_wait(&self, wall: DateTime<Utc>) -> Option<Duration> {
        let blocked = self.blocked.as_ref().map(|blocked| blocked.until).filter(|until| *until > wall);
        let rest = self.token_rest.as_ref().filter(|rest| rest.contains(&wall)).map(|rest| rest.end);
        let capped = may_fetch(&self.history, wall).err();
        let until = blocked.into_iter().chain(rest).chain(capped).max()?;
        Some((until - wall).to_std().unwrap_or_default())
    }

    /// The reason why no call is made, as far as it is the credentials or the day's tokens.
    #[must_use]
    pub fn token_trouble(&self, wall: DateTime<Utc>) -> Option<Blocked> {
        if let Some(blocked) = self.blocked.as_ref().filter(|blocked| blocked.until > wall) {
            return Some(blocked.clone());
        }
        let until = may_fetch(&self.history, wall).err().filter(|_| !self.has_token(wall) && !self.token_in_flight)?;
        let sentence = format!("the {FETCH_LIMIT} access tokens that Guestly gives in 24 hours are used up");
        Some(Blocked { class: ErrorClass::Throttled, sentence, since: wall, until })
    }

    /// True when the credentials work, as far as is known.
    #[must_use]
    pub fn is_token_fine(&self, wall: DateTime<Utc>) -> bool {
        self.blocked.is_none() && self.has_token(wall)
    }

    pub(super) fn has_token(&self, wall: DateTime<Utc>) -> bool {
        self.token.as_ref().is_some_and(|token| token.usable(wall))
    }

    pub(super) fn token_came_back(&mut self, outcome: &Outcome, moment: &Completion) {
        self.token_in_flight = false;
        if std::mem::take(&mut self.stale_request) {
            return;
        }
        match outcome {
            Outcome::Token { access_token, expires_in } => {
                let lifetime = TimeDelta::from_std(*expires_in).unwrap_or(TimeDelta::days(1));
                let expires_at = moment.wall.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC);
                // A renewal replaces a token that was not rejected.
                self.after_rejection &= self.token.is_none();
                self.forget_token();
                self.token = Some(Token { value: access_token.clone(), fetched_at: moment.wall, expires_at });
                self.blocked = None;
                self.token_failures = 0;
                self.token_rest = None;
            }
            Outcome::TokenRejected { sentence, .. } | Outcome::Refused { sentence, .. } => {
                self.block(ErrorClass::Credentials, sentence, moment.wall, REFUSED_PAUSE);
            }
            Outcome::Throttled { retry_after, sentence } => {
                let hold = retry_after.unwrap_or(CAPPED_PAUSE).max(LEAST_CAPPED_PAUSE);
                let pause = TimeDelta::from_std(hold).unwrap_or(REFUSED_PAUSE);
                self.block(ErrorClass::Throttled, sentence, moment.wall, pause);
            }
            // Certainly no token was issued, so it was not counted against the cap.
            Outcome::NotSent { .. } | Outcome::Unsendable { .. } | Outcome::Unavailable { .. } => {
                self.history.pop();
                self.rest(moment.wall, LONGEST_REST.min(1 << self.token_failures.min(10)));
            }
            // A token may have been issued and lost: five of these must not be used up in one short outage.
            Outcome::Unknown { .. }
            | Outcome::Created { .. }
            | Outcome::Updated { .. }
            | Outcome::Found(_)
            | Outcome::Payments(_) => {
                let lost = u32::try_from(self.history.len()).unwrap_or(u32::MAX).clamp(1, 5);
                self.rest(moment.wall, LONGEST_REST * 4_u32.pow(lost - 1));
            }
        }
    }

    /// A good token is refreshed once; a new one that is rejected as well means the credentials. A create alone does not
    /// prove that: the API refuses taken dates with the same status, and may refuse what it holds of one booking: a look-up has the last word.
    pub(super) fn rejected(&mut self, operation: Operation, generation: u64, sentence: &str, moment: &Completion) {
        if generation != self.generation {
            return;
        }
        if operation.is_about_held() && operation.is_read() && self.token_is_new() {
            self.read_rejected = true;
            return;
        }
        if !operation.is_read() && self.token_is_new() {
            self.create_rejected = true;
            return;
        }
        if self.token_is_new() && !self.proven {
            self.block(ErrorClass::Credentials, sentence, moment.wall, REFUSED_PAUSE);
        }
        self.forget_token();
        self.after_rejection = true;
    }

    /// True, once, if a new token was rejected for a read about one reservation, and it is not known yet whether it is good: a
    /// look-up that is about no booking tells.
    pub fn wants_proof(&mut self) -> bool {
        std::mem::take(&mut self.read_rejected) && self.token.is_some() && !self.proven
    }

    /// From here on, calls that were sent with the last token say nothing about the next.
    pub(super) fn forget_token(&mut self) {
        self.token = None;
        self.generation += 1;
        self.proven = false;
        self.create_rejected = false;
        self.read_rejected = false;
    }

    fn rest(&mut self, wall: DateTime<Utc>, seconds: u32) {
        self.token_failures = self.token_failures.saturating_add(1);
        self.token_rest = Some(wall..wall + TimeDelta::seconds(i64::from(seconds)));
    }

    fn block(&mut self, class: ErrorClass, sentence: &str, since: DateTime<Utc>, pause: TimeDelta) {
        self.blocked = Some(Blocked { class, sentence: sentence.to_owned(), since, until: since + pause });
    }
}

#[cfg(test)]
#[path = "token_gate_tests.rs"]
mod tests;
