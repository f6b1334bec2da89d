//! What the worker does beside its work: reload, clock, sweep, pruning, faults, and the end. Part of the worker, main
//! thread.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use pgrx::prelude::*;

use super::{REPORT_EVERY, STOP_WAIT, SWEEP_BATCH, Worker, leave_if_absent};
use crate::domain::retry::look_up_at;
use crate::pg::bookings::Bookings;
use crate::pg::record::record_all;
use crate::pg::session::{self, Result, SqlError};
use crate::pg::settings::{Settings, paid_statuses};
use crate::pg::{queue, report, sys, wake};

/// Clocks are slewed by less; more is a jump.
const CLOCK_JUMP: f64 = 5.0;
/// Between two looks for attempts to prune.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// A sweep over very many old bookings takes at most this share of the time: one part in so many.
const SWEEP_SHARE: u32 = 50;

impl Worker {
    /// Claims of a worker that is gone are unknown from now on; true once that is written.
    pub(super) fn rescue(&mut self) -> bool {
        if !self.rescued {
            let now = Utc::now();
            let look = look_up_at(now, 0, self.settings.policy.settle);
            self.rescued = self
                .in_transaction(|_| {
                    queue::rescue(now, look)?;
                    queue::follow_timeline()
                })
                .is_some();
        }
        self.rescued
    }

    /// After a SIGHUP.
    pub(super) fn reload(&mut self) {
        sys::reload_configuration();
        let before = std::mem::replace(&mut self.settings, Settings::load());
        let (old, new) = (&before, &self.settings);
        if (&old.base_url, &old.token_url, old.connect_timeout, old.request_timeout)
            != (&new.base_url, &new.token_url, new.connect_timeout, new.request_timeout)
        {
            self.client = None;
        }
        let now = self.now();
        self.lane.quota.set_limits(self.settings.limits, now);
        if let Some(pool) = &mut self.pool {
            pool.resize(self.settings.concurrency as usize);
        }
        self.more = true;
        self.reported = None;
        self.in_transaction(|worker| {
            worker.look_for_credentials();
            Ok(())
        });
    }

    /// Moves everything that waits along when the clock jumps: nothing becomes due early, nothing stalls.
    pub(super) fn follow_the_clock(&mut self) {
        let (then, wall) = self.clock;
        let expected = wall + TimeDelta::from_std(then.elapsed()).unwrap_or_default();
        let now = Utc::now();
        let jump = (now - expected).num_milliseconds() as f64 / 1000.0;
        if jump.abs() < CLOCK_JUMP {
            return;
        }
        warning!("guestly_sync: the clock jumped by {jump:.0} s; what waits is moved along");
        self.clock = (Instant::now(), now);
        self.lane.clock_jumped(now - expected);
        self.next_due = None;
        self.more = true;
        self.in_transaction(|_| queue::shift(jump));
    }

    /// Once in a poll interval: bookings that no trigger queued, a queue row whose wake-up was missed, old attempts.
    pub(super) fn probe(&mut self) {
        let now = Instant::now();
        if now < self.next_probe {
            return;
        }
        let sweep = self.settings.enabled;
        let found = self.in_transaction(|_| if sweep { sweep_once() } else { Ok(0) });
        let took = now.elapsed() * SWEEP_SHARE;
        self.next_probe = now + self.settings.poll_interval.max(took);
        self.more |= found.is_some_and(|found| found > 0);
        self.peek();
        if now >= self.next_prune {
            self.next_prune = now + PRUNE_EVERY;
            let retention = TimeDelta::from_std(self.settings.log_retention).unwrap_or(TimeDelta::MAX);
            if let Some(until) = Utc::now().checked_sub_signed(retention) {
                let full = self.in_transaction(|_| queue::prune(until));
                if full == Some(true) {
                    self.next_prune = now + Duration::from_secs(1);
                }
            }
        }
    }

    fn peek(&mut self) {
        if let Some((ready, due)) = self.in_transaction(|_| queue::peek()) {
            self.more |= ready;
            self.next_due = due;
        }
    }

    /// A transaction of its own whose failure is reported and goes no further.
    pub(super) fn in_transaction<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T>) -> Option<T> {
        match session::transaction(c"guestly_sync: upkeep", || body(self)) {
            Ok(value) => Some(value),
            Err(error) => {
                self.trouble(&error);
                None
            }
        }
    }

    /// Our own tables are broken or gone: say so once a minute, back off, and go on when they are mended.
    pub(super) fn trouble(&mut self, error: &SqlError) {
        leave_if_absent();
        self.not_before = Some(Instant::now() + Duration::from_secs(1));
        if !error.is_transient() {
            self.report(
                &format!("cannot work: {error}"),
                "Bookings wait and nothing is lost. See SELECT * FROM guestly_doctor().",
            );
        }
    }

    /// A WARNING in the server's log, at most once a minute.
    pub(super) fn report(&mut self, message: &str, hint: &str) {
        if self.reported.is_some_and(|then| then.elapsed() < REPORT_EVERY) {
            return;
        }
        self.reported = Some(Instant::now());
        report::warn(PgSqlErrorCode::ERRCODE_WARNING, format!("guestly_sync: {message}"), hint);
    }

    /// SIGTERM: cut the calls, write what is known, leave so that the launcher starts a successor.
    pub(super) fn stop(mut self) -> ! {
        if let Some(client) = &self.client {
            client.shutdown();
        }
        if let Some(pool) = self.pool.take() {
            for done in pool.shutdown(STOP_WAIT) {
                self.judge(done);
            }
        }
        let changes = std::mem::take(&mut self.unrecorded);
        if !changes.is_empty() {
            let written = session::transaction(c"guestly_sync: stopping", || {
                let bookings = Bookings::load()?;
                Ok(record_all(bookings.as_ref(), changes))
            });
            if let Err(error) = written {
                warning!("guestly_sync: outcomes could not be written at the end, they will be looked up: {error}");
            }
        }
        wake::leave(false);
        sys::exit(1)
    }
}

fn sweep_once() -> Result<usize> {
    let Some(bookings) = Bookings::load()? else { return Ok(0) };
    let found = bookings.open(&paid_statuses(), SWEEP_BATCH)?;
    if !found.is_empty() {
        queue::sweep(&found)?;
    }
    Ok(found.len())
}
