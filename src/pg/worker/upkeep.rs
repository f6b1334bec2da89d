//! What the worker does beside its work: reload, clock, sweep, pruning, faults, and the end. Part of the worker, main
//! thread.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use pgrx::prelude::*;

use super::{Worker, leave_if_absent};
use crate::domain::alert::AlertKind;
use crate::domain::error::ErrorClass;
use crate::domain::retry::{FIRST_SWEEP_AFTER, REPORT_EVERY, TRANSACTION_PAUSE};
use crate::domain::retry::{later, look_up_at};
use crate::pg::alerts::{self, Raised};
use crate::pg::bookings::Bookings;
use crate::pg::record::{Change, at_exit, record_all};
use crate::pg::session::{self, Result, SqlError};
use crate::pg::settings::Settings;
use crate::pg::{claim, memory, queue, report, sys, wake};

/// Clocks are slewed by less; more is a jump.
const CLOCK_JUMP: f64 = 5.0;

/// How long a stop waits for calls that are being cut.
const STOP_WAIT: Duration = Duration::from_millis(300);

impl Worker {
    /// Claims of a worker that is gone are unknown from now on; true once that is written.
    pub(super) fn rescue(&mut self) -> bool {
        if !self.rescued && self.fits == Some(true) {
            let orphans = self.in_transaction(|worker| {
                let now = Utc::now();
                let orphans = queue::orphans()?;
                queue::cap(now, later(now, worker.settings.policy.longest_pause()))?;
                worker.rescue_orphans()?;
                worker.recall_outage()?;
                queue::follow_timeline(now, look_up_at(now, 0, worker.settings.policy.propagation_delay))?;
                Ok(orphans)
            });
            if let Some(orphans) = orphans {
                self.put_off_what_hung();
                // Guestly may have counted each of them; the level that was kept is that of the last outcome before.
                let now = self.now();
                self.send_gate.limiter.take(orphans, now);
                self.rescued = true;
            }
        }
        self.rescued
    }

    /// The former worker was ended in code of the host that did not end.
    fn put_off_what_hung(&mut self) {
        let Some(hang) = self.hang.take() else { return };
        let what = match &hang.booking_id {
            Some(id) => format!("booking {id}"),
            None if hang.table => "the sweep".to_owned(),
            None => "several bookings".to_owned(),
        };
        if let Some(id) = &hang.booking_id
            && self.in_transaction(|_| put_off(id, hang.seconds)).is_none()
        {
            self.hang = Some(hang);
            return;
        }
        if hang.table {
            wake::note_sweep(Utc::now().timestamp_micros());
        }
        self.report(
            &format!("the worker was restarted: code on the bookings table ran for {} s ({what})", hang.seconds),
            "Other bookings go first. Check the triggers of the table and guestly.field_map.",
        );
    }

    /// The claims that are not our own: of a worker that is gone, or restored from a dump.
    pub(super) fn rescue_orphans(&self) -> Result<()> {
        let now = Utc::now();
        let settle = self.settings.policy.propagation_delay;
        let given_back = self.unrecorded.iter().map(|change| &change.booking_id);
        let ours = self.calling.iter().chain(given_back).cloned().collect();
        queue::rescue(now, look_up_at(now, 0, settle), later(now, settle), ours)
    }

    /// Changes are taken into the queue, in a subtransaction: what is new does not wait for them.
    pub(super) fn absorb(&mut self, bookings: &Bookings) {
        match session::subtransaction(|| claim::absorb(bookings, self.settings.test_mode)) {
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
            self.send_gate.tokens.reset();
        }
        self.doctor.forget();
        self.patience.set(self.settings.policy.backoff);
        // With the intervals, the words for paid and the retention that are in force now.
        self.next_probe = self.next_probe.min(Instant::now() + self.settings.poll_interval.min(FIRST_SWEEP_AFTER));
        self.next_prune = Instant::now();
        let now = self.now();
        self.send_gate.limiter.set_limits(self.settings.limits, now);
        if let Some(pool) = &mut self.pool {
            pool.resize(self.settings.concurrency as usize);
        }
        self.watch_late_answers();
        self.recall();
        self.reported.clear();
        self.fits = None;
        self.look_at_version();
    }

