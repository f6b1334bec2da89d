//! Retries for bookings whose row cannot be written or read now, because host code raises or does not end. In memory only: a new
//! worker looks the booking up in Guestly and starts again. Part of `pg::record_outcomes`; main thread only.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::retry::{Backoff, HUNG_ROW_PAUSE, ROW_RETRIES_FORGOTTEN_AFTER};
use crate::pg::host_code;

/// For this long after a slow run, new bookings begin with the limit that it needed.
const SLOW: Duration = Duration::from_secs(600);

/// The two kinds of access to a booking's row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Writes it; triggers run.
    Write,
    /// Reads it; mapping expressions run.
    Read,
}

#[derive(Clone, Copy)]
struct Retry {
    tries: u32,
    due: Instant,
}

/// The bookings that wait for a retry, by id, and the recent run times of the host's code.
pub struct WriteRetries {
    backoff: Backoff,
    writes: HashMap<String, Retry>,
    reads: HashMap<String, Retry>,
    slow_write: Option<Slow>,
    slow_read: Option<Slow>,
}

/// A run that ended, but not within the short limit.
#[derive(Clone, Copy)]
struct Slow {
    limit: Duration,
    seen: Instant,
}

impl WriteRetries {
    /// Without failures.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, writes: HashMap::new(), reads: HashMap::new(), slow_write: None, slow_read: None }
    }

    /// Applies changed settings.
    pub fn set_backoff(&mut self, backoff: Backoff) {
        self.backoff = backoff;
    }

    /// Host code raised for this booking. True if it is tried again; otherwise its entry is removed. `hung`: the code did not end
    /// in time.
    pub fn record_failure(&mut self, access: Access, booking_id: &str, hung: bool) -> bool {
        let tries = self.tries(access, booking_id).saturating_add(1);
        match self.backoff.before_write(tries) {
            Some(pause) => {
                self.schedule(access, booking_id, tries, if hung { pause.max(HUNG_ROW_PAUSE) } else { pause });
            }
            None => self.clear(access, booking_id),
        }
        self.tries(access, booking_id) == tries
    }

    /// The problem is temporary: the booking is tried again after growing pauses, without limit.
    pub fn record_wait(&mut self, access: Access, booking_id: &str) {
        let tries = self.tries(access, booking_id).saturating_add(1);
        match self.backoff.before_write(tries) {
            Some(pause) => self.schedule(access, booking_id, tries, pause),
            None => {
                let longest = self.backoff.before_write(tries - 1).unwrap_or(HUNG_ROW_PAUSE);
                self.schedule(access, booking_id, tries - 1, longest);
            }
        }
    }

    fn schedule(&mut self, access: Access, booking_id: &str, tries: u32, pause: Duration) {
        let retry = Retry { tries, due: Instant::now() + pause };
        self.of_mut(access).insert(booking_id.to_owned(), retry);
    }

    /// Removes the entry of a booking that succeeded or was given up.
    pub fn clear(&mut self, access: Access, booking_id: &str) {
        let retries = self.of_mut(access);
        if !retries.is_empty() {
            retries.remove(booking_id);
        }
    }

    /// Failed attempts in a row.
    pub fn tries(&self, access: Access, booking_id: &str) -> u32 {
        let retries = match access {
            Access::Write => &self.writes,
            Access::Read => &self.reads,
        };
        retries.get(booking_id).map_or(0, |retry| retry.tries)
    }

    /// The time limit of host code for this booking. It grows with the attempts, since the worker does nothing else meanwhile. If
    /// the code was slow recently, it begins with the limit that was enough then.
    pub fn limit(&self, access: Access, booking_id: &str) -> Duration {
        let factor = [1, 2, 2, 3, 3, 4].get(self.tries(access, booking_id) as usize).copied().unwrap_or(5);
        (host_code::SHORT_LIMIT * factor).max(self.slow(access).map_or(Duration::ZERO, |slow| slow.limit))
    }

    /// An attempt succeeded after `elapsed`. If that is more than the short limit, the code is slow, not endless.
    pub fn record_duration(&mut self, access: Access, booking_id: &str, elapsed: Duration) {
        if elapsed <= host_code::SHORT_LIMIT {
            return;
        }
        let slow = Slow { limit: self.limit(access, booking_id), seen: Instant::now() };
        match access {
            Access::Write => self.slow_write = Some(slow),
            Access::Read => self.slow_read = Some(slow),
        }
        host_code::end_caution();
    }

    /// True if the code was slow recently: rows should be processed one by one.
    pub fn is_slow(&self, access: Access) -> bool {
        self.slow(access).is_some()
    }

    fn slow(&self, access: Access) -> Option<Slow> {
        let slow = if access == Access::Write { self.slow_write } else { self.slow_read };
        slow.filter(|slow| slow.seen.elapsed() < SLOW)
    }

    /// True until the next attempt for this booking is due.
    pub fn is_waiting(&self, booking_id: &str) -> bool {
        let now = Instant::now();
        [&self.writes, &self.reads].iter().any(|retries| retries.get(booking_id).is_some_and(|retry| retry.due > now))
    }

    /// The bookings whose next attempt is not due yet.
    pub fn waiting(&self) -> impl Iterator<Item = String> {
        let now = Instant::now();
        self.writes.iter().chain(&self.reads).filter(move |(_, retry)| retry.due > now).map(|(id, _)| id.clone())
    }

    /// The time of the next attempt.
    pub fn next_due(&self) -> Option<Instant> {
        let now = Instant::now();
        self.writes.values().chain(self.reads.values()).map(|retry| retry.due).filter(|due| *due > now).min()
    }

    /// True if a booking may be tried again. Drops stale entries.
    pub fn is_due(&mut self) -> bool {
        let now = Instant::now();
        for retries in [&mut self.writes, &mut self.reads] {
            retries.retain(|_, retry| retry.due + ROW_RETRIES_FORGOTTEN_AFTER > now);
        }
        self.writes.values().chain(self.reads.values()).any(|retry| retry.due <= now)
    }

    fn of_mut(&mut self, access: Access) -> &mut HashMap<String, Retry> {
        match access {
            Access::Write => &mut self.writes,
            Access::Read => &mut self.reads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries() -> WriteRetries {
        WriteRetries::new(Backoff { base: Duration::from_secs(1), max: Duration::from_secs(300) })
    }

    #[test]
    fn the_long_limit_comes_last() {
        let mut retries = retries();
        let mut limits = vec![retries.limit(Access::Write, "1")];
        while retries.record_failure(Access::Write, "1", true) {
            limits.push(retries.limit(Access::Write, "1"));
        }
        assert_eq!(limits, [1, 2, 2, 3, 3, 4, 5].map(Duration::from_secs));
    }

    #[test]
    fn a_slow_booking_sets_the_first_limit_of_the_next() {
        let mut retries = retries();
        assert!(retries.record_failure(Access::Write, "1", true));
        retries.record_duration(Access::Write, "1", Duration::from_millis(1500));
        retries.clear(Access::Write, "1");
        assert_eq!(retries.limit(Access::Write, "2"), Duration::from_secs(2));
        assert_eq!(retries.limit(Access::Read, "2"), Duration::from_secs(1));
        assert!(retries.is_slow(Access::Write) && !retries.is_slow(Access::Read));
    }

    #[test]
    fn a_quick_booking_changes_no_limit() {
        let mut retries = retries();
        retries.record_duration(Access::Write, "1", Duration::from_millis(900));
        assert_eq!(retries.limit(Access::Write, "1"), Duration::from_secs(1));
    }
}
