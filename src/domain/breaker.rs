//! The circuit breaker: whether the API is out, when to probe it, and how to come back without a stampede.
//! Called by the worker's loop (main thread); pure: `now` is the monotonic time since the worker's start,
//! jitter is an argument. Imports neither `pg` nor `net`, no clock, no randomness.

use std::time::Duration;

use super::retry::part;
use blame::{Blame, Suspects};

mod blame;
mod steps;

pub use blame::{Kind, Source};
pub use steps::Step;

/// Failures in a row that open it.
const FAILURES_TO_OPEN: u32 = 5;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Calls at once from which on the ramp is over.
const FULL_WINDOW: u32 = 16;

/// The state, as the status view shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// The API answers.
    #[default]
    Closed,
    /// The API is out: one probe at a time.
    Open,
    /// The API answers again: more calls at once with every success.
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

/// Opens after five failures in a row. While open it permits one probe at a time, after pauses of 1, 2,
/// 4 … 60 s (and up to a quarter more, by jitter). A success makes it half-open: 1, 2, 4, 8 calls at once,
/// the next step after as many successes; then it is closed. A failure on the way opens it again with the
/// pause doubled.
///
/// The caller decides which failures count: requests that never arrived, time-outs and 5xx, nothing else.
///
/// One booking, or one kind of call, may fail for a reason of its own. If all failures in a row come from
/// one booking, something else is tried at once, without a pause; if all come from one kind of call, a call
/// of another kind is. If that succeeds, the breaker closes, and the failures of the culprit do not count
/// any more until it succeeds once, at most for a quarter of an hour. A source that fails three times while
/// others succeed is a culprit too. During an outage each probe goes to another booking than the last.
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
    /// In a row; counted while closed.
    failures: u32,
    /// Begin of the outage.
    opened_at: Option<Duration>,
    /// The last pause, without its jitter.
    pause: Duration,
    /// End of the pause. Calls begun earlier say nothing about the API after it.
    until: Duration,
    /// Calls at once while half-open.
    window: u32,
    /// Successes with this window.
    successes: u32,
    /// Of the failures since the last success.
    blame: Blame,
    suspects: Suspects,
    /// When a create failed last.
    create_failed: Option<Duration>,
    /// Whose call was the last that did not succeed.
    last: Option<Source>,
    /// One source alone opened it, and nothing else has failed since.
    alone: bool,
    /// Nothing else is due that could be tried at once.
    exhausted: bool,
    /// Since when it has been open without a success, and the last failure.
    silent: (Duration, Duration),
    /// Calls of more than one source failed since then, or the harmless one did.
    confirmed: bool,
}

impl Breaker {
    /// A closed one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A call has failed. While open, a failure within the pause is that of an earlier call and changes
    /// nothing; a later one is taken for the probe's. Where the call's begin is known, `failure_of` is exact.
    /// `jitter` in `[0, 1)` lengthens the pause by up to a quarter (outside: clamped; NaN: a quarter).
    pub fn failure(&mut self, now: Duration, jitter: f64) {
        self.failure_of(now, now, jitter);
    }

    /// Like `failure`, for a call that began at `started`. Unless the breaker is closed, calls that began
    /// before the last pause ended are old news, however late they fail: a crowd of slow time-outs counts once.
    pub fn failure_of(&mut self, started: Duration, now: Duration, jitter: f64) {
        self.failed(None, started, now, jitter);
    }

