//! The launcher: one static background worker that keeps one worker running in each database with the extension. It connects to
//! no database, runs no statement, and sleeps until something changes. Started by the postmaster; main thread only.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pgrx::bgworkers::{BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::{db::session, shm, sys};
use crate::domain::retry::{
    LAUNCHER_ADOPTED_CHECK_EVERY, LAUNCHER_RESTART_PAUSE, LAUNCHER_SCAN_EVERY, WORKER_FIRST_RESTART_PAUSE,
    WORKER_MAX_RESTART_PAUSE, WORKER_SHORT_LIFE,
};

/// Registers the launcher with the postmaster. Called by `_PG_init`.
pub fn register() {
    BackgroundWorkerBuilder::new("guestly_sync launcher")
        .set_function("guestly_launcher_main")
        .set_library("guestly_sync")
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(Some(LAUNCHER_RESTART_PAUSE))
        .enable_spi_access()
        .load();
}

/// The launcher's state for one database.
#[derive(Default)]
struct Entry {
    worker: Option<sys::Started>,
    started: Option<Instant>,
    crashes: u32,
    not_before: Option<Instant>,
    changes: u32,
}

/// The launcher's main function.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn guestly_launcher_main(_arg: pg_sys::Datum) {
    sys::attach_signals();
    sys::connect(None);
    shm::publish_launcher();
    let mut entries: HashMap<u32, Entry> = HashMap::new();
    loop {
        pgrx::check_for_interrupts!();
        if sys::take_reload_request() {
            sys::reload_configuration();
        }
        let pause = session::transaction(c"guestly_sync: looking for databases", || Ok(scan(&mut entries)));
        sys::wait(None, Some(pause.unwrap_or(LAUNCHER_SCAN_EVERY)));
    }
}

/// Starts missing workers; returns the time until the next scan.
fn scan(entries: &mut HashMap<u32, Entry>) -> Duration {
    let databases = sys::databases();
    shm::free_dropped(&databases);
    entries.retain(|oid, _| databases.iter().any(|database| database.to_u32() == *oid));
    let now = Instant::now();
    let waits = databases.iter().filter_map(|oid| supervise(*oid, entries.entry(oid.to_u32()).or_default(), now));
    waits.min().unwrap_or(LAUNCHER_SCAN_EVERY).min(LAUNCHER_SCAN_EVERY)
}

/// Starts the worker of one database if it is missing. Returns the time until the next check; `None`: when something changes.
fn supervise(database: pg_sys::Oid, entry: &mut Entry, now: Instant) -> Option<Duration> {
    let slot = shm::slot(database);
    if slot.changes != entry.changes {
        *entry = Entry { changes: slot.changes, worker: entry.worker.take(), ..Entry::default() };
    }
    // It may still wait for access, e.g. while its database is copied. Its end wakes the launcher.
    if entry.worker.as_ref().is_some_and(sys::Started::has_not_ended) {
        return None;
    }
    if sys::is_alive(slot.worker) {
        return Some(LAUNCHER_ADOPTED_CHECK_EVERY);
    }
    shm::record_worker_death(database, chrono::Utc::now().timestamp_micros());
    if slot.absent && entry.started.is_some() {
        return None;
    }
    let wait_for_exclusive = slot.aside_until - chrono::Utc::now().timestamp_micros();
    if wait_for_exclusive > 0 {
        return Some(Duration::from_micros(wait_for_exclusive.unsigned_abs()));
    }
    if let Some(wait) = entry.pause(&slot, now) {
        return Some(wait);
    }
    shm::expect_worker(database);
    entry.worker = sys::start_worker("guestly_worker_main", "guestly_sync worker", database);
    if entry.worker.is_some() {
        entry.started = Some(now);
        entry.not_before = None;
        return None;
    }
    entry.crashes = entry.crashes.saturating_add(1);
    entry.not_before = Some(now + entry.restart_pause());
    if entry.crashes == 1 {
        pgrx::warning!(
            "guestly_sync: no free background worker for database {}: raise max_worker_processes and restart the server",
            database.to_u32()
        );
    }
    Some(entry.restart_pause())
}

impl Entry {
    /// The pause before the next start; `None` if the worker may start now.
    fn pause(&mut self, slot: &shm::Slot, now: Instant) -> Option<Duration> {
        if let Some(wait) = self.not_before.map(|then| then.saturating_duration_since(now)) {
            return (!wait.is_zero()).then_some(wait);
        }
        let started = self.started?;
        let age = now.duration_since(started);
        self.crashes = if slot.left_cleanly || age > WORKER_SHORT_LIFE { 0 } else { self.crashes.saturating_add(1) };
        let wait = self.restart_pause();
        self.not_before = Some(now + wait);
        Some(wait)
    }

    fn restart_pause(&self) -> Duration {
        (WORKER_FIRST_RESTART_PAUSE * 2u32.saturating_pow(self.crashes.min(10))).min(WORKER_MAX_RESTART_PAUSE)
    }
}
