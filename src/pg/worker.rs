//! The worker of one database: its main function and its loop, which calls one part after the other. Decisions are in
//! `domain`, statements in `pg::store`, `pg::claim` and `pg::record_outcomes`. Started by the launcher. Main thread:
//! Postgres, latch, decisions; sender threads (`net::pool`): HTTP and nothing else. No transaction is open during a wait.

mod api;
mod claiming;
mod claims;
mod clock;
mod completion;
mod context;
mod cycle;
mod doctor;
mod health;
mod late_answers;
mod mailer;
mod outcomes;
mod reconcile;
mod recovery;
mod reporter;
mod schedule;
mod sending;
mod shutdown;
mod sweep;
mod token;
mod waker;

use std::time::{Duration, Instant};

use chrono::Utc;
use pgrx::prelude::*;
use pgrx::{pg_sys, warning};

use self::api::Api;
use self::claims::Claims;
use self::completion::complete_after;
use self::context::{Ctx, exit_if_dropped};
use self::doctor::Doctor;
use self::health::Health;
use self::mailer::Mailer;
use self::outcomes::Outcomes;
use self::reconcile::Reconcile;
use self::recovery::Recovery;
use self::schedule::Schedule;
use self::sending::release_unsent;
use self::sweep::Sweep;
use self::waker::Waker;
use super::record_outcomes::at_exit;
use super::settings::Settings;
use super::{host_code, shm, store, sys};
use crate::net::tls_roots;

/// The parts. Each gets [`Ctx`] and the parts that it needs as arguments, and returns whether there may be more to claim.
struct Worker {
    ctx: Ctx,
    api: Api,
    claims: Claims,
    outcomes: Outcomes,
    schedule: Schedule,
    recovery: Recovery,
    sweep: Sweep,
    reconcile: Reconcile,
    doctor: Doctor,
    health: Health,
    mailer: Mailer,
    waker: Waker,
}

/// The worker's main function; the argument is the database's oid.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn guestly_worker_main(arg: pg_sys::Datum) {
    sys::attach_signals();
    sys::connect(Some(sys::worker_argument(arg)));
    // A reload may have come before the handler was there.
    sys::reload_configuration();
    if !shm::claim_worker(Utc::now().timestamp_micros()) {
        sys::exit(0);
    }
    exit_if_dropped();
    match Worker::start() {
        Ok(worker) => worker.run(),
        Err(error) => warning!("guestly_sync: the worker cannot start: {error}"),
    }
    sys::exit(1);
}

impl Worker {
    /// Creates the parts. Errors: no threads or file descriptors left.
    fn start() -> Result<Self, String> {
        let settings = Settings::load();
        let waker = Waker::new().map_err(|error| format!("no wake-up pipe: {error}"))?;
        let handle = waker.handle().map_err(|error| format!("no wake-up pipe: {error}"))?;
        let api = Api::start(&settings, handle)?;
        // Last, because it is taken only once.
        let hang = shm::take_hang();
        if let Some(hang) = &hang {
            host_code::be_cautious_after_hang(hang.table);
        }
        Ok(Self {
            api,
            claims: Claims::new(),
            outcomes: Outcomes::new(settings.policy.backoff),
            schedule: Schedule { backlog: true, ..Schedule::default() },
            recovery: Recovery::new(hang),
            sweep: Sweep::new(),
            reconcile: Reconcile::new(),
            doctor: Doctor::new(shm::slot(sys::my_database()).asked),
            health: Health::default(),
            mailer: Mailer::new(),
            waker,
            ctx: Ctx::new(settings),
        })
    }

    fn run(mut self) -> ! {
        at_exit::register();
        self.reload();
        while !sys::take_stop_request() {
            self.take_signals();
            self.check_version();
            self.complete_calls();
            self.follow_system_clock();
            self.sweep_and_reconcile();
            if self.ctx.end_pause() {
                self.keep_token_and_answer_doctor();
                self.recovery.tick(&mut self.ctx, &mut self.api, &self.claims, &self.outcomes, &mut self.health);
                self.record_claim_and_send();
            }
            if self.recovery.is_done() {
                self.health.tick(&mut self.ctx, &self.api, &self.outcomes);
            }
            self.mailer.tick(&mut self.ctx, self.api.pool.as_ref());
            self.wait();
        }
        let Self { ctx, api, claims, outcomes, doctor, mailer, .. } = self;
        shutdown::run(ctx, api, claims, outcomes, doctor, mailer)
    }

    /// Handles signals, and requests of commits and functions in shared memory.
    fn take_signals(&mut self) {
        sys::ignore_cancel();
        pgrx::check_for_interrupts!();
        if sys::take_reload_request() {
            self.reload();
        }
        if self.ctx.read_slot().woken {
            self.schedule.add_backlog(true);
            self.api.gate.breaker.work_arrived();
        }
    }

