//! Property tests of isolated faults: while one booking or one kind of call always fails, all other bookings are sent within a
//! bounded time, and it does not count as an outage. Uses a model of the worker's cycles, the calls in flight and the breaker.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use guestly_sync::domain::breaker::{CallKind, NextCall};
use guestly_sync::domain::error::ErrorClass;
use guestly_sync::domain::operation::Operation;
use guestly_sync::domain::outcome::Outcome;
use guestly_sync::domain::rate_limiter::Limits;
use guestly_sync::domain::redact::Secret;
use guestly_sync::domain::retry::Backoff;
use guestly_sync::domain::send_gate::{Completion, Permit, SendGate};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::config;

/// The longest duration of a call.
const TIME_OUT: Duration = Duration::from_secs(30);
/// The longest wait of a booking without a fault: up to four batches of calls may time out before the fault is isolated,
/// each followed by one of the breaker's first pauses.
const BOUND: Duration = Duration::from_secs(4 * 30 + 30);
const PLACES: usize = 4;
const QUICK: Duration = Duration::from_millis(50);
const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(300) };

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    ServerError,
    TimeOut,
    Unreadable,
    Refused,
    /// The request cannot be sent.
    Unsendable,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Poison {
    Booking(usize),
    Kind(CallKind),
}

#[derive(Clone, Debug)]
struct Job {
    kind: CallKind,
    arrived: Duration,
    due: Duration,
    tries: u32,
    /// Of them, those that count.
    attempts: u32,
    sent: Option<Duration>,
}

/// A call in flight: its job (none for the probe look-up), its start and its end.
struct Call {
    job: Option<usize>,
    began: Duration,
    back: Duration,
}

struct World {
    send_gate: SendGate,
    jobs: Vec<Job>,
    poison: Poison,
    way: Way,
    calls: Vec<Call>,
    now: Duration,
    /// As before bookings and kinds were distinguished.
    blind: bool,
    outage: bool,
}

fn wall(now: Duration) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::from_std(now).unwrap_or_default()
}

fn operation(kind: CallKind) -> Operation {
    match kind {
        CallKind::Create => Operation::Create,
        CallKind::LookUp => Operation::LookUp,
        CallKind::FollowUp => Operation::ReadBack,
    }
}

impl World {
    fn new(jobs: &[(CallKind, u64)], poison: Poison, way: Way) -> Self {
        let limits = Limits { per_second: 0, per_minute: 0, per_hour: 0, share_percent: 100 };
        let mut send_gate = SendGate::new(limits, Duration::ZERO);
        let token =
            Outcome::Token { access_token: Secret::new("t".to_owned()), expires_in: Duration::from_secs(86_400) };
        send_gate.tokens.record_request(wall(Duration::ZERO));
        let moment =
            Completion { wall: wall(Duration::ZERO), token_call: true, status: Some(200), ..Completion::default() };
        send_gate.record_outcome(Operation::Token, 0, &token, &moment);
        let job = |(kind, arrived): &(CallKind, u64)| {
            let arrived = Duration::from_millis(*arrived);
            Job { kind: *kind, arrived, due: arrived, tries: 0, attempts: 0, sent: None }
        };
        let jobs = jobs.iter().map(job).collect();
        Self { send_gate, jobs, poison, way, calls: vec![], now: Duration::ZERO, blind: false, outage: false }
    }

    fn is_poisoned(&self, job: Option<usize>) -> bool {
        match self.poison {
            Poison::Booking(booking) => job == Some(booking),
            Poison::Kind(kind) => job.map_or(CallKind::LookUp, |job| self.jobs[job].kind) == kind,
        }
    }

    fn healthy(&self) -> Vec<usize> {
        (0..self.jobs.len()).filter(|job| !self.is_poisoned(Some(*job))).collect()
    }

    /// Due and not in flight, sales first.
    fn due(&self, skip_bookings: &[String], skip_kind: Option<CallKind>) -> Option<usize> {
        let free = |job: &usize| {
            let row = &self.jobs[*job];
            let calling = self.calls.iter().any(|call| call.job == Some(*job));
            row.sent.is_none()
                && row.due <= self.now
                && !calling
                && !skip_bookings.contains(&job.to_string())
                && skip_kind != Some(row.kind)
        };
        (0..self.jobs.len()).filter(free).min_by_key(|job| (self.jobs[*job].kind == CallKind::FollowUp, *job))
    }

