//! The probe, once in a poll interval: bookings that no trigger queued, a queue row whose wake-up was missed, bookings that
//! wait for too long, old attempts. One statement where nothing is found. Part of the worker, main thread.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use pgrx::PgSqlErrorCode;

use super::Worker;
use crate::domain::retry::{PRUNE_EVERY, PRUNE_NEXT_BATCH_AFTER};
use crate::pg::bookings::{Bookings, Probed};
use crate::pg::session::{self, Result, SqlError};
use crate::pg::settings::paid_statuses;
use crate::pg::{alerts, host_code, queue, sys, wake};
use crate::sys::thread_time;

/// Bookings that one sweep queues.
const SWEEP_BATCH: i64 = 1_000;
/// A sweep over very many old bookings takes at most this share of a processor: one part in so many.
const SWEEP_SHARE: u32 = 50;

impl Worker {
    /// Looks, if it is time.
    pub(super) fn probe(&mut self) {
        let now = Instant::now();
        if now < self.next_probe {
            return;
        }
        let before = thread_time();
        let found = self.in_transaction(Self::look);
        // Processor time: a look that waits for a lock, in vain or not, costs the server nothing.
        let cost = thread_time().saturating_sub(before);
        self.next_probe = now + self.settings.poll_interval.max(cost * SWEEP_SHARE);
        if let Some((found, _)) = &found {
            self.more |= found.ready || found.sending || !found.open.is_empty();
            self.next_due = found.next_due;
        }
        match &found {
            Some((_, Some(error))) if error.is_cancel() => self.report_slow_sweep(),
            Some((_, Some(error))) => self.trouble(error),
            _ => {}
        }
        if !matches!(found, Some((_, None))) {
            // The table may have been renamed or attached anew, and its stock is not written.
            self.bookings = None;
            self.stock.clear();
        }
        self.prune(now);
        self.check_level(now);
        // Where nothing is sent, no turn would tell the server of the scans and of what was pruned.
        sys::report_statistics(true);
    }

    /// What was found, and why the table of bookings could not be looked at.
    fn look(&mut self) -> Result<(Probed, Option<SqlError>)> {
        let (found, error) = match self.probe_bookings() {
            Ok(found) => (found, None),
            Err(error) => (None, Some(error)),
        };
        // Without the table, what waits in the queue is no less late.
        let found = found.map_or_else(queue::peek, Ok)?;
        if found.sending {
            self.rescue_orphans()?;
        }
        if !found.open.is_empty() {
            queue::sweep(&found.open, self.former_calls_since())?;
        }
        let stale =
            |oldest: DateTime<Utc>| (Utc::now() - oldest).to_std().is_ok_and(|age| age > self.settings.stale_after);
        if found.oldest.is_some_and(stale) {
            alerts::raise(&alerts::stale(self.settings.stale_after)?)?;
        }
        Ok((found, error))
    }

    /// Our own calls are known, whatever became of their rows. One of a worker before us, whose row somebody deleted, may be
    /// taking effect until settle has passed since it ended.
    fn former_calls_since(&self) -> Option<DateTime<Utc>> {
        let age = self.now();
        let began = TimeDelta::from_std(age).ok().and_then(|age| Utc::now().checked_sub_signed(age));
        began.filter(|_| age < self.settings.policy.propagation_delay)
    }

    fn sweep_bookings(&mut self, words: &[String], calling: &[String]) -> Result<Option<Probed>> {
        let Some(bookings) = &self.bookings else { return Ok(None) };
        if self.stock != words {
            take_stock(bookings, words)?;
            self.stock = words.to_vec();
        }
        let swept = if self.settings.enabled { words } else { &[] };
        bookings.probe(swept, SWEEP_BATCH, calling.to_vec()).map(Some)
    }

    /// None where no table is attached, or the last such statement took too long a moment ago.
    fn probe_bookings(&mut self) -> Result<Option<Probed>> {
        if !host_code::may_read_table() {
            return Ok(None);
        }
        let words = paid_statuses();
        let calling: Vec<String> = self.calling.iter().cloned().collect();
        let swept = session::subtransaction(|| {
            if self.bookings.is_none() {
                self.bookings = Bookings::load()?;
            }
            match self.sweep_bookings(&words, &calling) {
                // The table may have got another owner, who may not read ours yet.
                Err(error) if error.code == PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE => {
                    Bookings::let_owner_read()?;
                    self.bookings = Bookings::load()?;
                    self.sweep_bookings(&words, &calling)
                }
                found => found,
            }
        });
        if swept.is_ok() {
            wake::note_sweep(0);
        }
        swept
    }

    /// The sweep was cancelled; the sales go on. `pg::host_code` gives it a rest of some minutes.
    fn report_slow_sweep(&mut self) {
        wake::note_sweep(Utc::now().timestamp_micros());
        self.report(
            "the sweep did not end within 20 s: paid bookings that no trigger queued are not found",
            "It needs its index: see the row \"sweep\" of SELECT * FROM guestly_doctor().",
        );
    }

    fn prune(&mut self, now: Instant) {
        if now < self.next_prune {
            return;
        }
        self.next_prune = now + PRUNE_EVERY;
        let retention = TimeDelta::from_std(self.settings.log_retention).unwrap_or(TimeDelta::MAX);
        let Some(until) = Utc::now().checked_sub_signed(retention) else { return };
        if self.in_transaction(|_| Ok(queue::prune(until)? | alerts::prune(until)?)) == Some(true) {
            self.next_prune = now + PRUNE_NEXT_BATCH_AFTER;
            self.next_probe = self.next_probe.min(self.next_prune);
        }
    }
}

/// A new word for paid counts from now on: what reads so already was paid before.
fn take_stock(bookings: &Bookings, words: &[String]) -> Result<()> {
    let known = queue::paid_words()?;
    let new: Vec<String> = words.iter().filter(|word| !known.contains(word)).cloned().collect();
    if new.is_empty() { Ok(()) } else { queue::take_stock(&new, &bookings.unsent(&new)?) }
}
