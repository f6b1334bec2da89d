//! The settings of the API: addresses, credentials and timeouts. Part of `pg::settings`; main thread only.

use std::sync::OnceLock;
use std::time::Duration;

use pgrx::guc::{GucFlags, GucSetting};

use super::define::{Text, duration, late, millis, or_environment, text, text_from};
use crate::domain::redact::Secret;

// These defaults come from the environment, which is read when the library is loaded.
static BASE_URL: OnceLock<&'static Text> = OnceLock::new();
static TOKEN_URL: OnceLock<&'static Text> = OnceLock::new();
// Null unless set: otherwise the environment is used, whose values must not appear in pg_settings.
static CLIENT_ID: Text = Text::new(None);
static CLIENT_SECRET: Text = Text::new(None);
static CONNECT_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(5_000);
static REQUEST_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(30_000);

/// Defines the settings of this file.
pub(super) fn init() {
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
    duration(
        c"guestly_sync.connect_timeout",
        c"Longest time to resolve the API's name and connect.",
        &CONNECT_TIMEOUT,
        1,
    );
    duration(c"guestly_sync.request_timeout", c"Longest time for one call.", &REQUEST_TIMEOUT, 1);
}

pub(super) fn base_url() -> String {
    late(&BASE_URL)
}

pub(super) fn token_url() -> String {
    late(&TOKEN_URL)
}

pub(super) fn connect_timeout() -> Duration {
    millis(&CONNECT_TIMEOUT)
}

pub(super) fn request_timeout() -> Duration {
    millis(&REQUEST_TIMEOUT)
}

/// Client id and secret, if there are both, and whether a setting gives one of them.
pub fn credentials() -> Option<(String, Secret, bool)> {
    let (id, secret) =
        (or_environment(&CLIENT_ID, "GUESTY_CLIENT_ID"), or_environment(&CLIENT_SECRET, "GUESTY_CLIENT_SECRET"));
    let set = CLIENT_ID.get().is_some() || CLIENT_SECRET.get().is_some();
    (!id.is_empty() && !secret.is_empty()).then(|| (id, Secret::new(secret), set))
}
