//! The worker's pace: whether something is due, how much may go now, and how long to sleep. Part of the worker, main thread;
//! runs no statement.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::Worker;
use crate::domain::lane::Go;
use crate::domain::outcome::Reply;

/// Outcomes that may wait in memory before no more are claimed.
const UNRECORDED_MAX: usize = 200;
/// Bookings that test mode works off in one transaction.
const TEST_BATCH: u32 = 100;

/// So much work may wait in the sender threads' queue, so that they are busy while the main thread writes.
const AHEAD: Duration = Duration::from_millis(20);
/// And at most so many calls. None for now: a call that a thread takes in the very moment of a 429 would leave before
/// `Retry-After` is over.
const AHEAD_MAX: f64 = 0.0;
/// Calls that take longer leave time enough to claim the next one.
const SLOW: Duration = Duration::from_millis(500);

impl Worker {
    /// Calls that may be claimed beyond those on their way: none while there is any trouble.
    fn ahead(&self) -> u32 {
        if self.pace.is_zero() || self.pace > SLOW || !self.lane.breaker.is_calm() {
            return 0;
        }
        let calls = f64::from(self.settings.concurrency) * AHEAD.as_secs_f64() / self.pace.as_secs_f64();
        calls.ceil().min(AHEAD_MAX) as u32
    }

    /// How long calls take, on a sliding average.
    pub(super) fn note_pace(&mut self, reply: &Reply, elapsed: Duration) {
        if matches!(reply, Reply::Answer(_)) {
            self.pace = if self.pace.is_zero() { elapsed } else { (self.pace * 7 + elapsed) / 8 };
        }
    }

    /// What waits in the sender threads' queue comes back: nothing may be sent any more.
    pub(super) fn recall(&mut self) {
        if let Some(pool) = &self.pool {
            pool.recall();
        }
        self.take_back();
    }

    pub(super) fn is_something_due(&self) -> bool {
        self.settings.enabled && (self.more || self.next_due.is_some_and(|due| due <= Utc::now()))
    }

    /// What the lane allows now; test mode needs no lane.
    pub(super) fn go(&mut self, now: Duration, wall: DateTime<Utc>) -> Go {
        if !self.settings.enabled || self.unrecorded.len() > UNRECORDED_MAX {
            return Go::Wait(None);
        }
        if self.settings.test_mode {
            return Go::Send(TEST_BATCH);
        }
        let in_flight = self.in_flight();
        self.lane.go(now, wall, in_flight, self.settings.concurrency.saturating_add(self.ahead()))
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.pool.as_ref().map_or(0, |pool| u32::try_from(pool.in_flight()).unwrap_or(u32::MAX))
    }

    /// How long to sleep; none until something happens.
    pub(super) fn pause(&mut self) -> Option<Duration> {
        let (now, wall, instant) = (self.now(), Utc::now(), Instant::now());
        let mut pauses = vec![self.next_probe.saturating_duration_since(instant)];
        pauses.extend(self.desk.pause(instant));
        if let Some(then) = self.not_before {
            pauses.push(then.saturating_duration_since(instant));
        } else if !self.unrecorded.is_empty() {
            // What test mode made up, and what was given back, came after the transaction.
            pauses.push(Duration::ZERO);
        } else if self.is_something_due() {
            match self.go(now, wall) {
                Go::Wait(Some(time)) => pauses.push(time),
                Go::Wait(None) => {}
                Go::Send(_) | Go::FetchToken => pauses.push(Duration::ZERO),
            }
        } else if let (true, Some(due)) = (self.settings.enabled, self.next_due) {
            pauses.push((due - wall).to_std().unwrap_or_default());
        }
        pauses.into_iter().min()
    }

    /// Time since the worker began.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }
}
