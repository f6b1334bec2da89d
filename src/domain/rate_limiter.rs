//! The rate limiter: keeps the calls within our share of the API's rate limits. Part of the send gate; pure: `now` is
//! monotonic time since the worker's start.
//!
//! The API's limits are token buckets that refill continuously (15 a second, 120 a minute, 5,000 an hour). Ours have the
//! same shape and a share of the size. A smaller bucket of the same shape that starts no fuller never allows a call that the
//! larger one refuses; `tests/policy_props/` checks it.

use std::time::Duration;

use super::outcome::RateLimitHeaders;
use bucket::Bucket;

mod bucket;

/// The three windows in nanoseconds, in the order of every array here: second, minute, hour.
const WINDOWS: [u128; 3] = [1_000_000_000, 60_000_000_000, 3_600_000_000_000];

/// The API's limits and our share of them. The default is the documented limits and 70 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls a second; 0: no limit.
    pub per_second: u32,
    /// Calls a minute; 0: no limit.
    pub per_minute: u32,
    /// Calls an hour; 0: no limit.
    pub per_hour: u32,
    /// The setting `quota_share`: percent of each limit that we may use; above 100 counts as 100. Each window allows at least
    /// one call.
    pub share_percent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_second: 15, per_minute: 120, per_hour: 5_000, share_percent: 70 }
    }
}

/// Three token buckets and the pause of `Retry-After`. A `now` before an earlier one counts as the earlier one: nothing
/// refills twice.
///
/// ```
/// use guestly_sync::domain::rate_limiter::{Limits, RateLimiter};
/// use std::time::Duration;
///
/// let start = Duration::ZERO;
/// let mut limiter = RateLimiter::new(Limits::default(), start);
/// assert_eq!(limiter.permits(start), 10);
/// limiter.take(10, start);
/// let wait = limiter.next_permit(start).unwrap();
/// assert_eq!(limiter.permits(wait), 1);
/// ```
#[derive(Clone, Debug)]
pub struct RateLimiter {
    buckets: [Bucket; 3],
    latest: Duration,
    paused_until: Option<Duration>,
    /// The API has asked for a pause: until no call is in flight, our count may be too high.
    count_is_uncertain: bool,
}

impl RateLimiter {
    /// Starts full; a restarted worker calls `restore` next.
    pub fn new(limits: Limits, now: Duration) -> Self {
        let mut buckets = WINDOWS.map(Bucket::new);
        configure(&mut buckets, limits);
        Self { buckets, latest: now, paused_until: None, count_is_uncertain: false }
    }

    /// Calls that may start now: 0 during a pause, `u32::MAX` without limits.
    pub fn permits(&mut self, now: Duration) -> u32 {
        self.advance(now);
        if self.paused_until.is_some() {
            return 0;
        }
        self.buckets.iter().map(Bucket::whole).min().unwrap_or(0)
    }

    /// Counts `n` calls that start now. More than `permits(now)` empties the buckets.
    pub fn take(&mut self, n: u32, now: Duration) {
        self.advance(now);
        for bucket in &mut self.buckets {
            bucket.take(n);
        }
    }

    /// Time until a call is allowed; `None` if one is allowed now.
    pub fn next_permit(&mut self, now: Duration) -> Option<Duration> {
        self.advance(now);
        let wait = self.buckets.iter().map(Bucket::wait).max().unwrap_or(0);
        if wait == 0 && self.paused_until.is_none() {
            return None;
        }
        let wait = Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX));
        let due = self.latest.saturating_add(wait);
        Some(self.paused_until.map_or(due, |until| due.max(until)).saturating_sub(now))
    }

    /// Learns from the headers of an answer to a call that began `elapsed` ago, since the account may have other clients.
    /// The level is lowered to our share of the remaining calls, and never raised.
    ///
    /// Calls in flight were counted when they started. If the remaining quota matches our own call count, they are not
    /// counted again. They are, as if the API had counted none of them, if there must have been other clients, if the API
    /// names a lower limit than before, or if it has asked for a pause. Calls of other clients can stay unnoticed: about as
    /// many as we have in flight, plus the refill of `elapsed`.
    ///
    /// A limit below the configured one holds until the API names another. A limit of 0 is ignored, and so is every header of
    /// a window that is configured as unlimited.
    pub fn observe(&mut self, headers: &RateLimitHeaders, in_flight: u32, elapsed: Duration, now: Duration) {
        self.advance(now);
        let seen = [headers.second, headers.minute, headers.hour];
        for (bucket, window) in self.buckets.iter_mut().zip(seen) {
            bucket.observe(window, in_flight, elapsed, self.count_is_uncertain);
        }
    }

    /// No call is in flight, so the API has counted all calls.
    pub fn all_answered(&mut self) {
        self.count_is_uncertain = false;
    }

    /// Allows nothing before `until` (`Retry-After`). Only ever extends the pause; buckets refill meanwhile.
    pub fn pause_until(&mut self, until: Duration) {
        if until > self.latest {
            self.paused_until = Some(self.paused_until.map_or(until, |paused_until| paused_until.max(until)));
            self.count_is_uncertain = true;
        }
    }

    /// End of the pause; `None` once a later call of a method has seen it pass.
    pub fn paused_until(&self) -> Option<Duration> {
        self.paused_until
    }

    /// Applies changed settings. Levels are cut to the new sizes and never rise at once; a window that was unlimited starts
    /// full.
    pub fn set_limits(&mut self, limits: Limits, now: Duration) {
        self.advance(now);
        configure(&mut self.buckets, limits);
    }

    /// Calls left per second, minute and hour, with fractions; infinite without a limit.
    pub fn levels(&mut self, now: Duration) -> [f64; 3] {
        self.advance(now);
        self.buckets.each_ref().map(Bucket::level)
    }

    /// Restores saved `levels` after a restart, plus the refill for the time `elapsed` since then (0 if the clock went back).
    /// Never allows more than a fresh start. Negative levels and NaN count as 0.
    pub fn restore(&mut self, levels: [f64; 3], elapsed: Duration, now: Duration) {
        self.advance(now);
        for (bucket, level) in self.buckets.iter_mut().zip(levels) {
            bucket.restore(level, elapsed);
        }
    }

    fn advance(&mut self, now: Duration) {
        if let Some(elapsed) = now.checked_sub(self.latest) {
            for bucket in &mut self.buckets {
                bucket.advance(elapsed);
            }
            self.latest = now;
        }
        if self.paused_until.is_some_and(|until| until <= self.latest) {
            self.paused_until = None;
        }
    }
}

fn configure(buckets: &mut [Bucket; 3], limits: Limits) {
    let per_window = [limits.per_second, limits.per_minute, limits.per_hour];
    for (bucket, limit) in buckets.iter_mut().zip(per_window) {
        bucket.configure(limit, limits.share_percent.min(100));
    }
}

#[cfg(test)]
#[path = "rate_limiter_tests.rs"]
mod tests;
