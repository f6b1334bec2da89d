//! Pauses and retries: every policy of the extension as a named constant, the exponential backoff, and the schedule of
//! look-ups after an unknown outcome. Imported by `domain`, `pg` and `net`; pure: time and jitter are arguments.
//!
//! Values that an operator can change are settings instead: `backoff_base`, `backoff_max`, `max_attempts`, `settle`,
//! `poll_interval`, `stale_after`, `alert_digest`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

// -- calls to Guestly --

/// Pause after a 429 without `Retry-After`.
pub const THROTTLE_PAUSE: Duration = Duration::from_secs(30);
/// Shortest pause after a 429, whatever `Retry-After` says.
pub const MIN_THROTTLE_PAUSE: Duration = Duration::from_secs(1);
/// Longest `Retry-After` that is obeyed. A header that asks for a day must not stop a queue for a day.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// The same for a token request: tokens are counted over 24 hours, and asking earlier may count as well.
pub const MAX_TOKEN_RETRY_AFTER: Duration = Duration::from_secs(86_400);
/// `Retry-After` is a lower bound; jitter adds up to this share of it.
pub const RETRY_AFTER_JITTER: f64 = 0.05;
/// First pause of the open breaker; it doubles with each failed probe.
pub const BREAKER_FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause of the open breaker, jitter aside.
pub const BREAKER_MAX_PAUSE: Duration = Duration::from_secs(60);
/// An outage of several sources, or of one for this long, is announced.
pub const OUTAGE_CONFIRMED_AFTER: Duration = Duration::from_secs(120);
/// While creates are refused, other calls go first for this long after a create has failed.
pub const CREATE_YIELDS_FOR: Duration = Duration::from_secs(10);
/// A booking or kind of call with a recent failure lets others go first for this long.
pub const FAILURE_YIELDS_FOR: Duration = Duration::from_secs(60);
/// Failures of a booking or kind of call are forgotten after this time.
pub const FAILURE_FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);
/// An unanswered look-up is given up after this time; the booking then needs manual action.
pub const LOOK_UP_GIVES_UP_AFTER: TimeDelta = TimeDelta::hours(24);
/// Pause of a real reservation while test mode is on.
pub const TEST_MODE_PAUSE: Duration = Duration::from_secs(60);

// -- token requests --

/// Pause after refused credentials: a fifth of the day, since Guesty issues five tokens a day.
pub const TOKEN_REFUSED_PAUSE: TimeDelta = TimeDelta::seconds(24 * 3600 / 5);
/// Pause after the cap on tokens was reached and the answer names no time.
pub const TOKEN_CAP_PAUSE: Duration = Duration::from_secs(3600);
/// Shortest such pause: asking again may itself count.
pub const TOKEN_CAP_MIN_PAUSE: Duration = Duration::from_secs(60);
/// Longest pause, in seconds, after a request that certainly brought no token; it doubles from one second.
pub const TOKEN_MAX_PAUSE_SECS: u32 = 60;
/// Each token that may have been issued and lost multiplies the longest pause by this.
pub const TOKEN_LOST_FACTOR: u32 = 4;

// -- alert mails --

/// Pauses while the mail server cannot be reached or asks to come again.
pub const MAIL_BACKOFF: Backoff = Backoff { base: Duration::from_secs(2), max: Duration::from_secs(300) };
/// Pauses after a refusal that needs manual action: a wrong address, login or key.
pub const MAIL_REFUSED_BACKOFF: Backoff = Backoff { base: Duration::from_secs(60), max: Duration::from_secs(3600) };
/// An alert with an unchanged cause is mailed again after this time.
pub const MAIL_REPEAT: TimeDelta = TimeDelta::hours(24);
/// At most [`MAILS_PER_WINDOW`] mails leave within this time.
pub const MAIL_WINDOW: TimeDelta = TimeDelta::seconds(60);
/// See [`MAIL_WINDOW`].
pub const MAILS_PER_WINDOW: usize = 3;
/// Shortest distance between mails.
pub const MAIL_GAP: TimeDelta = TimeDelta::seconds(5);
/// Shortest distance while more than [`MAIL_CROWD`] alerts come in a minute: three mails then cover a minute of failures.
pub const MAIL_CROWD_GAP: TimeDelta = TimeDelta::seconds(30);
/// See [`MAIL_CROWD_GAP`].
pub const MAIL_CROWD: usize = 10;
/// Pause after a transaction about alerts failed.
pub const MAIL_TRANSACTION_PAUSE: Duration = Duration::from_secs(1);

// -- the host's tables --

/// Failed attempts to write a booking's row before it is given up: with a base of one second, after a minute.
const WRITE_ATTEMPTS: u32 = 6;
/// Shortest pause of a booking whose triggers or mapping expressions did not end in time.
pub const HUNG_ROW_PAUSE: Duration = Duration::from_secs(2);
/// Retries of a row are forgotten if it was not tried again for this long.
pub const ROW_RETRIES_FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
/// A locked row is skipped for this long, so that it does not delay others.
pub const LOCKED_ROW_PAUSE: TimeDelta = TimeDelta::seconds(1);
/// Pause of whole-table statements after one did not end in time.
pub const TABLE_SCAN_PAUSE: Duration = Duration::from_secs(180);
/// Pause of whole-table statements after the worker had to end in another statement.
pub const TABLE_SCAN_PAUSE_AFTER_HANG: Duration = Duration::from_secs(60);

// -- the worker and the launcher --