    /// Like `failure_of`, for a call of `source`; none where the failure is certainly not the source's own, because
    /// the call never arrived.
    pub fn failed(&mut self, source: Option<&Source>, started: Duration, now: Duration, jitter: f64) {
        let excused = source.is_some_and(|source| self.suspects.has(source, now));
        if let Some(source) = source {
            self.suspects.failed(source, now);
            self.create_failed = if source.kind == Kind::Create { Some(now) } else { self.create_failed };
        }
        let late = self.state != BreakerState::Closed && started < self.until;
        match self.state {
            BreakerState::Closed if excused => {}
            BreakerState::Closed => {
                self.accuse(source);
                self.failures += 1;
                if self.failures >= FAILURES_TO_OPEN {
                    self.opened_at = Some(now);
                    self.alone = self.blame.is_single();
                    self.open(FIRST_PAUSE, now, jitter);
                }
            }
            BreakerState::HalfOpen if excused || late => {}
            BreakerState::Open | BreakerState::HalfOpen => {
                self.accuse(source);
                if !late {
                    self.open((self.pause * 2).min(LONGEST_PAUSE), now, jitter);
                }
                self.confirm(source);
            }
        }
    }

    /// A call of `source` never arrived: a sign of an outage, and certainly not the source's own fault.
    pub fn not_sent(&mut self, source: Option<&Source>, started: Duration, now: Duration, jitter: f64) {
        self.failed(None, started, now, jitter);
        self.tells_nothing(source);
    }

    /// A call of `source` told nothing about the API: something else is tried next.
    pub fn tells_nothing(&mut self, source: Option<&Source>) {
        self.last = source.cloned().or_else(|| self.last.take());
    }

    /// A call was answered: the API is there, whatever it said. Also calls begun long ago prove that.
    pub fn success(&mut self, now: Duration) {
        self.succeeded(None, now);
    }

    /// Like `success`, for a call of `source`; none where it went to another address than the others.
    pub fn succeeded(&mut self, source: Option<&Source>, now: Duration) {
        if let Some(source) = source {
            self.suspects.succeeded(source);
        }
        let culprit = source.and_then(|source| self.blame.other_than(source)).filter(|_| self.alone);
        self.blame = Blame::default();
        self.exhausted = false;
        match (self.state, culprit) {
            (BreakerState::Closed, _) => self.failures = 0,
            // At the same moment, so there was no outage at all. Later it may have ended meanwhile.
            (BreakerState::Open, Some(culprit)) if now < self.until => {
                self.suspects.suspect(culprit, now);
                self.close();
            }
            (BreakerState::Open, _) => {
                self.state = BreakerState::HalfOpen;
                self.window = 1;
                self.successes = 0;
                self.alone = false;
                // The rest of the pause is spared, and calls from now on count.
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

    /// How many calls may start now, while `in_flight` others are not yet answered; `u32::MAX` if closed.
    pub fn permits(&self, now: Duration, in_flight: u32) -> u32 {
        match self.state {
            BreakerState::Closed => u32::MAX,
            BreakerState::Open => u32::from((now >= self.until || self.may_try()) && in_flight == 0),
            BreakerState::HalfOpen => self.window.saturating_sub(in_flight),
        }
    }

    /// How long until a probe is due; `None` if not open, or if it is due already.
    pub fn next_probe(&self, now: Duration) -> Option<Duration> {
        let waits = self.state == BreakerState::Open && now < self.until && !self.may_try();
        waits.then(|| self.until.saturating_sub(now))
    }

    /// Closed, open or half-open.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Whether failures are the API's and use up no booking's attempt: not closed.
    pub fn is_outage(&self) -> bool {
        self.state != BreakerState::Closed
    }

    /// When the outage began, also while half-open and after failed probes; `None` if closed.
    pub fn opened_at(&self) -> Option<Duration> {
        self.opened_at
    }

    fn open(&mut self, pause: Duration, now: Duration, jitter: f64) {
        if self.state != BreakerState::Open {
            self.silent = (now, now);
            self.confirmed = !self.blame.is_single();
        }
        self.silent.1 = now;
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

    fn accuse(&mut self, source: Option<&Source>) {
        self.blame.add(source);
        self.last = source.cloned();
    }

    fn confirm(&mut self, source: Option<&Source>) {
        self.alone &= self.blame.is_single();
        self.confirmed |= !self.blame.is_single() || source.is_some_and(|source| source.booking.is_none());
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
