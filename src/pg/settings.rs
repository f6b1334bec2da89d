//! The settings: every GUC of the extension, and one owned copy of them that the worker may hand to other threads.
//! `get()` panics off the main thread, so only the files of this module read GUCs.
//!
//! All are `sighup`: changed with ALTER SYSTEM and pg_reload_conf(), in force in the running worker at once. The server's
//! environment gives the defaults of some; a set GUC, whatever its value, overrides it.

mod define;
mod mail;
mod money;
mod quota;

use std::ffi::CString;
use std::sync::OnceLock;
use std::time::Duration;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

use crate::domain::rate_limiter::Limits;
use crate::domain::redact::Secret;
use crate::domain::retry::Backoff;
use crate::domain::transition::Policy;

use define::{duration, flag, number, text, text_from};
pub use mail::Mail;
pub use money::Money;

use mail::or_environment;

type Text = GucSetting<Option<CString>>;

// The defaults of these come from the environment, which is known when the library is loaded, not before.
static ENABLED: OnceLock<&'static GucSetting<bool>> = OnceLock::new();
static TEST_MODE: OnceLock<&'static GucSetting<bool>> = OnceLock::new();
static BASE_URL: OnceLock<&'static Text> = OnceLock::new();
static TOKEN_URL: OnceLock<&'static Text> = OnceLock::new();
static ENVIRONMENT: OnceLock<&'static Text> = OnceLock::new();

// Null unless set: else the environment counts, whose values must not appear in pg_settings.
static CLIENT_ID: Text = Text::new(None);
static CLIENT_SECRET: Text = Text::new(None);
// What payment providers call a successful payment.
static PAID_STATUSES: Text = Text::new(Some(c"paid, completed, succeeded"));
static CANCEL_ON_DELETE: GucSetting<bool> = GucSetting::<bool>::new(false);
static SOURCE: Text = Text::new(Some(c"website"));
// With the breaker holding outages apart, eight tries with growing pauses span about ten minutes.
static MAX_ATTEMPTS: GucSetting<i32> = GucSetting::<i32>::new(8);
static BACKOFF_BASE: GucSetting<i32> = GucSetting::<i32>::new(1_000);
static BACKOFF_MAX: GucSetting<i32> = GucSetting::<i32>::new(300_000);
static CONNECT_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(5_000);
static REQUEST_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(30_000);
// Guesty asks for 60 s between manipulating requests; reads were seen to lag by up to 75 s.
static SETTLE: GucSetting<i32> = GucSetting::<i32>::new(90_000);
static POLL_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(60_000);
static STALE_AFTER: GucSetting<i32> = GucSetting::<i32>::new(900_000);
// A real: 30 days in milliseconds do not fit an integer setting.
static LOG_RETENTION: GucSetting<f64> = GucSetting::<f64>::new(30.0 * 86_400_000.0);

/// Defines every setting. From `_PG_init`, in the postmaster or in a session that loads the library later.
pub fn init() {
    switches();
    credentials_and_words();
    quota::init();
    mail::init();
    money::init();
    pauses();
}

fn switches() {
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
        c"guestly_sync.base_url",
        c"Address of the Guesty Open API.",
        &BASE_URL,
        "GUESTLY_BASE_URL",
        "https://open-api.guesty.com/v1",
    );
    text_from(
        c"guestly_sync.token_url",
        c"Where access tokens are fetched.",
        &TOKEN_URL,
        "GUESTLY_TOKEN_URL",
        "https://open-api.guesty.com/oauth2/token",
    );
    text_from(
        c"guestly_sync.environment",
        c"A name for this server; a copy of the data under another name sends nothing.",
        &ENVIRONMENT,
        "GUESTLY_ENVIRONMENT",
        "",
    );
}

fn credentials_and_words() {
    let empty = GucFlags::default();
    let secret = GucFlags::SUPERUSER_ONLY | GucFlags::NO_SHOW_ALL;
    text(
        c"guestly_sync.client_id",
        c"Client id of the API key; better kept in Vault or the environment.",
        &CLIENT_ID,
        secret,
    );
    text(
        c"guestly_sync.client_secret",
        c"Client secret of the API key; better kept in Vault or the environment.",
        &CLIENT_SECRET,
        secret,
    );
    text(
        c"guestly_sync.paid_statuses",
        c"Payment statuses that mean paid, separated by commas.",
        &PAID_STATUSES,
        empty,
    );
    text(c"guestly_sync.source", c"Shown as the source of reservations in Guestly.", &SOURCE, empty);
}

