//! A model of the API's rate limits, for the tests of the limiter.

use guestly_sync::domain::outcome::{RateLimitHeaders, Window};

/// Nanoseconds of the second, the minute and the hour.
pub const WINDOWS: [u128; 3] = [1_000_000_000, 60_000_000_000, 3_600_000_000_000];

/// The API's buckets in whole numbers, independent of the product's: a call costs `window` (nanoseconds), each
/// nanosecond refills `limit`, and the bucket's capacity is `limit` calls.
#[derive(Clone, Debug)]
pub struct Api {
    limits: [u32; 3],
    level: [u128; 3],
    at: u128,
}

impl Api {
    pub fn new(limits: [u32; 3], at: u128) -> Self {
        let level = [0, 1, 2].map(|i| u128::from(limits[i]) * WINDOWS[i]);
        Self { limits, level, at }
    }

    fn advance(&mut self, at: u128) {
        let buckets = self.level.iter_mut().zip(self.limits).zip(WINDOWS);
        for ((level, limit), window) in buckets {
            let refill = (at - self.at) * u128::from(limit);
            *level = (*level + refill).min(u128::from(limit) * window);
        }
        self.at = at;
    }

    /// True if `n` calls at once get no 429.
    pub fn serve(&mut self, n: u32, at: u128) -> bool {
        self.advance(at);
        (0..3).all(|i| {
            let cost = u128::from(n) * WINDOWS[i];
            let served = self.limits[i] == 0 || cost <= self.level[i];
            self.level[i] = self.level[i].saturating_sub(cost);
            served
        })
    }

    pub fn headers(&mut self, at: u128) -> RateLimitHeaders {
        self.advance(at);
        let [second, minute, hour] = [0, 1, 2]
            .map(|i| Window { limit: Some(self.limits[i]), remaining: u32::try_from(self.level[i] / WINDOWS[i]).ok() });
        RateLimitHeaders { second, minute, hour }
    }
}

/// The same headers for all three windows.
pub fn every_window(limit: Option<u32>, remaining: Option<u32>) -> RateLimitHeaders {
    let window = Window { limit, remaining };
    RateLimitHeaders { second: window, minute: window, hour: window }
}
