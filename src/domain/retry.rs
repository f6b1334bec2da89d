//! When to try again: pauses between attempts, and the times of look-ups after an unknown outcome.
//! Called by `domain::transition` and the worker (main thread); pure: time and jitter are arguments.
//! Imports neither `pg` nor `net`, no clock, no randomness.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Seconds after an unknown outcome at which to look, for a settle window of `NOMINAL_SETTLE` seconds.
const LOOK_UPS: [u32; 7] = [2, 5, 10, 20, 40, 60, 90];
const NOMINAL_SETTLE: u32 = 90;
/// Seconds between look-ups once the window has passed without an answer that could be read.
const LATE_STEP: u32 = 30;
/// Pauses before a booking's row that cannot be written is given up: with a base of one second, a minute.
const WRITE_PAUSES: u32 = 6;

/// Exponential pauses with full jitter. A `base` of zero means no pause at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Longest pause after the first attempt; it doubles with each further one.
    pub base: Duration,
    /// No pause is longer, except where the API asked for it (`floor`).
    pub max: Duration,
}

impl Backoff {
    /// The pause after `attempt` tries (counted from 1; 0 is taken as 1).
    ///
    /// `jitter` in `[0, 1)` picks a point of the range; what lies outside is clamped, NaN means the longest
    /// pause. The pause is at least a tenth of `base` (so that a crowd does not come back at once) and at
    /// most `max`. `floor` is what the API asked for (`Retry-After`): the pause is never shorter, jitter only
    /// adds to it, and a short floor does not shorten the pause. Never panics, whatever the arguments.
    ///
    /// ```
    /// use guestly_sync::domain::retry::Backoff;
    /// use std::time::Duration;
    ///
    /// let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(300) };
    /// assert_eq!(backoff.delay(3, 0.5, None), Duration::from_secs(2));
    /// assert_eq!(backoff.delay(3, 0.5, Some(Duration::from_secs(7))), Duration::from_millis(7_500));
    /// ```
    pub fn delay(&self, attempt: u32, jitter: f64, floor: Option<Duration>) -> Duration {
        let ceiling = self.ceiling(attempt);
        let least = (self.base / 10).min(ceiling);
        let pause = part(ceiling, jitter).max(least);
        match floor {
            Some(floor) => pause.max(floor.saturating_add(part(self.base, jitter))),
            None => pause,
        }
    }

    /// The pause before a write is repeated that raised `tries` times; none once it must be taken to raise for ever.
    ///
    /// ```
    /// use guestly_sync::domain::retry::Backoff;
    /// use std::time::Duration;
    ///
    /// let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(300) };
    /// let pauses: Vec<u64> = (1..).map_while(|tries| backoff.before_write(tries)).map(|pause| pause.as_secs()).collect();
    /// assert_eq!(pauses, [1, 2, 4, 8, 16, 32]);
    /// ```
    pub fn before_write(&self, tries: u32) -> Option<Duration> {
        (tries <= WRITE_PAUSES).then(|| self.ceiling(tries))
    }

    /// `base` doubled for each attempt after the first, at most `max`.
    fn ceiling(&self, attempt: u32) -> Duration {
        let base = self.base.as_nanos();
        let doublings = attempt.saturating_sub(1);
        if base != 0 && doublings >= base.leading_zeros() {
            return self.max;
        }
        let wanted = base.checked_shl(doublings).unwrap_or(0);
        duration(wanted.min(self.max.as_nanos()))
    }
}

/// The share `jitter` (clamped to `[0, 1]`, NaN is 1) of a duration, in whole numbers: the standard
/// `mul_f64` panics near the end of the range.
pub(super) fn part(whole: Duration, jitter: f64) -> Duration {
    const ONE: f64 = 4_294_967_296.0;
    let jitter = if jitter.is_nan() { 1.0 } else { jitter.clamp(0.0, 1.0) };
    // At most 2^94 nanoseconds times 2^32.
    let scaled = (whole.as_nanos() * (jitter * ONE) as u128) >> 32;
    duration(scaled)
}

/// From nanoseconds; what does not fit is the longest duration.
fn duration(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    u64::try_from(nanos / SECOND).map_or(Duration::MAX, |secs| Duration::new(secs, (nanos % SECOND) as u32))
}

/// When to look next for a reservation whose create had an unknown outcome at `since`, after
/// `look_ups_done` look-ups: with a `settle` of 90 s at 2, 5, 10, 20, 40, 60 and 90 s, then every 30 s; other
/// windows scale. The seventh falls on `since + settle`, so the last look before a repeated create is one
/// that the settle window has passed for. Never decreases with `look_ups_done`; ends at the last date chrono knows.
///
/// A caller whose clock went back (`since` later than now) should pass now as `since`, or it waits the jump out.
///
/// ```
/// use chrono::{DateTime, TimeDelta};
/// use guestly_sync::domain::retry::look_up_at;
/// use std::time::Duration;
///
/// let since = DateTime::UNIX_EPOCH;
/// let settle = Duration::from_secs(90);
/// assert_eq!(look_up_at(since, 0, settle), since + TimeDelta::seconds(2));
/// assert_eq!(look_up_at(since, 6, settle), since + TimeDelta::seconds(90));
/// assert_eq!(look_up_at(since, 7, settle), since + TimeDelta::seconds(120));
/// ```
pub fn look_up_at(since: DateTime<Utc>, look_ups_done: u32, settle: Duration) -> DateTime<Utc> {
    let done = look_ups_done as usize;
    let nominal = match LOOK_UPS.get(done) {
        Some(&seconds) => u128::from(seconds),
        None => {
            let late = look_ups_done - (LOOK_UPS.len() as u32 - 1);
            u128::from(NOMINAL_SETTLE) + u128::from(late) * u128::from(LATE_STEP)
        }
    };
    // At most 2^94 nanoseconds times 2^37 does not fit; saturating leads to the last date, as it should.
    let nanos = settle.as_nanos().saturating_mul(nominal) / u128::from(NOMINAL_SETTLE);
    later(since, duration(nanos))
}

/// Whether the settle window that began at `since` has passed: a create may be repeated if a look-up that
/// was made after this found nothing. False while the clock stands before `since`.
pub fn settled(since: DateTime<Utc>, now: DateTime<Utc>, settle: Duration) -> bool {
    now >= later(since, settle)
}

/// `at + by`, or the last date that chrono knows.
pub fn later(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by).ok().and_then(|by| at.checked_add_signed(by)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
