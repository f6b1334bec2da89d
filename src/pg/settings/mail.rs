//! The settings of alert mails. Part of `pg::settings`; main thread only.

use std::ffi::CStr;
use std::sync::OnceLock;
use std::time::Duration;

use pgrx::guc::{GucFlags, GucSetting};

use super::define::{Text, duration, late, millis, or_environment, text, text_from};
use crate::domain::redact::Secret;

static ADMIN_EMAIL: OnceLock<&'static Text> = OnceLock::new();
static ALERT_FROM: OnceLock<&'static Text> = OnceLock::new();
// Null unless set: their values in the environment must not appear in pg_settings.
static SMTP_URL: Text = Text::new(None);
static EMAIL_API_URL: Text = Text::new(None);
static EMAIL_API_KEY: Text = Text::new(None);
// Long enough to make one mail of a bad minute, short enough to act on.
static ALERT_DIGEST: GucSetting<i32> = GucSetting::<i32>::new(60_000);

/// Defines the settings of this file.
pub(super) fn init() {
    let from = |name: &'static CStr, about, slot: &'static OnceLock<&'static Text>, variable| {
        text_from(name, about, slot, variable, "");
    };
    from(c"guestly_sync.admin_email", c"Where alerts are mailed.", &ADMIN_EMAIL, "ADMIN_ALERT_EMAIL");
    from(c"guestly_sync.alert_from", c"Sender of alert mails.", &ALERT_FROM, "GUESTLY_ALERT_FROM");
    let secret = GucFlags::SUPERUSER_ONLY | GucFlags::NO_SHOW_ALL;
    text(c"guestly_sync.smtp_url", c"Mail server: smtp://, smtps://, with login.", &SMTP_URL, secret);
    let about = c"Address of an HTTP mail API (SendGrid or Resend).";
    text(c"guestly_sync.email_api_url", about, &EMAIL_API_URL, secret);
    text(c"guestly_sync.email_api_key", c"Key of the HTTP mail API.", &EMAIL_API_KEY, secret);
    duration(c"guestly_sync.alert_digest", c"How long alerts are collected into one mail.", &ALERT_DIGEST, 1);
}

/// Alert mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Recipients; empty if not set.
    pub to: String,
    /// Sender; defaults to the recipients.
    pub from: String,
    /// `smtp://…` or `smtps://…`; empty if not set.
    pub smtp_url: Secret,
    /// Address of an HTTP API; empty if not set.
    pub api_url: String,
    /// Its key.
    pub api_key: Secret,
    /// Alerts are collected for this long.
    pub digest: Duration,
}

impl Mail {
    /// The settings as they are now.
    pub fn load() -> Self {
        let (to, from) = (late(&ADMIN_EMAIL), late(&ALERT_FROM));
        Self {
            from: if from.is_empty() { to.clone() } else { from },
            to,
            smtp_url: Secret::new(or_environment(&SMTP_URL, "GUESTLY_SMTP_URL")),
            api_url: or_environment(&EMAIL_API_URL, "EMAIL_API_ENDPOINT"),
            api_key: Secret::new(or_environment(&EMAIL_API_KEY, "EMAIL_API_KEY")),
            digest: millis(&ALERT_DIGEST),
        }
    }

    /// True if mails can be sent.
    pub fn is_configured(&self) -> bool {
        !self.to.is_empty() && (!self.smtp_url.is_empty() || !self.api_url.is_empty())
    }
}
