//! The rate limits. Part of `pg::settings`; main thread only.

use pgrx::guc::GucSetting;

use super::define::{natural, number};
use crate::domain::rate_limiter::Limits;

// Guesty limits concurrent calls to 15; other programs use the account too.
static CONCURRENCY: GucSetting<i32> = GucSetting::<i32>::new(4);
// Guesty's documented limits.
static RATE_PER_SECOND: GucSetting<i32> = GucSetting::<i32>::new(15);
static RATE_PER_MINUTE: GucSetting<i32> = GucSetting::<i32>::new(120);
static RATE_PER_HOUR: GucSetting<i32> = GucSetting::<i32>::new(5_000);
// The rest is for the operator's other tools on the same account.
static QUOTA_SHARE: GucSetting<i32> = GucSetting::<i32>::new(70);

/// Defines the settings of this file.
pub(super) fn init() {
    number(c"guestly_sync.concurrency", c"Calls in flight at once.", &CONCURRENCY, 1, 64);
    number(
        c"guestly_sync.rate_per_second",
        c"Calls per second that Guesty allows; 0 is no limit.",
        &RATE_PER_SECOND,
        0,
        1_000_000,
    );
    number(
        c"guestly_sync.rate_per_minute",
        c"Calls per minute that Guesty allows; 0 is no limit.",
        &RATE_PER_MINUTE,
        0,
        1_000_000,
    );
    number(
        c"guestly_sync.rate_per_hour",
        c"Calls per hour that Guesty allows; 0 is no limit.",
        &RATE_PER_HOUR,
        0,
        10_000_000,
    );
    number(c"guestly_sync.quota_share", c"Percent of those limits that this extension may use.", &QUOTA_SHARE, 1, 100);
}

/// Calls in flight at once.
pub(super) fn concurrency() -> u32 {
    natural(&CONCURRENCY)
}

/// The limits and our share of them.
pub(super) fn limits() -> Limits {
    Limits {
        per_second: natural(&RATE_PER_SECOND),
        per_minute: natural(&RATE_PER_MINUTE),
        per_hour: natural(&RATE_PER_HOUR),
        share_percent: natural(&QUOTA_SHARE),
    }
}
