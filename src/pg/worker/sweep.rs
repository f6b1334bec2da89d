//! The sweep, once in a poll interval: bookings that no trigger queued, queue rows whose wake-up was missed, bookings that wait
//! for too long, old attempts. One statement where nothing is found. Part of the worker, main thread.

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
/// A sweep over very many old bookings takes at most this share of a processor: one part in so many.
const PROCESSOR_SHARE: u32 = 50;

/// See the module.
pub(super) struct Sweep {
    next: Instant,
    next_prune: Instant,
    /// The paid statuses whose bookings of before are recorded as old.
    baseline: Vec<String>,
}

impl Sweep {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { next: now, next_prune: now, baseline: Vec::new() }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Sweeps within a second: settings were reloaded, or the worker has just begun.
    pub(super) fn run_soon(&mut self, ctx: &Ctx) {
        self.next = self.next.min(Instant::now() + ctx.settings.poll_interval.min(FIRST_SWEEP_AFTER));
    }

    /// Like [`Sweep::run_soon`], whenever it was due before.
    pub(super) fn begin(&mut self, ctx: &Ctx) {
        self.next = Instant::now() + ctx.settings.poll_interval.min(FIRST_SWEEP_AFTER);
    }

    /// Sweeps after one more poll interval.
    pub(super) fn postpone(&mut self, ctx: &Ctx) {
        self.next = Instant::now() + ctx.settings.poll_interval;
    }

    /// Prunes with the retention that is in force now.
    pub(super) fn prune_now(&mut self) {
        self.next_prune = Instant::now();
    }

    /// Sweeps, if it is time; true if it did.
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
        // Processor time: a sweep that waits for a lock, in vain or not, costs the server nothing.
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

    /// What was found, and why the table of bookings could not be read.
    fn run(&mut self, ctx: &mut Ctx, claims: &Claims, outcomes: &Outcomes) -> Result<(Swept, Option<SqlError>)> {
        let (found, error) = match self.sweep_table(ctx, claims) {
            Ok(found) => (found, None),
            Err(error) => (None, Some(error)),
        };
        // Without the table, what waits in the queue is no less late.
        let found = found.map_or_else(store::queue::peek, Ok)?;
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

    /// None where no table is attached, or the last such statement took too long a moment ago.
    fn sweep_table(&mut self, ctx: &mut Ctx, claims: &Claims) -> Result<Option<Swept>> {
        if !host_code::may_read_table() {
            return Ok(None);
        }
        let swept = session::subtransaction(|| {
            if ctx.table.is_none() {
                ctx.table = Bookings::load()?;
            }
            match self.find_unqueued(ctx, claims) {
                // The table may have got another owner, who may not read the extension's tables yet.
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

/// This worker's own calls are known, whatever became of their rows. A call of an earlier worker whose row was deleted may be
/// taking effect until the propagation delay has passed since that worker ended.
fn uncertain_since(ctx: &Ctx) -> Option<DateTime<Utc>> {
    ctx.clock.started_at().filter(|_| ctx.now() < ctx.settings.policy.propagation_delay)
}

/// The sweep was cancelled; the sales go on. `pg::host_code` delays the next one by some minutes.
fn report_slow(ctx: &mut Ctx) {
    shm::record_sweep_end(Utc::now().timestamp_micros());
    ctx.report(
        "the sweep did not end within 20 s: paid bookings that no trigger queued are not found",
        "It needs its index: see the row \"sweep\" of SELECT * FROM guestly_doctor().",
    );
}

/// A new paid status counts from now on: bookings that have it already were paid before.
fn record_baseline(bookings: &Bookings, paid: &[String]) -> Result<()> {
    let known = store::sweep::paid_statuses_seen()?;
    let new: Vec<String> = paid.iter().filter(|status| !known.contains(status)).cloned().collect();
    if new.is_empty() { Ok(()) } else { store::sweep::record_baseline(&new, &bookings.unsent(&new)?) }
}