/// Pause after the transaction that records outcomes failed.
pub const RECORD_PAUSE: Duration = Duration::from_millis(100);
/// Pause after a call could not be made because the configured address is not allowed.
pub const BAD_ADDRESS_PAUSE: Duration = Duration::from_secs(1);
/// Replies are collected for at most this long so that they share one commit.
pub const COMMIT_BATCH_DELAY: Duration = Duration::from_millis(2);
/// First sweep after the worker's start.
pub const FIRST_SWEEP_AFTER: Duration = Duration::from_secs(1);
/// Interval between comparisons of all upcoming bookings with their reservations.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Interval between deletions of old attempts.
pub const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Pause between two batches of such deletions.
pub const PRUNE_NEXT_BATCH_AFTER: Duration = Duration::from_secs(1);
/// Pause of the worker after a transaction failed.
pub const TRANSACTION_PAUSE: Duration = Duration::from_secs(1);
/// A message is repeated in the log at most this often.
pub const REPORT_EVERY: Duration = Duration::from_secs(60);
/// An answer of the API check of `guestly_doctor(online => true)` is reused for this long.
pub const DOCTOR_ANSWER_FRESH_FOR: Duration = Duration::from_secs(10);
/// The launcher looks for new databases this often.
pub const LAUNCHER_SCAN_EVERY: Duration = Duration::from_secs(60);
/// The launcher checks this often on a worker of an earlier launcher, whose end is not reported to it.
pub const LAUNCHER_ADOPTED_CHECK_EVERY: Duration = Duration::from_secs(5);
/// Pause before the server restarts a launcher that crashed.
pub const LAUNCHER_RESTART_PAUSE: Duration = Duration::from_secs(1);
/// First pause before a worker is restarted.
pub const WORKER_FIRST_RESTART_PAUSE: Duration = Duration::from_millis(500);
/// A worker that lived shorter than this has crashed at start: the next pause before a restart doubles.
pub const WORKER_SHORT_LIFE: Duration = Duration::from_secs(2);
/// Longest pause before a worker is restarted.
pub const WORKER_MAX_RESTART_PAUSE: Duration = Duration::from_secs(60);

/// Seconds after an unknown outcome at which to look up, for a propagation delay of `NOMINAL_DELAY` seconds.
const LOOK_UPS: [u32; 7] = [2, 5, 10, 20, 40, 60, 90];
const NOMINAL_DELAY: u32 = 90;
/// Seconds between look-ups after the delay has passed without a readable answer.
const LATE_STEP: u32 = 30;

/// Exponential backoff with full jitter. A `base` of zero means no pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Longest pause after the first attempt; it doubles with each further attempt.
    pub base: Duration,
    /// Longest pause, unless the API asks for a longer one.
    pub max: Duration,
}

impl Backoff {
    /// The pause after `attempt` attempts (counted from 1; 0 counts as 1).
    ///
    /// `jitter` in `[0, 1)` picks a point of the range; other values are clamped, NaN means the longest pause. The pause is
    /// at least a tenth of `base`, so that many bookings are not retried at once, and at most `max`. `floor` is the pause
    /// that the API asked for (`Retry-After`): the result is never shorter, and jitter only adds to it. Never panics.
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

    /// The pause before a failed write is repeated, after `tries` failures; `None` once it should be given up.
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
        (tries <= WRITE_ATTEMPTS).then(|| self.ceiling(tries))
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

/// From nanoseconds, at most the longest duration.
fn duration(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    u64::try_from(nanos / SECOND).map_or(Duration::MAX, |secs| Duration::new(secs, (nanos % SECOND) as u32))
}

/// The time of the next look-up for a create of unknown outcome at `since`, after `look_ups_done` look-ups: for a
/// propagation delay of 90 s at 2, 5, 10, 20, 40, 60 and 90 s, then every 30 s; other delays scale. The seventh falls on the
/// end of the delay, so the last look-up before a repeated create comes after it. Never decreases with `look_ups_done`; at
/// most the last date of chrono.
///
/// If the clock went back (`since` is later than now), pass now as `since`.
///
/// ```
/// use chrono::{DateTime, TimeDelta};
/// use guestly_sync::domain::retry::look_up_at;
/// use std::time::Duration;
///
/// let since = DateTime::UNIX_EPOCH;
/// let delay = Duration::from_secs(90);
/// assert_eq!(look_up_at(since, 0, delay), since + TimeDelta::seconds(2));
/// assert_eq!(look_up_at(since, 6, delay), since + TimeDelta::seconds(90));
/// assert_eq!(look_up_at(since, 7, delay), since + TimeDelta::seconds(120));
/// ```
pub fn look_up_at(since: DateTime<Utc>, look_ups_done: u32, propagation_delay: Duration) -> DateTime<Utc> {
    let done = look_ups_done as usize;
    let nominal = match LOOK_UPS.get(done) {
        Some(&seconds) => u128::from(seconds),
        None => {
            let late = look_ups_done - (LOOK_UPS.len() as u32 - 1);
            u128::from(NOMINAL_DELAY) + u128::from(late) * u128::from(LATE_STEP)
        }
    };
    // At most 2^94 nanoseconds times 2^37 does not fit; saturating leads to the last date, as it should.
    let nanos = propagation_delay.as_nanos().saturating_mul(nominal) / u128::from(NOMINAL_DELAY);
    later(since, duration(nanos))
}

/// True if the propagation delay that began at `since` has passed: a create may be repeated if a look-up made after this
/// found nothing. False while the clock is before `since`.
pub fn has_propagated(since: DateTime<Utc>, now: DateTime<Utc>, propagation_delay: Duration) -> bool {
    now >= later(since, propagation_delay)
}

/// `at + by`, at most the last date of chrono.
pub fn later(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by).ok().and_then(|by| at.checked_add_signed(by)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
