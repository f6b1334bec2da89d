//! The settings that decide what is sent, and when. Part of `pg::settings`; main thread only.

use std::sync::OnceLock;
use std::time::Duration;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

use super::define::{Text, duration, flag, late, millis, string, text, text_from};

// These defaults come from the environment, which is read when the library is loaded.
static ENABLED: OnceLock<&'static GucSetting<bool>> = OnceLock::new();
static TEST_MODE: OnceLock<&'static GucSetting<bool>> = OnceLock::new();
static ENVIRONMENT: OnceLock<&'static Text> = OnceLock::new();
// The names that payment providers give to a successful payment.
static PAID_STATUSES: Text = Text::new(Some(c"paid, completed, succeeded"));
static CANCEL_ON_DELETE: GucSetting<bool> = GucSetting::<bool>::new(false);
static SOURCE: Text = Text::new(Some(c"website"));
static POLL_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(60_000);
static STALE_AFTER: GucSetting<i32> = GucSetting::<i32>::new(900_000);
// A float, because 30 days in milliseconds exceed an integer setting.
static LOG_RETENTION: GucSetting<f64> = GucSetting::<f64>::new(30.0 * 86_400_000.0);

/// Defines the settings of this file.
pub(super) fn init() {
    flag(
        c"guestly_sync.enabled",
        c"Sends paid bookings to Guestly; off: they are queued and wait.",
        &ENABLED,
        "GUESTLY_SYNC_ENABLED",
    );
    flag(c"guestly_sync.test_mode", c"Does everything but the HTTP calls.", &TEST_MODE, "GUESTLY_TEST_MODE");
    GucRegistry::define_bool_guc(
        c"guestly_sync.cancel_on_delete",
        c"Cancels the reservation of a booking whose row is deleted; off: an alert says so, and Guestly keeps it.",
        c"",
        &CANCEL_ON_DELETE,
        GucContext::Sighup,
        GucFlags::default(),
    );
    text_from(
        c"guestly_sync.environment",
        c"A name for this server; a copy of the data under another name sends nothing.",
        &ENVIRONMENT,
        "GUESTLY_ENVIRONMENT",
        "",
    );
    let shown = GucFlags::default();
    text(
        c"guestly_sync.paid_statuses",
        c"Payment statuses that mean paid, separated by commas.",
        &PAID_STATUSES,
        shown,
    );
    text(c"guestly_sync.source", c"Shown as the source of reservations in Guestly.", &SOURCE, shown);
    duration(
        c"guestly_sync.poll_interval",
        c"Time between two sweeps for bookings that no trigger queued.",
        &POLL_INTERVAL,
        100,
    );
    duration(c"guestly_sync.stale_after", c"A paid booking unsent for this long is a warning.", &STALE_AFTER, 1);
    GucRegistry::define_float_guc(
        c"guestly_sync.log_retention",
        c"How long guestly.attempts is kept.",
        c"",
        &LOG_RETENTION,
        60_000.0,
        1e15,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
}

pub(super) fn enabled() -> bool {
    ENABLED.get().is_some_and(|setting| setting.get())
}

pub(super) fn test_mode() -> bool {
    TEST_MODE.get().is_some_and(|setting| setting.get())
}

pub(super) fn cancel_on_delete() -> bool {
    CANCEL_ON_DELETE.get()
}

pub(super) fn source() -> String {
    string(&SOURCE)
}

pub(super) fn poll_interval() -> Duration {
    millis(&POLL_INTERVAL)
}

pub(super) fn log_retention() -> Duration {
    Duration::from_millis(LOG_RETENTION.get() as u64)
}

/// The payment statuses that mean paid, in lower case.
pub fn paid_statuses() -> Vec<String> {
    split(&paid_list().to_ascii_lowercase())
}

/// The same list as one text, as it is set.
pub fn paid_list() -> String {
    string(&PAID_STATUSES)
}

/// The words of a list setting.
pub fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The age at which an unsent paid booking is a warning.
pub fn stale_after() -> Duration {
    millis(&STALE_AFTER)
}

/// Name of this server; empty if not set.
pub fn environment() -> String {
    late(&ENVIRONMENT)
}
