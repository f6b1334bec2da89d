//! The OAuth token: its lifetime, and the cap on token requests (five a day). Pure: time is an argument.

use chrono::{DateTime, TimeDelta, Utc};

use super::redact::Secret;

/// Tokens that the API issues to one client id within [`FETCH_WINDOW`].
pub const FETCH_LIMIT: usize = 5;

/// The rolling window of [`FETCH_LIMIT`].
pub const FETCH_WINDOW: TimeDelta = TimeDelta::hours(24);

/// Longest usable token, in bytes: a longer one does not fit into the head of a request. Real ones have about 1500.
pub const LONGEST_TOKEN: usize = 8192;

/// A token that expires within this time is not used: the call might be answered too late.
const LAST_MOMENT: TimeDelta = TimeDelta::seconds(60);

/// Renewal begins at most this long before the token expires.
const RENEW_EARLY: TimeDelta = TimeDelta::minutes(45);

/// A token that the API issued. Its value never prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The value for the `Authorization` header.
    pub value: Secret,
    /// When it was issued, by our clock.
    pub fetched_at: DateTime<Utc>,
    /// When the API stops accepting it, by our clock.
    pub expires_at: DateTime<Utc>,
}

impl Token {
    /// True if calls may be sent with it: more than a minute is left or, for a token with a lifetime below ten minutes, more
    /// than a tenth of its lifetime.
    ///
    /// ```
    /// use chrono::{DateTime, TimeDelta};
    /// use guestly_sync::domain::{redact::Secret, token::Token};
    ///
    /// let fetched_at = DateTime::UNIX_EPOCH;
    /// let expires_at = fetched_at + TimeDelta::hours(24);
    /// let token = Token { value: Secret::new("t".to_owned()), fetched_at, expires_at };
    /// assert!(token.usable(fetched_at) && !token.should_renew(fetched_at));
    /// assert!(token.should_renew(expires_at - TimeDelta::minutes(44)));
    /// assert!(!token.usable(expires_at - TimeDelta::seconds(60)));
    /// ```
    pub fn usable(&self, now: DateTime<Utc>) -> bool {
        self.left(now) > LAST_MOMENT.min(self.tenth())
    }

    /// True if the next token should be fetched: less than 45 minutes, or less than a tenth of its lifetime, is left. Always
    /// true if it is not usable.
    pub fn should_renew(&self, now: DateTime<Utc>) -> bool {
        !self.usable(now) || self.left(now) < RENEW_EARLY.min(self.tenth())
    }

    fn left(&self, now: DateTime<Utc>) -> TimeDelta {
        self.expires_at.signed_duration_since(now)
    }

    /// A tenth of its lifetime, at least zero.
    fn tenth(&self) -> TimeDelta {
        let life = self.expires_at.signed_duration_since(self.fetched_at);
        (life / 10).max(TimeDelta::zero())
    }
}

/// True if a token can be sent in a header: 1 to [`LONGEST_TOKEN`] visible ASCII characters.
///
/// ```
/// use guestly_sync::domain::token::{LONGEST_TOKEN, is_sendable};
///
/// assert!(is_sendable("eyJ.a-b_c") && is_sendable(&"a".repeat(LONGEST_TOKEN)));
/// assert!(!is_sendable("") && !is_sendable("a b") && !is_sendable(&"a".repeat(LONGEST_TOKEN + 1)));
/// ```
#[must_use]
pub fn is_sendable(token: &str) -> bool {
    (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
}

/// Checks the cap on token requests. `history`: the times of earlier requests, in any order, refused ones included. At most
/// five within 24 hours; an entry exactly 24 hours old no longer counts. Entries in the future (the clock went back) count
/// as made now.
///
/// # Errors
///
/// The time from which the next request is allowed.
///
/// ```
/// use chrono::{DateTime, TimeDelta};
/// use guestly_sync::domain::token::may_fetch;
///
/// let now = DateTime::UNIX_EPOCH;
/// let history: Vec<_> = (1..=5).map(|hours| now - TimeDelta::hours(hours)).collect();
/// assert_eq!(may_fetch(&history[..4], now), Ok(()));
/// assert_eq!(may_fetch(&history, now), Err(now + TimeDelta::hours(19)));
/// ```
pub fn may_fetch(history: &[DateTime<Utc>], now: DateTime<Utc>) -> Result<(), DateTime<Utc>> {
    let mut recent: Vec<DateTime<Utc>> =
        history.iter().map(|&at| at.min(now)).filter(|&at| now.signed_duration_since(at) < FETCH_WINDOW).collect();
    recent.sort_unstable();
    // The five newest fill the window until the oldest of them leaves it.
    match recent.iter().rev().nth(FETCH_LIMIT - 1) {
        Some(oldest) => Err(oldest.checked_add_signed(FETCH_WINDOW).unwrap_or(DateTime::<Utc>::MAX_UTC)),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