fn pauses() {
    number(c"guestly_sync.max_attempts", c"Tries before a transient problem becomes failed.", &MAX_ATTEMPTS, 1, 1_000);
    duration(c"guestly_sync.backoff_base", c"Pause before the second try; doubles with each one.", &BACKOFF_BASE, 1);
    duration(c"guestly_sync.backoff_max", c"Longest pause between tries.", &BACKOFF_MAX, 1);
    duration(c"guestly_sync.connect_timeout", c"Longest time to find and reach the API.", &CONNECT_TIMEOUT, 1);
    duration(c"guestly_sync.request_timeout", c"Longest time for one call.", &REQUEST_TIMEOUT, 1);
    duration(c"guestly_sync.settle", c"How long a look-up may find nothing before a create is repeated.", &SETTLE, 1);
    duration(
        c"guestly_sync.poll_interval",
        c"Time between two looks for bookings that no trigger queued.",
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

/// An owned copy of the settings that the worker needs, taken at start and after each reload.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Sends at all.
    pub enabled: bool,
    /// Does everything but the calls.
    pub test_mode: bool,
    /// Address of the API.
    pub base_url: String,
    /// Where tokens are fetched.
    pub token_url: String,
    /// A deleted booking is cancelled.
    pub cancel_on_delete: bool,
    /// Guestly's `source`.
    pub source: String,
    /// Calls in flight at once.
    pub concurrency: u32,
    /// The quota.
    pub limits: Limits,
    /// Retries.
    pub policy: Policy,
    /// Until the API is reached.
    pub connect_timeout: Duration,
    /// For one call.
    pub request_timeout: Duration,
    /// Between two sweeps.
    pub poll_interval: Duration,
    /// Age of `guestly.attempts`.
    pub log_retention: Duration,
    /// Age at which an unsent booking is an alert.
    pub stale_after: Duration,
    /// Alert mails.
    pub mail: Mail,
    /// Payments and prices.
    pub money: Money,
}

impl Settings {
    /// The settings as they are now.
    pub fn load() -> Self {
        let natural = |setting: &GucSetting<i32>| u32::try_from(setting.get()).unwrap_or_default();
        let millis = |setting: &GucSetting<i32>| Duration::from_millis(natural(setting).into());
        Self {
            enabled: ENABLED.get().is_some_and(|setting| setting.get()),
            test_mode: TEST_MODE.get().is_some_and(|setting| setting.get()),
            base_url: late(&BASE_URL),
            token_url: late(&TOKEN_URL),
            cancel_on_delete: CANCEL_ON_DELETE.get(),
            source: string(&SOURCE),
            concurrency: quota::concurrency(),
            limits: quota::limits(),
            policy: Policy {
                backoff: Backoff { base: millis(&BACKOFF_BASE), max: millis(&BACKOFF_MAX) },
                max_attempts: natural(&MAX_ATTEMPTS),
                propagation_delay: millis(&SETTLE),
            },
            connect_timeout: millis(&CONNECT_TIMEOUT),
            request_timeout: millis(&REQUEST_TIMEOUT),
            poll_interval: millis(&POLL_INTERVAL),
            log_retention: Duration::from_millis(LOG_RETENTION.get() as u64),
            stale_after: stale_after(),
            mail: Mail::load(),
            money: Money::load(),
        }
    }
}

/// The payment statuses that mean paid, in lower case: case does not count.
pub fn paid_statuses() -> Vec<String> {
    split(&paid_list().to_ascii_lowercase())
}

/// The same, as it was written.
pub fn paid_list() -> String {
    string(&PAID_STATUSES)
}

/// The words of a list setting.
pub fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The age at which an unsent paid booking is a warning.
pub fn stale_after() -> Duration {
    Duration::from_millis(u64::try_from(STALE_AFTER.get()).unwrap_or_default())
}

/// Name of this server, empty if none was given.
pub fn environment() -> String {
    late(&ENVIRONMENT)
}

/// Client id and secret, if there are both, and whether a setting gives one of them.
pub fn credentials() -> Option<(String, Secret, bool)> {
    let (id, secret) =
        (or_environment(&CLIENT_ID, "GUESTY_CLIENT_ID"), or_environment(&CLIENT_SECRET, "GUESTY_CLIENT_SECRET"));
    let set = CLIENT_ID.get().is_some() || CLIENT_SECRET.get().is_some();
    (!id.is_empty() && !secret.is_empty()).then(|| (id, Secret::new(secret), set))
}

fn string(setting: &Text) -> String {
    setting.get().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

fn late(slot: &OnceLock<&'static Text>) -> String {
    slot.get().map(|setting| string(setting)).unwrap_or_default()
}