    /// What is done whatever waits.
    pub(super) fn look_around(&mut self) {
        if self.fits == Some(true) {
            self.follow_the_clock();
            self.probe();
        }
    }

    /// Moves everything that waits along when the clock jumps: nothing becomes due early, nothing stalls.
    fn follow_the_clock(&mut self) {
        let (then, wall) = self.clock;
        let expected = wall + TimeDelta::from_std(then.elapsed()).unwrap_or_default();
        let now = Utc::now();
        let jump = (now - expected).num_milliseconds() as f64 / 1000.0;
        if jump.abs() < CLOCK_JUMP || self.not_before.is_some_and(|then| then > Instant::now()) {
            return;
        }
        // RemoteReservation to be over only once it is written: else it is found again in the next turn, and nothing goes on before.
        if self.in_transaction(|_| queue::shift(jump)).is_none() {
            return;
        }
        warning!("guestly_sync: the clock jumped by {jump:.0} s; what waits is moved along");
        self.clock = (Instant::now(), now);
        self.send_gate.shift_clock(now - expected);
        // Their rows are `sending`, which shift.sql leaves alone.
        self.prefetched
            .iter_mut()
            .filter_map(|job| job.due.uncertain_since.as_mut())
            .for_each(|since| *since += now - expected);
        self.next_due = None;
        self.more = true;
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

    /// Our own tables are broken or gone: say so once a minute, back off, and resume when they are repaired.
    pub(super) fn trouble(&mut self, error: &SqlError) {
        leave_if_absent();
        self.not_before = Some(Instant::now() + TRANSACTION_PAUSE);
        if !error.is_transient() && !self.has_become_unlike() {
            self.report(
                &format!("cannot work: {error}"),
                "Bookings wait and nothing is lost. See SELECT * FROM guestly_doctor().",
            );
        }
    }

    /// A WARNING in the server's log, each at most once a minute.
    pub(super) fn report(&mut self, message: &str, hint: &str) {
        self.reported.retain(|_, then| then.elapsed() < REPORT_EVERY);
        if self.reported.contains_key(message) {
            return;
        }
        self.reported.insert(message.to_owned(), Instant::now());
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
        self.desk.close();
        self.take_delivered();
        self.keep_token();
        let changes = std::mem::take(&mut self.unrecorded);
        if !changes.is_empty() {
            at_exit::hold(&changes);
            let written = session::transaction(c"guestly_sync: stopping", || {
                let bookings = Bookings::load()?;
                let patience = &mut self.patience;
                let together = session::subtransaction(|| record_all(bookings.as_ref(), changes.clone(), patience));
                let postponed = match together {
                    Err(error) if error.is_cancel() => changes,
                    together => together?,
                };
                // Another session holds the booking, or its triggers do not end. What Guestly holds is written without it; the rest is looked up.
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
        at_exit::hold([]);
        self.remember_at_the_end();
        wake::leave(false);
        sys::exit(1)
    }

    /// What the last calls used of the quota: a successor must not start from before them. Not where what the predecessor left
    /// was never read, or nothing could be called: it would be lost.
    fn remember_at_the_end(&mut self) {
        let (now, wall, mark) = (self.now(), Utc::now(), self.mark());
        if !self.recalled || mark.is_none() {
            return;
        }
        let kept = session::transaction(c"guestly_sync: stopping", || {
            memory::remember(&mut self.send_gate, &self.news, mark.as_deref(), now, wall)
        });
        if let Err(error) = kept {
            warning!("guestly_sync: the use of the quota could not be written at the end: {error}");
        }
    }
}

/// The booking waits for a while, or, after several hangs, for a person, who gets an alert.
fn put_off(booking_id: &str, seconds: u32) -> Result<()> {
    let Some(sentence) = queue::put_off(booking_id, Utc::now(), seconds)? else { return Ok(()) };
    let kind = AlertKind::of_failure(ErrorClass::Internal);
    alerts::raise(&[Raised {
        booking_id: Some(booking_id.to_owned()),
        class: Some(ErrorClass::Internal),
        ..Raised::new(kind, sentence)
    }])
}
