//! Bookings whose row cannot be written at the moment, because a trigger of the host raises: how often it did, and when each
//! is tried again. In memory: a new worker looks the booking up, and begins again. Part of `pg::record`; main thread only.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::retry::Backoff;

/// What nobody came back to for so long was settled in another way.
const FORGET: Duration = Duration::from_secs(3600);

/// The patience with the host's triggers.
pub struct Patience {
    backoff: Backoff,
    raised: HashMap<String, (u32, Instant)>,
}

impl Patience {
    /// Nothing has raised yet.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, raised: HashMap::new() }
    }

    /// Follows changed settings.
    pub fn set(&mut self, backoff: Backoff) {
        self.backoff = backoff;
    }

    /// The write of this booking raised; true if it is worth another try.
    pub(super) fn bears(&mut self, booking_id: &str) -> bool {
        let tries = self.raised.get(booking_id).map_or(1, |(tries, _)| tries.saturating_add(1));
        let pause = self.backoff.before_write(tries);
        match pause {
            Some(pause) => self.raised.insert(booking_id.to_owned(), (tries, Instant::now() + pause)),
            None => self.raised.remove(booking_id),
        };
        pause.is_some()
    }

    /// It is written, or given up.
    pub(super) fn over(&mut self, booking_id: &str) {
        if !self.raised.is_empty() {
            self.raised.remove(booking_id);
        }
    }

    /// True while this booking is left alone.
    pub fn is_resting(&self, booking_id: &str) -> bool {
        self.raised.get(booking_id).is_some_and(|(_, until)| *until > Instant::now())
    }

    /// The bookings that are left alone now.
    pub fn resting(&self) -> impl Iterator<Item = String> {
        let now = Instant::now();
        self.raised.iter().filter(move |(_, (_, until))| *until > now).map(|(id, _)| id.clone())
    }

    /// When the next one is tried again.
    pub fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        self.raised.values().map(|(_, until)| *until).filter(|until| *until > now).min()
    }

    /// True if a rest is over: what it belongs to may go on.
    pub fn is_over(&mut self) -> bool {
        let now = Instant::now();
        self.raised.retain(|_, (_, until)| *until + FORGET > now);
        self.raised.values().any(|(_, until)| *until <= now)
    }
}
