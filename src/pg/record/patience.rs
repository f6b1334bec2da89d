//! Bookings whose row cannot be written or read at the moment, because code of the host raises or does not end: how often,
//! and when each is tried again. In memory: a new worker looks the booking up, and begins again. Main thread only.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::retry::Backoff;
use crate::pg::host_code;

/// What nobody came back to for so long was settled in another way.
const FORGET: Duration = Duration::from_secs(3600);
/// After code that did not end, a booking rests at least so long: the others get this much of the worker's time.
const BREATH: Duration = Duration::from_secs(2);

/// What the worker does with a booking's row.
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
}

impl Patience {
    /// Nothing has raised yet.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, written: HashMap::new(), read: HashMap::new() }
    }

    /// Follows changed settings.
    pub fn set(&mut self, backoff: Backoff) {
        self.backoff = backoff;
    }

    /// It raised for this booking; true if it is worth another try. `hung`: it did not end in time.
    pub fn bears(&mut self, access: Access, booking_id: &str, hung: bool) -> bool {
        let tries = self.tries(access, booking_id).saturating_add(1);
        match self.backoff.before_write(tries) {
            Some(pause) => self.rest(access, booking_id, tries, if hung { pause.max(BREATH) } else { pause }),
            None => self.over(access, booking_id),
        }
        self.tries(access, booking_id) == tries
    }

    /// It cannot go on for a reason that passes: it rests, for longer each time, and is never given up.
    pub fn waits(&mut self, access: Access, booking_id: &str) {
        let tries = self.tries(access, booking_id).saturating_add(1);
        match self.backoff.before_write(tries) {
            Some(pause) => self.rest(access, booking_id, tries, pause),
            None => self.rest(access, booking_id, tries - 1, self.backoff.before_write(tries - 1).unwrap_or(BREATH)),
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
    pub fn limit(&self, access: Access, booking_id: &str) -> Duration {
        host_code::SHORT * [1, 1, 2, 2, 3, 3].get(self.tries(access, booking_id) as usize).copied().unwrap_or(5)
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
            rests.retain(|_, rest| rest.until + FORGET > now);
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
