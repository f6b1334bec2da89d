//! A model of the worker for the tests of the limiter: it makes any allowed calls, and is sometimes killed and replaced.

use std::time::Duration;

use guestly_sync::domain::outcome::RateLimitHeaders;
use guestly_sync::domain::rate_limiter::{Limits, RateLimiter};
use proptest::prelude::*;

use crate::api::{Api, every_window};
use crate::pause;

#[derive(Clone, Debug)]
pub enum Step {
    /// Time passes, then the worker makes as many calls as wanted and allowed.
    Call {
        pause: u64,
        wanted: u32,
    },
    /// Time passes until the limiter's next permit, then the worker makes all allowed calls.
    Greedy,
    /// An answer with the API's true headers.
    Observe {
        in_flight: u32,
        elapsed: u64,
    },
    /// An answer with any headers.
    Rubbish {
        limit: u32,
        remaining: u32,
    },
    Hold {
        length: u64,
    },
    /// The worker is killed, and another starts after a while.
    Restart {
        away: u64,
    },
    /// The clock goes back, and calls are made if allowed.
    Back {
        by: u64,
        wanted: u32,
    },
    /// The settings are changed and changed back.
    Settings {
        smaller: u32,
    },
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (pause(), prop_oneof![0_u32..4, Just(u32::MAX)]).prop_map(|(pause, wanted)| Step::Call { pause, wanted }),
        6 => Just(Step::Greedy),
        2 => (0_u32..4, pause()).prop_map(|(in_flight, elapsed)| Step::Observe { in_flight, elapsed }),
        1 => any::<(u32, u32)>().prop_map(|(limit, remaining)| Step::Rubbish { limit, remaining }),
        1 => pause().prop_map(|length| Step::Hold { length }),
        1 => pause().prop_map(|away| Step::Restart { away }),
        1 => (pause(), 0_u32..9).prop_map(|(by, wanted)| Step::Back { by, wanted }),
        1 => (0_u32..9).prop_map(|smaller| Step::Settings { smaller }),
    ]
}

pub fn api_limits() -> impl Strategy<Value = [u32; 3]> {
    let limit = || prop_oneof![Just(0_u32), 1_u32..30, 1_u32..6_000, Just(u32::MAX)];
    prop_oneof![2 => Just([15, 120, 5_000]), 3 => [limit(), limit(), limit()]]
}

pub fn settings(limits: [u32; 3], share_percent: u32) -> Limits {
    let [per_second, per_minute, per_hour] = limits;
    Limits { per_second, per_minute, per_hour, share_percent }
}

/// One worker and its successors in true time, which the API uses; `origin` is the start of the current one.
pub struct Run {
    limiter: RateLimiter,
    limits: Limits,
    origin: u64,
    pub time: u64,
    /// The time and number of calls.
    pub calls: Vec<(u64, u32)>,
    pub paused_until: u64,
}

impl Run {
    pub fn new(limits: Limits) -> Self {
        let limiter = RateLimiter::new(limits, Duration::ZERO);
        Self { limiter, limits, origin: 0, time: 0, calls: Vec::new(), paused_until: 0 }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.time - self.origin)
    }

    fn call(&mut self, wanted: u32, now: Duration) {
        let n = wanted.min(self.limiter.permits(now));
        self.limiter.take(n, now);
        if n > 0 {
            self.calls.push((self.time, n));
        }
    }

    pub fn greedy(&mut self) -> Result<(), TestCaseError> {
        let now = self.now();
        if let Some(wait) = self.limiter.next_permit(now) {
            prop_assert!(wait > Duration::ZERO);
            prop_assert_eq!(self.limiter.clone().permits(now + wait - Duration::from_nanos(1)), 0, "not the earliest");
            self.time += wait.as_nanos() as u64;
        }
        prop_assert!(self.limiter.permits(self.now()) > 0, "the promised permit is missing");
        self.call(u32::MAX, self.now());
        Ok(())
    }

    fn restart(&mut self, away: u64) {
        let saved = self.limiter.levels(self.now());
        self.time += away;
        self.origin = self.time;
        self.paused_until = 0;
        self.limiter = RateLimiter::new(self.limits, Duration::ZERO);
        self.limiter.restore(saved, Duration::from_nanos(away), Duration::ZERO);
    }

    /// One step. The caller gives new `calls` to the API, and compares them with `paused_until`.
    pub fn apply(&mut self, step: &Step, api: &mut Api) -> Result<(), TestCaseError> {
        match *step {
            Step::Call { pause, wanted } => {
                self.time += pause;
                self.call(wanted, self.now());
            }
            Step::Greedy => self.greedy()?,
            Step::Observe { in_flight, elapsed } => {
                let headers = api.headers(u128::from(self.time));
                self.learn(&headers, in_flight, elapsed)?;
            }
            Step::Rubbish { limit, remaining } => {
                self.learn(&every_window(Some(limit), Some(remaining)), 0, 0)?;
            }
            Step::Hold { length } => {
                let until = self.now() + Duration::from_nanos(length);
                self.limiter.pause_until(until);
                self.paused_until = self.paused_until.max(self.time + length);
            }
            Step::Restart { away } => self.restart(away),
            Step::Back { by, wanted } => self.go_back(by, wanted)?,
            Step::Settings { smaller } => self.change_settings(smaller),
        }
        Ok(())
    }

    fn go_back(&mut self, by: u64, wanted: u32) -> Result<(), TestCaseError> {
        let before = self.limiter.permits(self.now());
        let now = self.now().saturating_sub(Duration::from_nanos(by));
        let after = self.limiter.permits(now);
        prop_assert!(after <= before, "a clock that went back gave permits");
        self.call(wanted, now);
        Ok(())
    }

    /// Reduces the limits and restores them. Limited windows stay limited, because an unlimited one forgets its usage.
    fn change_settings(&mut self, smaller: u32) {
        let Limits { per_second, per_minute, per_hour, share_percent } = self.limits;
        let cut = [per_second, per_minute, per_hour].map(|l| l.saturating_sub(smaller).max(l.min(1)));
        let now = self.now();
        self.limiter.set_limits(settings(cut, share_percent), now);
        self.limiter.set_limits(self.limits, now);
    }

    pub fn learn(&mut self, headers: &RateLimitHeaders, in_flight: u32, elapsed: u64) -> Result<(), TestCaseError> {
        let now = self.now();
        let before = self.limiter.levels(now);
        self.limiter.observe(headers, in_flight, Duration::from_nanos(elapsed), now);
        let after = self.limiter.levels(now);
        prop_assert!((0..3).all(|i| after[i] <= before[i]), "an answer raised a bucket's level");
        Ok(())
    }
}
