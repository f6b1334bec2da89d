//! The settings: every GUC of the extension, one file a theme, and one owned copy of them that the worker may hand to other
//! threads. `get()` panics off the main thread, so only the files of this module read GUCs.
//!
//! All are `sighup`: changed with ALTER SYSTEM and pg_reload_conf(), in force in the running worker at once. The server's
//! environment gives the defaults of some; a set GUC, whatever its value, overrides it.
//!
//! | file | settings |
//! |---|---|
//! | `sending.rs` | what is sent, and when the worker looks for it |
//! | `api.rs` | addresses, credentials and timeouts |
//! | `limits.rs` | concurrency and rate limits |
//! | `retry.rs` | attempts, backoff and propagation delay |
//! | `mail.rs` | alert mails |
//! | `payments.rs` | recorded payments and price differences |
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

/// Defines every setting. From `_PG_init`, in the postmaster or in a session that loads the library later.
pub fn init() {
    sending::init();
    api::init();
    limits::init();
    retry::init();
    mail::init();
    payments::init();
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
    /// The rate limits.
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
