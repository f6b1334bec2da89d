//! One window of the rate limiter: a token bucket in whole numbers, so that rounding errors cannot add up to a call. One call
//! is `100 * window` units (window in nanoseconds); `limit * share` units are refilled each nanosecond. Pure.

use std::time::Duration;

use crate::domain::outcome::Window;

/// Levels are reported in steps of 2^-20 calls, rounded down: exact in an `f64`, so that saving and restoring adds nothing.
const STEP: u32 = 20;

/// One window. Unlimited: the level is `u128::MAX`, and stays there.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    window: u128,
    limit: u32,
    share: u32,
    /// The limit that the API named last.
    seen: Option<u32>,
    level: u128,
}

impl Bucket {
    /// Unlimited, until it is configured.
    pub(super) fn new(window: u128) -> Self {
        Self { window, limit: 0, share: 0, seen: None, level: u128::MAX }
    }

    /// Applies settings; the level is cut to the new size. `share` is at most 100.
    pub(super) fn configure(&mut self, limit: u32, share: u32) {
        self.limit = limit;
        self.share = share;
        self.advance(Duration::ZERO);
    }

    /// Refills for `elapsed`.
    pub(super) fn advance(&mut self, elapsed: Duration) {
        self.level = self.refilled(self.level, elapsed);
    }

    /// Units of one call.
    fn call(&self) -> u128 {
        100 * self.window
    }

    /// Units refilled each nanosecond, at least one call a window; `None`: unlimited.
    fn rate(&self) -> Option<u128> {
        let limit = self.seen.map_or(self.limit, |seen| seen.min(self.limit));
        let rate = u128::from(limit) * u128::from(self.share);
        (self.limit != 0).then_some(rate.max(100))
    }

    /// `level` after `elapsed`, at most a full bucket.
    fn refilled(&self, level: u128, elapsed: Duration) -> u128 {
        self.rate().map_or(u128::MAX, |rate| {
            let refill = elapsed.as_nanos().saturating_mul(rate);
            level.saturating_add(refill).min(rate * self.window)
        })
    }

    /// Calls that may start now.
    pub(super) fn whole(&self) -> u32 {
        u32::try_from(self.level / self.call()).unwrap_or(u32::MAX)
    }

    /// Counts `n` calls.
    pub(super) fn take(&mut self, n: u32) {
        if self.rate().is_some() {
            self.level = self.level.saturating_sub(u128::from(n) * self.call());
        }
    }

    /// Nanoseconds until one call is allowed.
    pub(super) fn wait(&self) -> u128 {
        let missing = self.call().saturating_sub(self.level);
        self.rate().map_or(0, |rate| missing.div_ceil(rate))
    }

    /// See `RateLimiter::observe`; `uncertain`: the API has asked for a pause.
    pub(super) fn observe(&mut self, window: Window, in_flight: u32, elapsed: Duration, uncertain: bool) {
        if self.limit == 0 {
            return;
        }
        let before = self.rate();
        self.seen = window.limit.filter(|&limit| limit > 0).or(self.seen);
        // Cut to the lower limit, the level no longer shows how many calls were taken.
        let lowered = self.rate() < before;
        self.advance(Duration::ZERO);
        let Some(remaining) = window.remaining else { return };
        let left = u128::from(remaining) * u128::from(self.share) * self.window;
        // The highest level without other clients: the API reports whole calls, as of up to `elapsed` ago.
        let explained = self.refilled(left, elapsed).saturating_add(self.call());
        let others_called = self.level > explained;
        let uncounted = if others_called || lowered || uncertain { u128::from(in_flight) * self.call() } else { 0 };
        self.level = self.level.min(left.saturating_sub(uncounted));
    }

    /// Calls left, with fractions; infinite if unlimited.
    pub(super) fn level(&self) -> f64 {
        match self.rate() {
            // A level has at most 32 bits before the point, so 52 in all.
            Some(_) => ((self.level << STEP) / self.call()) as f64 / f64::from(1 << STEP),
            None => f64::INFINITY,
        }
    }

    /// See `RateLimiter::restore`.
    pub(super) fn restore(&mut self, level: f64, elapsed: Duration) {
        // The cast turns NaN into 0. More than the largest limit just means full.
        let steps = (level.clamp(0.0, f64::from(u32::MAX)) * f64::from(1 << STEP)) as u128;
        let saved = (steps * self.call()) >> STEP;
        self.level = self.level.min(self.refilled(saved, elapsed));
    }
}
