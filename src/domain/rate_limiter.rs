//! The limiter: how many calls may start now, so that we stay inside our share of the API's quota.
//! Called by the worker's loop (main thread) before each call and after each answer; pure: `now` is the
//! monotonic time since the worker's start. Imports neither `pg` nor `net`, no clock.
//!
//! The API's limits are token buckets that refill continuously (15 a second, 120 a minute, 5,000 an hour).
//! Ours have the same shape and a share of the size. A smaller bucket of the same shape that starts no
//! fuller never allows what the larger refuses, whatever the arrivals; `tests/policy_props/` checks it.

use std::time::Duration;

use super::outcome::RateLimitHeaders;
use bucket::Bucket;

mod bucket;

/// Nanoseconds of the three windows, in the order of every array here: second, minute, hour.
const WINDOWS: [u128; 3] = [1_000_000_000, 60_000_000_000, 3_600_000_000_000];

/// What the API allows, and how much of it is ours. The default is what the API documents, and 70 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls a second; 0: no limit.
    pub per_second: u32,
    /// Calls a minute; 0: no limit.
    pub per_minute: u32,
    /// Calls an hour; 0: no limit.
    pub per_hour: u32,
    /// Percent of each limit that we may use; above 100 counts as 100. However small, each window allows
    /// one call.
    pub share_percent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_second: 15, per_minute: 120, per_hour: 5_000, share_percent: 70 }
    }
}

/// Three token buckets and the floor that `Retry-After` sets. A `now` before an earlier one is treated as
/// that earlier one: nothing refills twice.
///
/// ```
/// use guestly_sync::domain::rate_limiter::{Limits, RateLimiter};
/// use std::time::Duration;
///
/// let start = Duration::ZERO;
/// let mut quota = RateLimiter::new(Limits::default(), start);
/// assert_eq!(quota.permits(start), 10);
/// quota.take(10, start);
/// let wait = quota.next_permit(start).unwrap();
/// assert_eq!(quota.permits(wait), 1);
/// ```
#[derive(Clone, Debug)]
pub struct RateLimiter {
    buckets: [Bucket; 3],
    latest: Duration,
    paused_until: Option<Duration>,
    /// The API has asked us to wait: until no call is in flight, our count is not to be trusted.
    wary: bool,
}

impl RateLimiter {
    /// Starts with all that our share allows; a restarted worker calls `restore` next.
    pub fn new(limits: Limits, now: Duration) -> Self {
        let mut buckets = WINDOWS.map(Bucket::new);
        configure(&mut buckets, limits);
        Self { buckets, latest: now, paused_until: None, wary: false }
    }

    /// How many calls may start now: 0 while paused_until, `u32::MAX` where nothing is limited.
    pub fn permits(&mut self, now: Duration) -> u32 {
        self.advance(now);
        if self.paused_until.is_some() {
            return 0;
        }
        self.buckets.iter().map(Bucket::whole).min().unwrap_or(0)
    }

    /// Counts `n` calls that start now. Meant for `n <= permits(now)`; taking more empties the buckets.
    pub fn take(&mut self, n: u32, now: Duration) {
        self.advance(now);
        for bucket in &mut self.buckets {
            bucket.take(n);
        }
    }

    /// How long until at least one call is allowed; `None` if one is now.
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

    /// Learns from the headers of an answer to a call that began `elapsed` ago, since others use the account too. What we
    /// may still use is lowered to our share of what the API says remains, and never raised. Calls in flight were taken off
    /// when they started and are not taken off again, unless our own calls do not explain what remains (others have called),
    /// the API names a lower limit than before, or it has asked us to wait: then all `in_flight` calls are taken off, as if
    /// it had counted none. Of others' calls, about as many as we have in flight, and as come back in `elapsed`, stay
    /// unseen until fewer are in flight. A limit below the configured one counts until the API names another; a limit of 0
    /// is ignored, and so is every header of a window that is configured as unlimited.
    pub fn observe(&mut self, headers: &RateLimitHeaders, in_flight: u32, elapsed: Duration, now: Duration) {
        self.advance(now);
        let seen = [headers.second, headers.minute, headers.hour];
        for (bucket, window) in self.buckets.iter_mut().zip(seen) {
            bucket.observe(window, in_flight, elapsed, self.wary);
        }
    }

    /// No call is in flight: whatever was refused, the API has counted all that were taken.
    pub fn all_answered(&mut self) {
        self.wary = false;
    }

    /// Allows nothing before `until` (`Retry-After`). Only ever extends; buckets refill meanwhile.
    pub fn pause_until(&mut self, until: Duration) {
        if until > self.latest {
            self.paused_until = Some(self.paused_until.map_or(until, |paused_until| paused_until.max(until)));
            self.wary = true;
        }
    }

    /// Until when `pause_until` forbids calls; `None` once a later call here has seen that time pass.
    pub fn paused_until(&self) -> Option<Duration> {
        self.paused_until
    }

    /// Follows changed settings. Levels stay, cut to the new sizes, and never rise at once; a window that
    /// was unlimited so far starts full.
    pub fn set_limits(&mut self, limits: Limits, now: Duration) {
        self.advance(now);
        configure(&mut self.buckets, limits);
    }

    /// Calls left per second, minute and hour window, with fractions; infinite where nothing is limited.
    pub fn levels(&mut self, now: Duration) -> [f64; 3] {
        self.advance(now);
        self.buckets.each_ref().map(Bucket::level)
    }

    /// After a restart: what `levels` gave, plus the refill for `elapsed` since then (the caller passes 0
    /// if the wall clock went back). Lowers only, so it never allows more than a fresh start. Negative
    /// levels and NaN count as 0.
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
