//! The account's rate limits: three token buckets with continuous refill, and their headers.
//! Asked by state.rs for every `/v1` call, under the state lock.

use crate::config::Knobs;

/// The three buckets.
pub(crate) struct Limits {
    buckets: [Bucket; 3],
}

struct Bucket {
    /// 0 is no limit.
    size: f64,
    window_us: f64,
    level: f64,
    last: i64,
}

impl Bucket {
    fn refill(&mut self, sim: i64) {
        #[allow(clippy::cast_precision_loss)]
        let elapsed = sim.saturating_sub(self.last).max(0) as f64;
        self.level = (self.level + elapsed * self.size / self.window_us).min(self.size);
        self.last = sim;
    }

    /// Microseconds until one call is allowed.
    fn wait(&self) -> f64 {
        if self.size == 0.0 || self.level >= 1.0 { 0.0 } else { (1.0 - self.level) * self.window_us / self.size }
    }
}

impl Limits {
    pub(crate) fn new(knobs: &Knobs, sim: i64) -> Self {
        let bucket = |size: u32, window_ms: u64| {
            #[allow(clippy::cast_precision_loss)]
            let window_us = (window_ms.max(1) * 1000) as f64;
            Bucket { size: f64::from(size), window_us, level: f64::from(size), last: sim }
        };
        Self {
            buckets: [
                bucket(knobs.per_second, knobs.second_ms),
                bucket(knobs.per_minute, knobs.minute_ms),
                bucket(knobs.per_hour, knobs.hour_ms),
            ],
        }
    }

    /// Counts one call. `Err` is the Retry-After in seconds.
    pub(crate) fn take(&mut self, knobs: &Knobs, sim: i64, over_concurrency: bool) -> Result<(), u64> {
        for bucket in &mut self.buckets {
            bucket.refill(sim);
        }
        if !knobs.limits {
            return Ok(());
        }
        let wait = self.buckets.iter().map(Bucket::wait).fold(0.0, f64::max);
        if wait > 0.0 || over_concurrency {
            if over_concurrency || knobs.refused_calls_count {
                self.consume();
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let seconds = (wait / 1_000_000.0).ceil() as u64;
            return Err(seconds.max(knobs.retry_after_min_s));
        }
        self.consume();
        Ok(())
    }

    fn consume(&mut self) {
        for bucket in &mut self.buckets {
            bucket.level = (bucket.level - 1.0).max(0.0);
        }
    }

    /// The headers of every `/v1` answer.
    pub(crate) fn headers(&self, knobs: &Knobs) -> Vec<(&'static str, String)> {
        const NAMES: [(&str, &str); 3] = [
            ("X-RateLimit-Limit-Second", "X-RateLimit-Remaining-Second"),
            ("X-RateLimit-Limit-Minute", "X-RateLimit-Remaining-Minute"),
            ("X-RateLimit-Limit-Hour", "X-RateLimit-Remaining-Hour"),
        ];
        if !knobs.limits {
            return Vec::new();
        }
        let mut headers = Vec::with_capacity(6);
        for (index, (bucket, (limit, remaining))) in self.buckets.iter().zip(NAMES).enumerate() {
            if bucket.size == 0.0 {
                continue;
            }
            headers.push((limit, format!("{:.0}", bucket.size)));
            if index < 2 || knobs.remaining_hour_header {
                headers.push((remaining, format!("{:.0}", bucket.level.floor())));
            }
        }
        headers
    }

    /// Levels for `/__sim/metrics`.
    pub(crate) fn levels(&self) -> [f64; 3] {
        [self.buckets[0].level, self.buckets[1].level, self.buckets[2].level]
    }
}
