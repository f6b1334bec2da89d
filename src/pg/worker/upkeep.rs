//! What the worker does beside its work: reload, clock, sweep, pruning, faults, and the end. Part of the worker, main
//! thread.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use pgrx::prelude::*;

use super::{REPORT_EVERY, Worker, leave_if_absent};
use crate::domain::retry::{later, look_up_at};
use crate::pg::bookings::Bookings;
use crate::pg::record::{Change, record_all};
use crate::pg::session::{self, Result, SqlError};
use crate::pg::settings::Settings;
use crate::pg::{queue, report, sys, wake};

/// Clocks are slewed by less; more is a jump.
const CLOCK_JUMP: f64 = 5.0;

/// How long a stop waits for calls that are being cut.
const STOP_WAIT: Duration = Duration::from_millis(300);

impl Worker {
    /// Claims of a worker that is gone are unknown from now on; true once that is written.
    pub(super) fn rescue(&mut self) -> bool {
        if !self.rescued {
            self.rescued = self
                .in_transaction(|worker| {
                    worker.rescue_orphans()?;
                    worker.recall_outage()?;
                    let now = Utc::now();
                    queue::follow_timeline(now, look_up_at(now, 0, worker.settings.policy.settle))
                })
                .is_some();
        }
        self.rescued
    }

    /// The claims that are not our own: of a worker that is gone, or restored from a dump.
    pub(super) fn rescue_orphans(&self) -> Result<()> {
        let now = Utc::now();
        let settle = self.settings.policy.settle;
        let given_back = self.unrecorded.iter().map(|change| &change.booking_id);
        let ours = self.calling.iter().chain(given_back).cloned().collect();
        queue::rescue(now, look_up_at(now, 0, settle), later(now, settle), ours)
    }

    /// Changes are taken into the queue, in a subtransaction: what is new does not wait for them.
    pub(super) fn absorb(&mut self) {
        match session::subtransaction(|| queue::absorb(self.settings.test_mode)) {
            Err(error) if !error.is_transient() => self.report(
                &format!("cannot take changes into the queue: {error}"),
                "Changes and cancellations wait, new bookings are sent. See SELECT * FROM guestly_doctor().",
            ),
            _ => {}
        }
    }

    /// After a SIGHUP.
    pub(super) fn reload(&mut self) {
        sys::reload_configuration();
        session::configure();
        let before = std::mem::replace(&mut self.settings, Settings::load());
        let (old, new) = (&before, &self.settings);
        if (&old.base_url, &old.token_url, old.connect_timeout, old.request_timeout)
            != (&new.base_url, &new.token_url, new.connect_timeout, new.request_timeout)
        {
            self.client = None;
        }
        if (&before.token_url, &before.base_url) != (&self.settings.token_url, &self.settings.base_url) {
            // Another issuer or API: what is kept of the credentials was said by the former one, and its token is not shown to
            // the new one, even if the credentials cannot be read now.
            self.credentials = None;
            self.lane.credentials_changed();
        }
        let now = self.now();
        self.lane.quota.set_limits(self.settings.limits, now);
        if let Some(pool) = &mut self.pool {
            pool.resize(self.settings.concurrency as usize);
        }
        self.recall();
        self.more = true;
        self.reported = None;
        self.look_at_mail_settings();
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
        self.recall();
        if let Some(client) = &self.client {
            client.shutdown();
        }
        if let Some(pool) = self.pool.take() {
            for done in pool.shutdown(STOP_WAIT) {
                self.judge(done);
            }
        }
        self.take_delivered();
        let changes = std::mem::take(&mut self.unrecorded);
        if !changes.is_empty() {
            let written = session::transaction(c"guestly_sync: stopping", || {
                let bookings = Bookings::load()?;
                let postponed = record_all(bookings.as_ref(), changes);
                // Somebody holds the booking. What Guestly holds is written without it; the rest is looked up.
                queue::keep(&postponed.iter().filter_map(Change::reservation).collect::<Vec<_>>())?;
                Ok(postponed.len())
            });
            match written {
                Ok(0) => {}
                Ok(postponed) => {
                    warning!("guestly_sync: {postponed} bookings were busy at the end, they will be looked up")
                }
                Err(error) => {
                    warning!("guestly_sync: outcomes could not be written at the end, they will be looked up: {error}")
                }
            }
        }
        wake::leave(false);
        sys::exit(1)
    }
}