    fn send(&mut self, job: Option<usize>) {
        let slow = self.is_poisoned(job) && self.way == Way::TimeOut;
        let back = self.now + if slow { TIME_OUT } else { QUICK };
        self.calls.push(Call { job, began: self.now, back });
    }

    /// Runs one cycle of the worker; true if a call was sent.
    fn turn(&mut self) -> bool {
        let in_flight = self.calls.len() as u32;
        if !matches!(self.send_gate.permit_calls(self.now, wall(self.now), in_flight, PLACES as u32), Permit::Send(_)) {
            return false;
        }
        let anyone = vec![NextCall::Claim { skip_bookings: vec![], skip_kind: None }];
        let steps = if self.blind { anyone } else { self.send_gate.breaker.next_calls(self.now) };
        for step in steps {
            let job = match step {
                // The worker asks only if something is due.
                NextCall::Probe if self.due(&[], None).is_none() => return false,
                NextCall::Probe => None,
                NextCall::Claim { skip_bookings, skip_kind } => match self.due(&skip_bookings, skip_kind) {
                    Some(job) => Some(job),
                    None => continue,
                },
            };
            self.send(job);
            return true;
        }
        if self.due(&[], None).is_some() {
            self.send_gate.breaker.mark_exhausted();
        }
        false
    }

    fn comes_back(&mut self, call: &Call) {
        let kind = call.job.map_or(CallKind::LookUp, |job| self.jobs[job].kind);
        let sentence = "said".to_owned();
        let (outcome, status) = match (self.is_poisoned(call.job), self.way) {
            (false, _) => (Outcome::Found(vec![]), Some(200)),
            (true, Way::ServerError) => (Outcome::Unavailable { retry_after: None, sentence }, Some(500)),
            (true, Way::TimeOut) => (Outcome::Unknown { sentence }, None),
            (true, Way::Unreadable) => (Outcome::Unknown { sentence }, Some(200)),
            (true, Way::Unsendable) => (Outcome::Unsendable { sentence }, None),
            (true, Way::Refused) => (Outcome::Refused { class: ErrorClass::Refused, sentence }, Some(422)),
        };
        let moment = Completion {
            now: self.now,
            started: call.began,
            wall: wall(self.now),
            jitter: 0.5,
            status,
            booking: call.job.map(|job| job.to_string()),
            ..Completion::default()
        };
        let outage = self.send_gate.is_outage_for(operation(kind), &outcome, &moment);
        match (self.blind, outcome.is_success()) {
            (false, _) => {
                self.send_gate.record_outcome(operation(kind), self.send_gate.tokens.generation, &outcome, &moment)
            }
            (true, true) => self.send_gate.breaker.success(self.now),
            (true, false) => self.send_gate.breaker.failure_of(call.began, self.now, 0.5),
        }
        let failed = self.is_poisoned(call.job);
        if let Some(job) = call.job {
            let row = &mut self.jobs[job];
            row.tries += 1;
            row.attempts += u32::from(!outage);
            row.due = self.now + BACKOFF.delay(row.tries, 0.5, None);
            row.sent = (!failed).then_some(self.now);
        }
    }

    /// Runs for half an hour, or until every booking without a fault is sent.
    fn run(&mut self) {
        self.run_until(Duration::from_secs(1_800));
    }

    fn run_until(&mut self, end: Duration) {
        let mut arrived = 0;
        while self.now < end && self.healthy().iter().any(|job| self.jobs[*job].sent.is_none()) {
            let here = self.jobs.iter().filter(|job| job.arrived <= self.now).count();
            if here != arrived {
                self.send_gate.breaker.work_arrived();
                arrived = here;
            }
            while self.turn() {}
            self.outage |= self.send_gate.breaker.is_confirmed();
            let probe = self.send_gate.breaker.next_probe(self.now).map(|wait| self.now + wait);
            let dues = self.jobs.iter().filter(|job| job.sent.is_none()).map(|job| job.due);
            let events = self.calls.iter().map(|call| call.back).chain(dues).chain(probe);
            let next = events.filter(|event| *event > self.now).min();
            self.now = next.unwrap_or(self.now + Duration::from_secs(1));
            let (back, flying) = std::mem::take(&mut self.calls).into_iter().partition(|call| call.back <= self.now);
            self.calls = flying;
            let back: Vec<Call> = back;
            back.iter().for_each(|call| self.comes_back(call));
        }
    }

