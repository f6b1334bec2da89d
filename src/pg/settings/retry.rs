//! The settings of retries. Part of `pg::settings`; main thread only.

use pgrx::guc::GucSetting;

use super::define::{duration, millis, natural, number};
use crate::domain::retry::Backoff;
use crate::domain::transition::Policy;

// Outages use up no attempts, so eight attempts with growing pauses span about ten minutes.
static MAX_ATTEMPTS: GucSetting<i32> = GucSetting::<i32>::new(8);
static BACKOFF_BASE: GucSetting<i32> = GucSetting::<i32>::new(1_000);
static BACKOFF_MAX: GucSetting<i32> = GucSetting::<i32>::new(300_000);
// Guesty asks for 60 s between manipulating requests; reads were seen to lag by up to 75 s.
static SETTLE: GucSetting<i32> = GucSetting::<i32>::new(90_000);

/// Defines the settings of this file.
pub(super) fn init() {
    number(
        c"guestly_sync.max_attempts",
        c"Attempts before a transient problem becomes failed.",
        &MAX_ATTEMPTS,
        1,
        1_000,
    );
    duration(c"guestly_sync.backoff_base", c"Pause before the second attempt; doubles each time.", &BACKOFF_BASE, 1);
    duration(c"guestly_sync.backoff_max", c"Longest pause between attempts.", &BACKOFF_MAX, 1);
    duration(c"guestly_sync.settle", c"How long a look-up may find nothing before a create is repeated.", &SETTLE, 1);
}

pub(super) fn policy() -> Policy {
    Policy {
        backoff: Backoff { base: millis(&BACKOFF_BASE), max: millis(&BACKOFF_MAX) },
        max_attempts: natural(&MAX_ATTEMPTS),
        propagation_delay: millis(&SETTLE),
    }
}
