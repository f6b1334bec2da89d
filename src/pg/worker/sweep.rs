//! The sweep, once every poll interval: finds bookings that no trigger queued, missed wake-ups and stale bookings, and
//! deletes old attempts. One statement if nothing is found. Part of the worker, main thread.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use pgrx::PgSqlErrorCode;

use super::claims::Claims;
use super::context::Ctx;
use super::outcomes::Outcomes;
use super::recovery::recover_orphans;
use super::schedule::Schedule;
use crate::domain::retry::{FIRST_SWEEP_AFTER, PRUNE_EVERY, PRUNE_NEXT_BATCH_AFTER};
use crate::pg::db::session::{self, Result, SqlError};
use crate::pg::host::bookings::{Bookings, Swept};
use crate::pg::settings::paid_statuses;
use crate::pg::{host_code, shm, store};
use crate::sys::thread_cpu_time;

/// Bookings that one sweep queues.
const BATCH: i64 = 1_000;
/// A sweep uses at most one part in this number of a processor, however large the table is.
const PROCESSOR_SHARE: u32 = 50;

/// The sweep.
pub(super) struct Sweep {
    next: Instant,
    next_prune: Instant,
    /// The paid statuses that the baseline covers.
    baseline: Vec<String>,
}

impl Sweep {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { next: now, next_prune: now, baseline: Vec::new() }
    }

    /// When the next sweep is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Makes the next sweep due within a second: settings were reloaded.
    pub(super) fn run_soon(&mut self, ctx: &Ctx) {
        self.next = self.next.min(Instant::now() + ctx.settings.poll_interval.min(FIRST_SWEEP_AFTER));
    }

    /// Makes the next sweep due in a second, whenever it was due before.
    pub(super) fn begin(&mut self, ctx: &Ctx) {
        self.next = Instant::now() + ctx.settings.poll_interval.min(FIRST_SWEEP_AFTER);
    }

    /// Makes the next sweep due in a poll interval.
    pub(super) fn postpone(&mut self, ctx: &Ctx) {
        self.next = Instant::now() + ctx.settings.poll_interval;
    }

    /// Makes the next deletion of old rows due now: the retention may have changed.
    pub(super) fn prune_now(&mut self) {
        self.next_prune = Instant::now();
    }

    /// Sweeps, if due; true if it did.
    pub(super) fn tick(
        &mut self,
        ctx: &mut Ctx,
        claims: &Claims,
        outcomes: &Outcomes,
        schedule: &mut Schedule,
    ) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        let before = thread_cpu_time();
        let found = ctx.transaction(|ctx| self.run(ctx, claims, outcomes));
        // Processor time: waiting for a lock costs the server nothing.
        let cost = thread_cpu_time().saturating_sub(before);
        self.next = now + ctx.settings.poll_interval.max(cost * PROCESSOR_SHARE);
        if let Some((found, _)) = &found {
            schedule.add_backlog(found.ready || found.orphaned || !found.unqueued.is_empty());
            schedule.next_due = found.next_due;
        }
        match &found {
            Some((_, Some(error))) if error.is_cancel() => report_slow(ctx),
            Some((_, Some(error))) => ctx.failed(error),
            _ => {}
        }
        if !matches!(found, Some((_, None))) {
            // The table may have been renamed or attached anew, and its baseline is not written.
            ctx.table = None;
            self.baseline.clear();
        }
        self.prune(ctx, now);
        true
    }

    /// Sweeps in the caller's transaction. Returns the findings, and the error if the source table could not be read.
    fn run(&mut self, ctx: &mut Ctx, claims: &Claims, outcomes: &Outcomes) -> Result<(Swept, Option<SqlError>)> {
        let (found, error) = match self.sweep_table(ctx, claims) {
            Ok(found) => (found, None),
            Err(error) => (None, Some(error)),
        };
        // Queued bookings can be stale even if the table cannot be read.
        let found = found.map_or_else(store::queue::read_state, Ok)?;
        if found.orphaned {
            recover_orphans(ctx, claims, outcomes)?;
        }
        if !found.unqueued.is_empty() {
            store::sweep::enqueue(&found.unqueued, uncertain_since(ctx))?;
        }
        let stale =
            |oldest: DateTime<Utc>| (Utc::now() - oldest).to_std().is_ok_and(|age| age > ctx.settings.stale_after);
        if found.oldest.is_some_and(stale) {
            store::alerts::raise(&store::alerts::stale_bookings(ctx.settings.stale_after)?)?;
        }
        Ok((found, error))
    }

    /// `None` if no table is attached, or during the pause after a statement that took too long.
    fn sweep_table(&mut self, ctx: &mut Ctx, claims: &Claims) -> Result<Option<Swept>> {
        if !host_code::may_read_table() {
            return Ok(None);
        }
        let swept = session::subtransaction(|| {
            if ctx.table.is_none() {
                ctx.table = Bookings::load()?;
            }
            match self.find_unqueued(ctx, claims) {
                // The table may have a new owner without SELECT on the extension's tables.
                Err(error) if error.code == PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE => {
                    Bookings::let_owner_read()?;
                    ctx.table = Bookings::load()?;
                    self.find_unqueued(ctx, claims)
                }
                found => found,
            }
        });
        if swept.is_ok() {
            shm::record_sweep_end(0);
        }
        swept
    }

    fn find_unqueued(&mut self, ctx: &Ctx, claims: &Claims) -> Result<Option<Swept>> {
        let Some(bookings) = &ctx.table else { return Ok(None) };
        let paid = paid_statuses();
        if self.baseline != paid {
            record_baseline(bookings, &paid)?;
            self.baseline.clone_from(&paid);
        }
        let swept: &[String] = if ctx.settings.enabled { &paid } else { &[] };
        bookings.sweep(swept, BATCH, claims.in_progress()).map(Some)
    }

    fn prune(&mut self, ctx: &mut Ctx, now: Instant) {
        if now < self.next_prune {
            return;
        }
        self.next_prune = now + PRUNE_EVERY;
        let retention = TimeDelta::from_std(ctx.settings.log_retention).unwrap_or(TimeDelta::MAX);
        let Some(until) = Utc::now().checked_sub_signed(retention) else { return };
        if ctx.transaction(|_| Ok(store::attempts::prune(until)? | store::alerts::prune(until)?)) == Some(true) {
            self.next_prune = now + PRUNE_NEXT_BATCH_AFTER;
            self.next = self.next.min(self.next_prune);
        }
    }
}

/// Since when a call of an earlier worker may be taking effect whose queue row was deleted: `None` once the propagation delay has
/// passed since this worker started. This worker's own calls are known.
fn uncertain_since(ctx: &Ctx) -> Option<DateTime<Utc>> {
    ctx.clock.started_at().filter(|_| ctx.now() < ctx.settings.policy.propagation_delay)
}

/// Reports a cancelled sweep. `pg::host_code` delays the next one by some minutes.
fn report_slow(ctx: &mut Ctx) {
    shm::record_sweep_end(Utc::now().timestamp_micros());
    ctx.report(
        "the sweep did not end within 20 s: paid bookings that no trigger queued are not found",
        "It needs its index: see the row \"sweep\" of SELECT * FROM guestly_doctor().",
    );
}

/// Adds new paid statuses to the baseline: bookings that already have one of them were paid before.
fn record_baseline(bookings: &Bookings, paid: &[String]) -> Result<()> {
    let known = store::sweep::paid_statuses_seen()?;
    let new: Vec<String> = paid.iter().filter(|status| !known.contains(status)).cloned().collect();
    if new.is_empty() { Ok(()) } else { store::sweep::record_baseline(&new, &bookings.unsent(&new)?) }
}