    /// Applies the settings, after a SIGHUP and once at the start.
    fn reload(&mut self) {
        let before = self.ctx.reload();
        self.api.reload(&self.ctx, &before);
        self.doctor.forget();
        self.outcomes.retries.set_backoff(self.ctx.settings.policy.backoff);
        self.sweep.run_soon(&self.ctx);
        self.sweep.prune_now();
        late_answers::save_at_exit(&self.api, self.ctx.settings.policy);
        let released = release_unsent(&mut self.api, &mut self.claims, &mut self.outcomes);
        self.schedule.add_backlog(released);
        self.check_version();
    }

    /// Nothing is sent before library and SQL objects have the same version; until then only outcomes of calls are written.
    fn check_version(&mut self) {
        if self.ctx.is_usable() {
            return;
        }
        if self.ctx.version_ok().is_none() || Instant::now() >= self.sweep.next() {
            if self.ctx.transaction(Ctx::switches).is_some() && self.ctx.is_usable() {
                return self.begin();
            }
            self.sweep.postpone(&self.ctx);
        }
        self.schedule.clear();
    }

    /// Starts work with SQL objects of this version, for the first time or again.
    fn begin(&mut self) {
        self.sweep.begin(&self.ctx);
        self.schedule.add_backlog(true);
        self.mailer.check_settings(&mut self.ctx);
        let roots = tls_roots::describe();
        self.ctx.transaction(|_| store::worker_state::save_tls_roots(roots));
        self.ctx.transaction(|ctx| {
            self.api.look_for_credentials(ctx);
            Ok(())
        });
    }

    fn complete_calls(&mut self) {
        // Waiting for more replies costs less than another commit, unless prefetched calls wait for free places.
        let linger = if self.claims.prefetched.is_empty() { self.schedule.linger } else { Duration::ZERO };
        self.schedule.add_backlog(complete_after(linger, &mut self.ctx, &mut self.api, &mut self.outcomes));
        self.outcomes.save_at_exit(&[]);
        self.doctor.record_replies(&mut self.ctx, &mut self.api, &mut self.outcomes);
    }

    /// After a change of the system clock, shifts all due times by the same amount: nothing becomes due early or late.
    fn follow_system_clock(&mut self) {
        let Some(jump) = self.ctx.clock.jump() else { return };
        if !self.ctx.is_usable() || self.ctx.is_backing_off() {
            return;
        }
        let seconds = jump.num_milliseconds() as f64 / 1000.0;
        // Accepted only after the commit: otherwise the next cycle finds the change again.
        if self.ctx.transaction(|_| store::recovery::shift_clock(seconds)).is_none() {
            return;
        }
        warning!("guestly_sync: system clock changed by {seconds:.0} s; pending retries rescheduled");
        self.ctx.clock.accept();
        self.api.gate.shift_clock(jump);
        self.claims.shift(jump);
        self.schedule.check_again();
    }

    fn sweep_and_reconcile(&mut self) {
        let has_swept =
            self.ctx.is_usable() && self.sweep.tick(&mut self.ctx, &self.claims, &self.outcomes, &mut self.schedule);
        if !has_swept {
            return;
        }
        if self.recovery.is_done() {
            self.schedule.add_backlog(self.reconcile.tick(&mut self.ctx));
        }
        // If nothing is sent, no cycle reports the scans and deletions to the statistics.
        sys::report_statistics(true);
    }

    /// A failure here delays the next cycle, but not this one: outcomes are recorded and calls are sent without these tables.
    fn keep_token_and_answer_doctor(&mut self) {
        let was_restored = self.api.restored;
        self.api.retry_token_state(&mut self.ctx, &mut self.outcomes);
        self.doctor.tick(&mut self.ctx, &mut self.api, &self.outcomes);
        // With the saved state loaded, bookings may be claimed.
        self.schedule.add_backlog(self.api.restored && !was_restored);
    }

    fn record_claim_and_send(&mut self) {
        if self.recovery.is_done() {
            let Self { ctx, api, claims, outcomes, schedule, .. } = self;
            cycle::run(ctx, api, claims, outcomes, schedule);
        }
    }

    fn wait(&mut self) {
        let pause = if self.ctx.has_unread_events() {
            Some(Duration::ZERO)
        } else {
            let sweep = self.sweep.next().saturating_duration_since(Instant::now());
            let work = self.schedule.pause(&self.ctx, &mut self.api, &self.claims, &self.outcomes);
            [Some(sweep), self.mailer.pause(), work].into_iter().flatten().min()
        };
        if sys::wait(Some(self.waker.fd()), pause) {
            self.waker.drain();
        }
    }
}
