//! The worker's two clocks: monotonic time since its start, and the system clock, whose jumps are detected by comparison.
//! Part of the worker, main thread; runs no statement.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// A difference below this, in milliseconds, is a clock that is being slewed; more is a jump.
const JUMP_MS: i64 = 5_000;

/// Both clocks, as last compared.
pub(super) struct Clock {
    started: Instant,
    anchor: (Instant, DateTime<Utc>),
}

impl Clock {
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self { started: now, anchor: (now, Utc::now()) }
    }

    /// Monotonic time since the worker started.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The time at which the worker started, by the current system clock; `None` if out of range.
    pub(super) fn started_at(&self) -> Option<DateTime<Utc>> {
        TimeDelta::from_std(self.now()).ok().and_then(|age| Utc::now().checked_sub_signed(age))
    }

    /// The change of the system clock since [`Clock::accept`]; `None` if it only ran.
    pub(super) fn jump(&self) -> Option<TimeDelta> {
        let (then, wall) = self.anchor;
        let expected = wall + TimeDelta::from_std(then.elapsed()).unwrap_or_default();
        Some(Utc::now() - expected).filter(|jump| jump.num_milliseconds().abs() >= JUMP_MS)
    }

    /// Accepts the current system clock: all due times were shifted.
    pub(super) fn accept(&mut self) {
        self.anchor = (Instant::now(), Utc::now());
    }
}
