//! The worker of one database. This file is the loop; the decisions are in `domain`, the statements in `queue`, `record` and
//! `claim`. Main thread: Postgres, latch, decisions. Sender threads (`net::pool`): HTTP and nothing else. No transaction is
//! open while anything is waited for.

mod announce;
mod doctor;
mod judge;
mod mail;
mod pace;
mod probe;
mod send;
mod upkeep;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use pgrx::prelude::*;
use pgrx::{pg_sys, warning};

use super::alarm::Alarm;
use super::bookings::Bookings;
use super::claim::{self, Claimed};
use super::job::Job;
use super::memory::{self, News};
use super::record::{Change, record_all};
use super::secrets::Credentials;
use super::session::{self, Result};
use super::settings::Settings;
use super::{queue, sys, wake};
use crate::domain::lane::{Go, Lane};
use crate::net::client::Client;
use crate::net::pool::Pool;

/// The version of the SQL objects that this library works with.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How soon an outcome that could not be written is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// A fault of the same kind is reported at most this often.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// How long a stop waits for calls that are being cut.
const STOP_WAIT: Duration = Duration::from_millis(300);

/// What travels with a request through the sender threads.
enum Tag {
    Token {
        requested: DateTime<Utc>,
        mark: String,
    },
    Call(Box<Job>),
    /// The doctor's question.
    Doctor(u32),
}

struct Worker {
    settings: Settings,
    lane: Lane,
    /// None only while the worker stops.
    pool: Option<Pool<Tag>>,
    client: Option<Client>,
    alarm: Alarm,
    credentials: Option<Credentials>,
    /// A token request whose intent is committed with the current transaction.
    token_intent: Option<(DateTime<Utc>, String)>,
    began: Instant,
    clock: (Instant, DateTime<Utc>),
    claims: i64,
    unrecorded: Vec<Change>,
    /// Bookings whose call has not ended, or whose outcome is not written.
    calling: HashSet<String>,
    news: News,
    last_error: Option<String>,
    desk: mail::Desk,
    /// The attached table, as it was last seen.
    bookings: Option<Bookings>,
    /// There may be more to claim.
    more: bool,
    next_due: Option<DateTime<Utc>>,
    next_probe: Instant,
    next_prune: Instant,
    not_before: Option<Instant>,
    /// How long replies are gathered: a part of what the last transaction took.
    patience: Duration,
    reported: Option<Instant>,
    /// What commits and people had asked for when it was last looked at.
    slot: wake::Slot,
    /// Claims of the former worker are dealt with.
    rescued: bool,
    /// The doctor's last question that was answered, and the one that waits for its answer.
    doctor: (u32, Option<u32>),
}

/// The worker's main function; the argument is the database's oid.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn guestly_worker_main(arg: pg_sys::Datum) {
    sys::attach_signals();
    sys::connect(Some(sys::worker_argument(arg)));
    // A reload may have come before the handler was there.
    sys::reload_configuration();
    if !wake::claim_worker(Utc::now().timestamp_micros()) {
        sys::exit(0);
    }
    leave_if_absent();
    match Worker::start() {
        Ok(worker) => worker.run(),
        Err(error) => warning!("guestly_sync: the worker cannot start: {error}"),
    }
    sys::exit(1);
}

/// Ends the process where the extension is not, or no longer, installed.
fn leave_if_absent() {
    let installed = session::transaction(c"guestly_sync: looking for the extension", || Ok(sys::is_installed()));
    if installed == Ok(false) {
        wake::leave(true);
        sys::exit(0);
    }
}

impl Worker {
    fn start() -> std::result::Result<Self, String> {
        let settings = Settings::load();
        let no_pipe = |error: std::io::Error| format!("no wake-up pipe: {error}");
        let alarm = Alarm::new().map_err(no_pipe)?;
        let bell = alarm.bell().map_err(no_pipe)?;
        let pool = Pool::new(settings.concurrency as usize, move || bell.ring())?;
        let began = Instant::now();
        Ok(Self {
            lane: Lane::new(settings.limits, Duration::ZERO),
            next_probe: began + settings.poll_interval.min(Duration::from_secs(1)),
            settings,
            pool: Some(pool),
            client: None,
            alarm,
            credentials: None,
            token_intent: None,
            began,
            clock: (began, Utc::now()),
            claims: Utc::now().timestamp_micros(),
            unrecorded: Vec::new(),
            calling: HashSet::new(),
            news: News::default(),
            last_error: None,
            desk: mail::Desk::new(),
            bookings: None,
            more: true,
            next_due: None,
            next_prune: began,
            not_before: None,
            patience: Duration::ZERO,
            reported: None,
            slot: wake::slot(sys::my_database()),
            rescued: false,
            doctor: (wake::slot(sys::my_database()).asked, None),
        })
    }

