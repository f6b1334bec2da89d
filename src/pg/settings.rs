//! The settings: every GUC of the extension, one file a theme, and an owned copy of them that the worker may give to other
//! threads. `get()` panics on other threads, so only the files of this module read GUCs. Used by all of `pg`; main thread only.
//!
//! All are `sighup`: changed with ALTER SYSTEM and pg_reload_conf(), they take effect in the running worker at once. Some
//! defaults come from the server's environment; a GUC that is set, to whatever value, overrides them.
//!
//! | file | settings |
//! |---|---|
//! | `sending.rs` | what is sent, and when |
//! | `api.rs` | addresses, credentials and timeouts |
//! | `limits.rs` | concurrency and rate limits |
//! | `retry.rs` | attempts, backoff and propagation delay |
//! | `mail.rs` | alert mails |
//! | `payments.rs` | the recording of payments, and price differences |
//! | `define.rs` | one function for each kind of setting |

mod api;
mod define;
mod limits;
mod mail;
mod payments;
mod retry;
mod sending;

use std::time::Duration;

use crate::domain::rate_limiter::Limits;
use crate::domain::transition::Policy;

pub use api::credentials;
pub use mail::Mail;
pub use payments::PaymentSettings;
pub use sending::{environment, paid_list, paid_statuses, split, stale_after};

/// Defines every setting. Called by `_PG_init`, in the postmaster or in a session that loads the library later.
pub fn init() {
    sending::init();
    api::init();
    limits::init();
    retry::init();
    mail::init();
    payments::init();
}

/// An owned copy of the settings that the worker needs, loaded at start and after each reload.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Paid bookings are sent.
    pub enabled: bool,
    /// Everything is done except the calls.
    pub test_mode: bool,
    /// Address of the API.
    pub base_url: String,
    /// Where tokens are fetched.
    pub token_url: String,
    /// The reservation of a deleted booking is cancelled.
    pub cancel_on_delete: bool,
    /// Guestly's `source`.
    pub source: String,
    /// Calls in flight at once.
    pub concurrency: u32,
    /// The rate limits.
    pub limits: Limits,
    /// Retries.
    pub policy: Policy,
    /// Limit for connecting to the API.
    pub connect_timeout: Duration,
    /// Limit for one call.
    pub request_timeout: Duration,
    /// Interval between two sweeps.
    pub poll_interval: Duration,
    /// Age at which rows of `guestly.attempts` are deleted.
    pub log_retention: Duration,
    /// Age at which an unsent booking raises an alert.
    pub stale_after: Duration,
    /// Alert mails.
    pub mail: Mail,
    /// Payments and prices.
    pub payments: PaymentSettings,
}

impl Settings {
    /// The settings as they are now.
    pub fn load() -> Self {
        Self {
            enabled: sending::enabled(),
            test_mode: sending::test_mode(),
            base_url: api::base_url(),
            token_url: api::token_url(),
            cancel_on_delete: sending::cancel_on_delete(),
            source: sending::source(),
            concurrency: limits::concurrency(),
            limits: limits::limits(),
            policy: retry::policy(),
            connect_timeout: api::connect_timeout(),
            request_timeout: api::request_timeout(),
            poll_interval: sending::poll_interval(),
            log_retention: sending::log_retention(),
            stale_after: stale_after(),
            mail: Mail::load(),
            payments: PaymentSettings::load(),
        }
    }
}
