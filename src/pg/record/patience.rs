//! Bookings whose row cannot be written or read at the moment, because code of the host raises or does not end: how often,
//! and when each is tried again. In memory: a new worker looks the booking up, and begins again. Main thread only.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::retry::Backoff;
use crate::domain::retry::{HUNG_ROW_PAUSE, ROW_RETRIES_FORGOTTEN_AFTER};
use crate::pg::host_code;

/// For so long after a slow try, new bookings begin with the limit that it needed.
const SLOW: Duration = Duration::from_secs(600);

/// The worker's two uses of a booking's row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Writes it; triggers run.
    Write,
    /// Reads it; mapping expressions run.
    Read,
}

#[derive(Clone, Copy)]
struct Rest {
    tries: u32,
    until: Instant,
}

/// The patience with the host's code.
pub struct Patience {
    backoff: Backoff,
    written: HashMap<String, Rest>,
    read: HashMap<String, Rest>,
    slow_write: Option<Slow>,
    slow_read: Option<Slow>,
}

/// Code that ended, but not within the short limit.
#[derive(Clone, Copy)]
struct Slow {
    limit: Duration,
    seen: Instant,
}

impl Patience {
    /// Nothing has raised yet.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, written: HashMap::new(), read: HashMap::new(), slow_write: None, slow_read: None }
    }

    /// Follows changed settings.
    pub fn set(&mut self, backoff: Backoff) {
        self.backoff = backoff;
    }

    /// It raised for this booking; true if it is worth another try. `hung`: it did not end in time.
    pub fn bears(&mut self, access: Access, booking_id: &str, hung: bool) -> bool {
        let tries = self.tries(access, booking_id).saturating_add(1);
        match self.backoff.before_write(tries) {
            Some(pause) => self.rest(access, booking_id, tries, if hung { pause.max(HUNG_ROW_PAUSE) } else { pause }),
            None => self.over(access, booking_id),
        }
        self.tries(access, booking_id) == tries
    }

    /// It cannot go on for a reason that passes: it rests, for longer each time, and is never given up.
    pub fn waits(&mut self, access: Access, booking_id: &str) {
        let tries = self.tries(access, booking_id).saturating_add(1);
        match self.backoff.before_write(tries) {
            Some(pause) => self.rest(access, booking_id, tries, pause),
            None => {
                self.rest(access, booking_id, tries - 1, self.backoff.before_write(tries - 1).unwrap_or(HUNG_ROW_PAUSE))
            }
        }
    }

    fn rest(&mut self, access: Access, booking_id: &str, tries: u32, pause: Duration) {
        let rest = Rest { tries, until: Instant::now() + pause };
        self.of_mut(access).insert(booking_id.to_owned(), rest);
    }

    /// It went through, or was given up.
    pub fn over(&mut self, access: Access, booking_id: &str) {
        let rests = self.of_mut(access);
        if !rests.is_empty() {
            rests.remove(booking_id);
        }
    }

    /// How often it was tried in vain.
    pub fn tries(&self, access: Access, booking_id: &str) -> u32 {
        let rests = match access {
            Access::Write => &self.written,
            Access::Read => &self.read,
        };
        rests.get(booking_id).map_or(0, |rest| rest.tries)
    }

    /// How long the host's code may take for this booking: the worker does nothing else meanwhile, so the long limit comes last.
    /// Where the code was slow a moment ago, it begins with the limit that was enough then.
    pub fn limit(&self, access: Access, booking_id: &str) -> Duration {
        let factor = [1, 2, 2, 3, 3, 4].get(self.tries(access, booking_id) as usize).copied().unwrap_or(5);
        (host_code::SHORT * factor).max(self.slow(access).map_or(Duration::ZERO, |slow| slow.limit))
    }

    /// A try ended after `elapsed`. If that is more than the short limit, the code is slow, not endless.
    pub fn passed(&mut self, access: Access, booking_id: &str, elapsed: Duration) {
        if elapsed <= host_code::SHORT {
            return;
        }
        let slow = Slow { limit: self.limit(access, booking_id), seen: Instant::now() };
        match access {
            Access::Write => self.slow_write = Some(slow),
            Access::Read => self.slow_read = Some(slow),
        }
        host_code::be_calm();
    }

    /// True where the code took longer than the short limit a moment ago, and ended: rows are best taken one by one.
    pub fn is_slow(&self, access: Access) -> bool {
        self.slow(access).is_some()
    }

    fn slow(&self, access: Access) -> Option<Slow> {
        let slow = if access == Access::Write { self.slow_write } else { self.slow_read };
        slow.filter(|slow| slow.seen.elapsed() < SLOW)
    }

    /// True while this booking is left alone.
    pub fn is_resting(&self, booking_id: &str) -> bool {
        let now = Instant::now();
        [&self.written, &self.read].iter().any(|rests| rests.get(booking_id).is_some_and(|rest| rest.until > now))
    }

    /// The bookings that are left alone now.
    pub fn resting(&self) -> impl Iterator<Item = String> {
        let now = Instant::now();
        self.written.iter().chain(&self.read).filter(move |(_, rest)| rest.until > now).map(|(id, _)| id.clone())
    }

    /// When the next one is tried again.
    pub fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        self.written.values().chain(self.read.values()).map(|rest| rest.until).filter(|until| *until > now).min()
    }

    /// True if a rest is over: what it belongs to may go on.
    pub fn is_over(&mut self) -> bool {
        let now = Instant::now();
        for rests in [&mut self.written, &mut self.read] {
            rests.retain(|_, rest| rest.until + ROW_RETRIES_FORGOTTEN_AFTER > now);
        }
        self.written.values().chain(self.read.values()).any(|rest| rest.until <= now)
    }

    fn of_mut(&mut self, access: Access) -> &mut HashMap<String, Rest> {
        match access {
            Access::Write => &mut self.written,
            Access::Read => &mut self.read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Patience {
        Patience::new(Backoff { base: Duration::from_secs(1), max: Duration::from_secs(300) })
    }

    #[test]
    fn the_long_limit_comes_last() {
        let mut patience = patience();
        let mut limits = vec![patience.limit(Access::Write, "1")];
        while patience.bears(Access::Write, "1", true) {
            limits.push(patience.limit(Access::Write, "1"));
        }
        assert_eq!(limits, [1, 2, 2, 3, 3, 4, 5].map(Duration::from_secs));
    }

    #[test]
    fn a_slow_booking_begins_with_the_limit_that_was_enough() {
        let mut patience = patience();
        assert!(patience.bears(Access::Write, "1", true));
        patience.passed(Access::Write, "1", Duration::from_millis(1500));
        patience.over(Access::Write, "1");
        assert_eq!(patience.limit(Access::Write, "2"), Duration::from_secs(2));
        assert_eq!(patience.limit(Access::Read, "2"), Duration::from_secs(1));
        assert!(patience.is_slow(Access::Write) && !patience.is_slow(Access::Read));
    }

    #[test]
    fn a_quick_booking_changes_no_limit() {
        let mut patience = patience();
        patience.passed(Access::Write, "1", Duration::from_millis(900));
        assert_eq!(patience.limit(Access::Write, "1"), Duration::from_secs(1));
    }
}
