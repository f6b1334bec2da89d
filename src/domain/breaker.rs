//! The circuit breaker: detects outages of the API, probes it, and lets calls return gradually. Part of the send gate; pure:
//! `now` is monotonic time since the worker's start, jitter an argument.

use std::time::Duration;

use super::retry::{BREAKER_FIRST_PAUSE, BREAKER_MAX_PAUSE, part};
use source::{CommonSource, Suspects};

mod next_calls;
mod source;

pub use source::{CallKind, CallSource, NextCall};

/// Failures in a row that open the breaker.
const FAILURES_TO_OPEN: u32 = 5;

/// The half-open breaker closes once it allows this many calls at once.
const FULL_WINDOW: u32 = 16;

/// The state, as shown in `guestly.status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// The API answers.
    #[default]
    Closed,
    /// The API is down: one probe at a time.
    Open,
    /// The API answers again: successes allow more and more calls at once.
    HalfOpen,
}

impl BreakerState {
    /// `closed`, `open` or `half-open`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Opens after five failures in a row. While open it permits one probe at a time, after pauses of 1, 2, 4 … 60 s (plus up
/// to a quarter, by jitter). A success makes it half-open: it allows 1, 2, 4, 8 calls at once, doubling after as many
/// successes, and then closes. A failure in between opens it again with the pause doubled.
///
/// The caller decides which failures count: requests that never arrived, time-outs and 5xx, nothing else.
///
/// One booking, or one kind of call, may fail while the rest works. If all failures in a row come from one booking, another
/// booking is tried at once, without a pause; if all come from one kind of call, another kind is. If that succeeds, the
/// breaker closes, and failures of the culprit are ignored until it succeeds once, for at most a quarter of an hour. A
/// source that fails three times while others succeed is a culprit too. During an outage each probe is about another booking
/// than the last.
///
/// ```
/// use guestly_sync::domain::breaker::{Breaker, BreakerState};
/// use std::time::Duration;
///
/// let mut breaker = Breaker::new();
/// let now = Duration::from_secs(10);
/// for _ in 0..5 {
///     breaker.failure(now, 0.0);
/// }
/// assert_eq!(breaker.state(), BreakerState::Open);
/// assert_eq!(breaker.permits(now, 0), 0);
/// assert_eq!(breaker.next_probe(now), Some(Duration::from_secs(1)));
/// assert_eq!(breaker.permits(Duration::from_secs(11), 0), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    state: BreakerState,
    /// Failures in a row; counted while closed.
    failures: u32,
    /// Start of the outage.
    opened_at: Option<Duration>,
    /// The last pause, without its jitter.
    pause: Duration,
    /// End of the pause. Failures of calls that began earlier are ignored.
    until: Duration,
    /// Calls at once while half-open.
    window: u32,
    /// Successes with this window.
    successes: u32,
    /// The source that all failures since the last success share.
    common: CommonSource,
    suspects: Suspects,
    /// Time of the last failed create.
    create_failed: Option<Duration>,
    /// Source of the last call that did not succeed.
    last: Option<CallSource>,
    /// A single source opened it, and nothing else has failed since.
    single_source: bool,
    /// No other call is due that could be tried at once.
    exhausted: bool,
    /// Since when it has been open without a success, and the last failure.
    without_success: (Duration, Duration),
    /// Since then several sources have failed, or a probe about no booking.
    several_failed: bool,
}

impl Breaker {
    /// A closed breaker.
    pub fn new() -> Self {
        Self::default()
    }

    /// A call failed. While open, a failure during the pause belongs to an earlier call and is ignored; a later one is taken
    /// for the probe's. If the start of the call is known, `failure_of` is exact. `jitter` in `[0, 1)` lengthens the pause by
    /// up to a quarter (other values are clamped; NaN: a quarter).
    pub fn failure(&mut self, now: Duration, jitter: f64) {
        self.failure_of(now, now, jitter);
    }

    /// Like `failure`, for a call that began at `started`. Unless the breaker is closed, failures of calls that began before
    /// the end of the last pause are ignored, so that many slow time-outs count once.
    pub fn failure_of(&mut self, started: Duration, now: Duration, jitter: f64) {
        self.failed(None, started, now, jitter);
    }

