//! The context of every part of the worker: settings, clocks, switches, and transactions whose failure is reported. Main thread.

use std::time::{Duration, Instant};

use super::clock::Clock;
use super::reporter::Reporter;
use crate::domain::retry::TRANSACTION_PAUSE;
use crate::pg::db::session::{self, Result, SqlError};
use crate::pg::host::bookings::Bookings;
use crate::pg::settings::Settings;
use crate::pg::store;
use crate::pg::{shm, sys};
use crate::version::{VERSION, mismatch, update_hint};

/// The context of every part of the worker.
pub(super) struct Ctx {
    /// The current settings.
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) reporter: Reporter,
    /// The source table as last read; `None` makes the sweep read it again.
    pub(super) table: Option<Bookings>,
    /// True if the SQL objects have this library's version; `None` until that was checked.
    version_ok: Option<bool>,
    /// A transaction failed: no cycle runs before this time.
    not_before: Option<Instant>,
    /// The shared-memory slot as last read.
    seen_slot: shm::Slot,
}

/// Changes in the shared-memory slot of this database.
pub(super) struct SlotUpdate {
    /// A commit queued work, or a function woke the worker.
    pub(super) woken: bool,
}

impl Ctx {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            clock: Clock::start(),
            reporter: Reporter::default(),
            table: None,
            version_ok: None,
            not_before: None,
            seen_slot: shm::slot(sys::my_database()),
        }
    }

    /// Monotonic time since the worker started.
    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Loads the settings after a SIGHUP; returns the previous ones.
    pub(super) fn reload(&mut self) -> Settings {
        sys::reload_configuration();
        session::configure();
        self.reporter.clear();
        self.version_ok = None;
        std::mem::replace(&mut self.settings, Settings::load())
    }

    /// Reads the slot in shared memory: requests of commits and functions since the last time.
    pub(super) fn read_slot(&mut self) -> SlotUpdate {
        let slot = shm::slot(sys::my_database());
        let update = SlotUpdate { woken: slot.wakes != self.seen_slot.wakes };
        if slot.changes != self.seen_slot.changes {
            exit_if_dropped();
            self.version_ok = None;
        }
        self.seen_slot = slot;
        update
    }

    /// True if there is a signal or a commit that the loop has not handled: a wait inside a transaction may have reset the latch.
    pub(super) fn has_unread_events(&self) -> bool {
        sys::has_request() || self.seen_slot != shm::slot(sys::my_database())
    }

    /// Runs `body` in a transaction of its own. A failure is reported and delays the next cycle; the result is `None`.
    pub(super) fn transaction<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T>) -> Option<T> {
        match session::transaction(c"guestly_sync: upkeep", || body(self)) {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// A transaction failed: reports it once a minute, and backs off for a second. Work resumes by itself once the tables work.
    pub(super) fn failed(&mut self, error: &SqlError) {
        exit_if_dropped();
        self.back_off(TRANSACTION_PAUSE);
        if !error.is_transient() && !self.has_other_version() {
            self.report(
                &format!("cannot work: {error}"),
                "Bookings wait and nothing is lost. See SELECT * FROM guestly_doctor().",
            );
        }
    }

    /// Logs a WARNING with a hint, each message at most once a minute.
    pub(super) fn report(&mut self, message: &str, hint: &str) {
        self.reporter.warn(message, hint);
    }

    /// Delays the next cycle by `pause`.
    pub(super) fn back_off(&mut self, pause: Duration) {
        self.not_before = Some(Instant::now() + pause);
    }

    /// True during the pause after a failure.
    pub(super) fn is_backing_off(&self) -> bool {
        self.not_before.is_some_and(|then| then > Instant::now())
    }

    /// The rest of that pause; `None` once a cycle has begun after it.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.not_before.map(|then| then.saturating_duration_since(Instant::now()))
    }

    /// Ends the pause after a failure once it is over. False: it is not.
    pub(super) fn end_pause(&mut self) -> bool {
        let is_over = !self.is_backing_off();
        if is_over {
            self.not_before = None;
        }
        is_over
    }

    /// True if the SQL objects have this library's version; `None` until that was checked.
    pub(super) fn version_ok(&self) -> Option<bool> {
        self.version_ok
    }

    /// True if library and SQL objects have the same version: the tables of another version have other columns.
    pub(super) fn is_usable(&self) -> bool {
        self.version_ok == Some(true)
    }

    /// Reads the switches; called for each claim, so that they take effect at once. Reports SQL objects of another version.
    pub(super) fn switches(&mut self) -> Result<store::switches::Switches> {
        let switches = store::switches::load()?;
        self.version_ok = Some(switches.version.as_deref() == Some(VERSION));
        if self.version_ok == Some(false) {
            let sql = switches.version.clone().unwrap_or_default();
            self.report(&format!("{}: nothing is sent", mismatch(&sql)), update_hint(&sql));
        }
        Ok(switches)
    }

    /// True if bookings may be sent: versions match, this server is armed, and sending is not paused.
    pub(super) fn may_send(&mut self) -> Result<bool> {
        let switches = self.switches()?;
        if !self.is_usable() {
            return Ok(false);
        }
        if !switches.armed {
            self.report(
                "sending is disabled on this server: the database looks like a copy",
                "Do nothing if the original is still running. To make this server the sender: SELECT guestly_arm();",
            );
        }
        Ok(switches.armed && !switches.paused)
    }

    /// The reason why this server may not call Guestly; `None` if it may.
    pub(super) fn why_not_sending(&mut self) -> Option<String> {
        let switches = self.transaction(Self::switches)?;
        let sql = switches.version.unwrap_or_default();
        match (self.version_ok, switches.armed) {
            (Some(true), true) => None,
            (Some(true), false) => Some("the database looks like a copy: nothing is sent from this server".to_owned()),
            _ => Some(format!("{}: nothing is sent. {}", mismatch(&sql), update_hint(&sql))),
        }
    }

    /// True if the SQL objects now have another version, which is reported.
    fn has_other_version(&mut self) -> bool {
        let read = session::transaction(c"guestly_sync: checking the version", || self.switches());
        read.is_ok() && self.version_ok == Some(false)
    }
}

/// Ends the process if the extension is not installed.
pub(super) fn exit_if_dropped() {
    let installed = session::transaction(c"guestly_sync: looking for the extension", || Ok(sys::is_installed()));
    if installed == Ok(false) {
        shm::leave(true);
        sys::exit(0);
    }
}
