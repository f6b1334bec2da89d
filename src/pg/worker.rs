//! The worker of one database. This file is the loop; the decisions are in `domain`, the statements in `queue`, `record` and
//! `claim`. Main thread: Postgres, latch, decisions. Sender threads (`net::pool`): HTTP and nothing else. No transaction is
//! open while anything is waited for.

mod announce;
mod doctor;
mod judge;
mod late;
mod level;
mod mail;
mod pace;
mod probe;
mod send;
mod token;
mod turn;
mod upkeep;
mod version;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use pgrx::prelude::*;
use pgrx::{pg_sys, warning};

use super::alarm::Alarm;
use super::bookings::Bookings;
use super::job::Job;
use super::memory::News;
use super::record::{Change, Patience, at_exit};
use super::secrets::Credentials;
use super::session;
use super::settings::Settings;
use super::{host_code, sys, wake};
use crate::domain::send_gate::SendGate;
use crate::net::client::Client;
use crate::net::pool::Pool;

/// The version of the SQL objects that this library works with.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What travels with a request through the sender threads.
enum Tag {
    Token {
        requested: DateTime<Utc>,
        mark: String,
    },
    Call(Box<Job>),
    /// A look-up that is about no booking.
    Doctor {
        /// The question of `guestly_doctor()`; none for the worker's own.
        question: Option<u32>,
        /// The token's generation it is sent with.
        generation: u64,
    },
}

struct Worker {
    settings: Settings,
    send_gate: SendGate,
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
    patience: Patience,
    /// Claimed, and waiting for a place to become free.
    prefetched: VecDeque<Job>,
    /// Guestly is asked for no booking once the current transaction is committed.
    ask: bool,
    /// Bookings that are claimed: their call has not ended, or its outcome is not written.
    calling: HashSet<String>,
    /// Bookings that somebody held, and until when they are passed over.
    busy: HashMap<String, DateTime<Utc>>,
    news: News,
    last_error: Option<String>,
    desk: mail::Desk,
    /// The attached table, as it was last seen.
    bookings: Option<Bookings>,
    /// The words for paid whose old bookings are known.
    stock: Vec<String>,
    /// There may be more to claim.
    more: bool,
    next_due: Option<DateTime<Utc>>,
    next_probe: Instant,
    next_prune: Instant,
    level: level::Level,
    not_before: Option<Instant>,
    /// How long replies are gathered: a part of what the last transaction took.
    gathering: Duration,
    reported: HashMap<String, Instant>,
    /// Whether the SQL objects are of this library's version; none until it was looked at.
    fits: Option<bool>,
    /// What commits and people had asked for when it was last looked at.
    slot: wake::Slot,
    /// Claims of the former worker are dealt with.
    rescued: bool,
    /// What the former worker remembered was read, for the credentials in force.
    recalled: bool,
    /// What token requests came to, as far as it is not written.
    fetched: Vec<token::Fetched>,
    doctor: doctor::Desk,
    /// What the former worker was ended in, until that is written.
    hang: Option<wake::Hang>,
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
        let hang = wake::take_hang();
        if let Some(hang) = &hang {
            host_code::be_careful_after_hang(hang.table);
        }
        Ok(Self {
            send_gate: SendGate::new(settings.limits, Duration::ZERO),
            next_probe: began,
            patience: Patience::new(settings.policy.backoff),
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
            prefetched: VecDeque::new(),
            ask: false,
            calling: HashSet::new(),
            busy: HashMap::new(),
            news: News::default(),
            last_error: None,
            desk: mail::Desk::new(),
            bookings: None,
            stock: Vec::new(),
            more: true,
            next_due: None,
            next_prune: began,
            level: level::Level::new(began),
            not_before: None,
            gathering: Duration::ZERO,
            reported: HashMap::new(),
            fits: None,
            slot: wake::slot(sys::my_database()),
            rescued: false,
            recalled: false,
            fetched: Vec::new(),
            doctor: doctor::Desk::new(wake::slot(sys::my_database()).asked),
            hang,
        })
    }

    fn run(mut self) -> ! {
        at_exit::register();
        self.reload();
        while !sys::take_stop_request() {
            sys::ignore_cancel();
            pgrx::check_for_interrupts!();
            if sys::take_reload_request() {
                self.reload();
            }
            self.look_at_slot();
            self.look_at_version();
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
        if slot.wakes != self.slot.wakes {
            self.more = true;
            self.send_gate.breaker.work_arrived();
        }
        if slot.changes != self.slot.changes {
            leave_if_absent();
            self.fits = None;
        }
        self.slot = slot;
    }
}