    fn run(mut self) -> ! {
        self.reload();
        while !sys::take_stop_request() {
            sys::ignore_cancel();
            pgrx::check_for_interrupts!();
            if sys::take_reload_request() {
                self.reload();
            }
            self.look_at_slot();
            self.collect();
            self.turn();
            self.mail();
            // A wait inside a transaction may have used up the latch of what came meanwhile.
            let news = sys::has_request() || self.slot != wake::slot(sys::my_database());
            let pause = if news { Some(Duration::ZERO) } else { self.pause() };
            if sys::wait(Some(self.alarm.fd()), pause) {
                self.alarm.silence();
            }
        }
        self.stop()
    }

    /// What commits and people asked for since.
    fn look_at_slot(&mut self) {
        let slot = wake::slot(sys::my_database());
        self.more |= slot.wakes != self.slot.wakes;
        if slot.changes != self.slot.changes {
            leave_if_absent();
        }
        self.slot = slot;
    }

    /// One short transaction: what has come in is recorded, what is due is claimed. Then the calls leave.
    fn turn(&mut self) {
        self.follow_the_clock();
        self.probe();
        if self.not_before.is_some_and(|then| then > Instant::now()) {
            return;
        }
        self.not_before = None;
        self.answer_the_doctor();
        if !self.rescue() || (self.unrecorded.is_empty() && !self.is_something_due()) {
            return;
        }
        let (now, wall) = (self.now(), Utc::now());
        let go = self.go(now, wall);
        if self.unrecorded.is_empty() && matches!(go, Go::Wait(_)) {
            return;
        }
        let changes = std::mem::take(&mut self.unrecorded);
        let (kept, began) = (changes.clone(), Instant::now());
        let worked =
            session::transaction(c"guestly_sync: recording and claiming", || self.work(go, changes, now, wall));
        self.patience = pace::patience(began.elapsed());
        match worked {
            Ok((claimed, postponed)) => {
                let stuck = kept.is_empty() && claimed.jobs.is_empty() && self.token_intent.is_none();
                let may_go = !matches!(go, Go::Wait(_)) && self.is_something_due();
                // Locked by somebody else: a claim in a tight loop would find the same.
                if !postponed.is_empty() || claimed.busy || (stuck && may_go) {
                    self.not_before = Some(Instant::now() + TRY_AGAIN);
                }
                // What was recalled meanwhile stands there already.
                self.unrecorded.extend(postponed);
                self.send_token_request();
                self.send(claimed.jobs);
                let quiet = !self.more && self.in_flight() == 0;
                sys::report_statistics(quiet);
            }
            Err(error) => {
                self.keep_calling(&kept);
                self.unrecorded.extend(kept);
                self.token_intent = None;
                self.more = true;
                self.trouble(&error);
            }
        }
    }

    fn keep_calling(&mut self, changes: &[Change]) {
        self.calling.extend(changes.iter().map(|change| change.booking_id.clone()));
    }

    fn work(
        &mut self,
        go: Go,
        changes: Vec<Change>,
        now: Duration,
        wall: DateTime<Utc>,
    ) -> Result<(Claimed, Vec<Change>)> {
        let bookings = Bookings::load()?;
        self.bookings.clone_from(&bookings);
        let any = !changes.is_empty();
        for change in &changes {
            self.calling.remove(&change.booking_id);
        }
        let postponed = record_all(bookings.as_ref(), changes);
        self.keep_calling(&postponed);
        let calling: Vec<String> = self.calling.iter().cloned().collect();
        let mut claimed = Claimed::default();
        if let (Some(bookings), true) = (&bookings, self.may_send()?) {
            queue::absorb()?;
            let claims = &mut self.claims;
            let mut fence = || {
                *claims += 1;
                *claims
            };
            match go {
                Go::Send(calls) => claimed = claim::claim(bookings, &self.settings, wall, calls, calling, &mut fence)?,
                Go::FetchToken if !queue::due(wall, 1, calling)?.is_empty() => self.intend_token(wall)?,
                Go::FetchToken | Go::Wait(_) => {}
            }
            self.more = matches!(go, Go::Wait(_)) && self.more || !claimed.drained && matches!(go, Go::Send(_));
            if !self.settings.test_mode && !claimed.jobs.is_empty() && self.lane.should_renew(wall) {
                self.intend_token(wall)?;
            }
            // The outcomes of these calls will ask, and what was known before stands until then.
            let later = !any && !claimed.jobs.is_empty() && self.next_due.is_none_or(|due| due > wall);
            if !self.more && !later {
                self.next_due = queue::next_due()?;
            }
        } else {
            self.recall();
            (self.more, self.next_due) = (false, None);
        }
        if any || !claimed.jobs.is_empty() {
            let mark = self.mark();
            // A claim alone changes nothing of it: what was written last, and the time since, say the same.
            if any || self.news != News::default() {
                memory::remember(&mut self.lane, &self.news, mark.as_deref(), now, wall)?;
                self.news = News::default();
            }
        }
        Ok((claimed, postponed))
    }

    /// Names the credentials in force.
    fn mark(&self) -> Option<String> {
        self.credentials.as_ref().map(|credentials| credentials.mark(&self.settings.token_url, &self.settings.base_url))
    }
}