    /// The longest wait of a booking without a fault.
    fn longest_wait(&self) -> Duration {
        let waited = |job: usize| self.jobs[job].sent.unwrap_or(Duration::MAX) - self.jobs[job].arrived;
        self.healthy().into_iter().map(waited).max().unwrap_or_default()
    }
}

fn kind() -> impl Strategy<Value = CallKind> {
    select(vec![CallKind::Create, CallKind::LookUp, CallKind::FollowUp])
}

fn way() -> impl Strategy<Value = Way> {
    select(vec![Way::ServerError, Way::TimeOut, Way::Unreadable, Way::Refused, Way::Unsendable])
}

/// Kinds and times of arrival: now, or in the next minutes.
fn jobs() -> impl Strategy<Value = Vec<(CallKind, u64)>> {
    vec((kind(), prop_oneof![Just(0), 0_u64..400_000]), 1..30)
}

proptest! {
    #![proptest_config(config(1_500))]

    #[test]
    fn one_booking_that_always_fails_stops_no_other(mut jobs in jobs(), first in kind(), way in way()) {
        jobs[0] = (first, 0);
        let mut world = World::new(&jobs, Poison::Booking(0), way);
        world.run();
        prop_assert!(world.longest_wait() <= BOUND, "{:?}: {:?}", world.longest_wait(), world.jobs);
        prop_assert!(!world.outage, "it counted as an outage: {:?}", world.jobs);
    }

    #[test]
    fn one_kind_of_call_that_always_fails_stops_no_other(jobs in jobs(), kind in kind(), way in way()) {
        let mut world = World::new(&jobs, Poison::Kind(kind), way);
        world.run();
        // Several bookings fail before the faulty kind is known. If all searches fail, the probe look-up fails too, and the
        // others wait through some of the breaker's pauses.
        prop_assert!(world.longest_wait() <= BOUND * 4, "{:?}: {:?}", world.longest_wait(), world.jobs);
        // If all searches fail, the probe look-up fails as well, and nothing else may be due.
        prop_assert!(!world.outage || kind == CallKind::LookUp, "it counted as an outage: {:?}", world.jobs);
    }
}

/// The sale arrives when the breaker's pauses are long.
#[test]
fn without_telling_sources_apart_one_booking_stops_the_others() {
    let waited = |blind| {
        let jobs = [(CallKind::FollowUp, 0), (CallKind::Create, 400_000), (CallKind::Create, 400_000)];
        let mut world = World::new(&jobs, Poison::Booking(0), Way::TimeOut);
        world.blind = blind;
        world.run();
        (world.longest_wait(), world.outage)
    };
    let (before, outage) = waited(true);
    assert!(before > BOUND || outage, "the model finds no delay: {before:?}");
    let (now, outage) = waited(false);
    assert!(now <= BOUND && !outage, "{now:?}");
}

/// Creates fail for a quarter of an hour; all other calls succeed.
#[test]
fn an_outage_of_creates_uses_up_no_attempt() {
    for way in [Way::ServerError, Way::TimeOut] {
        let follow_ups = (0..90).map(|number| (CallKind::FollowUp, number * 10_000));
        let jobs: Vec<(CallKind, u64)> = (0..6).map(|_| (CallKind::Create, 0)).chain(follow_ups).collect();
        let mut world = World::new(&jobs, Poison::Kind(CallKind::Create), way);
        world.run_until(Duration::from_secs(880));
        assert!(world.send_gate.breaker.refuses_creates(world.now), "{way:?}: the outage was not reported");
        let (attempts, tries): (Vec<u32>, Vec<u32>) =
            world.jobs[..6].iter().map(|job| (job.attempts, job.tries)).unzip();
        assert!(attempts.iter().all(|attempts| *attempts < 5), "{way:?}: {attempts:?}");
        assert!(tries.iter().any(|tries| *tries > 8), "the creates were not retried: {tries:?}");
        world.poison = Poison::Booking(usize::MAX);
        world.run();
        assert!(world.jobs.iter().all(|job| job.sent.is_some()), "{way:?}");
        assert!(!world.send_gate.breaker.awaits_create(), "{way:?}: the end of the outage was not reported");
    }
}