    /// Like `failure_of`, for a call of `source`; `None` if the source cannot be the cause.
    pub fn failed(&mut self, source: Option<&CallSource>, started: Duration, now: Duration, jitter: f64) {
        let excused = source.is_some_and(|source| self.suspects.has(source, now));
        if let Some(source) = source {
            self.suspects.failed(source, now);
            self.create_failed = if source.kind == CallKind::Create { Some(now) } else { self.create_failed };
        }
        let late = self.state != BreakerState::Closed && started < self.until;
        match self.state {
            BreakerState::Closed if excused => {}
            BreakerState::Closed => {
                self.add_failure(source);
                self.failures += 1;
                if self.failures >= FAILURES_TO_OPEN {
                    self.opened_at = Some(now);
                    self.single_source = self.common.is_single();
                    self.open(BREAKER_FIRST_PAUSE, now, jitter);
                }
            }
            BreakerState::HalfOpen if excused || late => {}
            BreakerState::Open | BreakerState::HalfOpen => {
                self.add_failure(source);
                if !late {
                    self.open((self.pause * 2).min(BREAKER_MAX_PAUSE), now, jitter);
                }
                self.check_single_source(source);
            }
        }
    }

    /// A call of `source` never arrived: a sign of an outage that the source cannot have caused.
    pub fn not_sent(&mut self, source: Option<&CallSource>, started: Duration, now: Duration, jitter: f64) {
        self.failed(None, started, now, jitter);
        self.inconclusive(source);
    }

    /// A call of `source` proved nothing about the API: the next probe is about another booking.
    pub fn inconclusive(&mut self, source: Option<&CallSource>) {
        self.last = source.cloned().or_else(|| self.last.take());
    }

    /// A call was answered, whatever the answer: the API is up. This holds for calls that began long ago, too.
    pub fn success(&mut self, now: Duration) {
        self.succeeded(None, now);
    }

    /// Like `success`, for a call of `source`; `None` if it went to another address than the others.
    pub fn succeeded(&mut self, source: Option<&CallSource>, now: Duration) {
        if let Some(source) = source {
            self.suspects.succeeded(source);
        }
        let culprit = source.and_then(|source| self.common.other_than(source)).filter(|_| self.single_source);
        self.common = CommonSource::default();
        self.exhausted = false;
        match (self.state, culprit) {
            (BreakerState::Closed, _) => self.failures = 0,
            // During the pause, so there was no outage. Later, an outage may have ended.
            (BreakerState::Open, Some(culprit)) if now < self.until => {
                self.suspects.suspect(culprit, now);
                self.close();
            }
            (BreakerState::Open, _) => {
                self.state = BreakerState::HalfOpen;
                self.window = 1;
                self.successes = 0;
                self.single_source = false;
                // The rest of the pause is skipped, and calls from now on count.
                self.until = self.until.min(now);
            }
            (BreakerState::HalfOpen, _) => {
                self.successes += 1;
                if self.successes >= self.window {
                    self.window *= 2;
                    self.successes = 0;
                }
                if self.window >= FULL_WINDOW {
                    self.close();
                }
            }
        }
    }

    /// Calls that may start now, with `in_flight` unanswered; `u32::MAX` if closed.
    pub fn permits(&self, now: Duration, in_flight: u32) -> u32 {
        match self.state {
            BreakerState::Closed => u32::MAX,
            BreakerState::Open => u32::from((now >= self.until || self.may_try_other()) && in_flight == 0),
            BreakerState::HalfOpen => self.window.saturating_sub(in_flight),
        }
    }

    /// Time until the next probe; `None` if not open, or if it is due already.
    pub fn next_probe(&self, now: Duration) -> Option<Duration> {
        let waits = self.state == BreakerState::Open && now < self.until && !self.may_try_other();
        waits.then(|| self.until.saturating_sub(now))
    }

    /// Closed, open or half-open.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// True unless closed: failures count as an outage and use up no attempt.
    pub fn is_outage(&self) -> bool {
        self.state != BreakerState::Closed
    }

    /// Start of the outage, kept while half-open and after failed probes; `None` if closed.
    pub fn opened_at(&self) -> Option<Duration> {
        self.opened_at
    }

    /// True if another source may be tried at once, without waiting for the end of the pause.
    fn may_try_other(&self) -> bool {
        self.single_source && !self.exhausted
    }

    fn open(&mut self, pause: Duration, now: Duration, jitter: f64) {
        if self.state != BreakerState::Open {
            self.without_success = (now, now);
            self.several_failed = !self.common.is_single();
        }
        self.without_success.1 = now;
        self.state = BreakerState::Open;
        self.pause = pause;
        // Never earlier than before, should `now` have gone back.
        let until = now.saturating_add(pause + part(pause / 4, jitter));
        self.until = self.until.max(until);
    }

    fn close(&mut self) {
        let (suspects, create_failed) = (std::mem::take(&mut self.suspects), self.create_failed);
        *self = Self { suspects, create_failed, ..Self::default() };
    }

    fn add_failure(&mut self, source: Option<&CallSource>) {
        self.common.add(source);
        self.last = source.cloned();
    }

    fn check_single_source(&mut self, source: Option<&CallSource>) {
        self.single_source &= self.common.is_single();
        self.several_failed |= !self.common.is_single() || source.is_some_and(|source| source.booking.is_none());
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
