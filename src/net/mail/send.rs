//! Checks the mail settings, and sends one mail. `check` is called on the worker's main thread, `send` on a sender thread.
//! Must not import: pgrx.

use super::api::{self, MailApi};
use super::cancel::{CANCELLED, CancelHandle};
use super::message::Addresses;
use super::outcome::MailOutcome;
use super::outgoing::OutgoingMail;
use super::settings::MailSettings;
use super::smtp;
use super::smtp_url::SmtpServer;
use crate::domain::alert::Mail;
use crate::domain::redact::{clean, mask};

/// Longest answer that is kept, in characters.
const MAX_ANSWER: usize = 300;

/// Settings that were checked.
struct Validated {
    route: Route,
    addresses: Addresses,
}

enum Route {
    Smtp(SmtpServer),
    Api(MailApi),
}

/// Checks the settings without connecting to a server.
///
/// # Errors
///
/// A sentence that names the setting and contains no secret.
pub fn check(settings: &MailSettings) -> Result<(), String> {
    validate(settings).map(drop)
}

/// Sends the mail once and blocks until it ends, for about the timeout of the settings or until `cancel` is used. `key`
/// identifies the mail: it becomes the Message-ID, so that a duplicate can be recognised.
pub(super) fn send(settings: &MailSettings, mail: &Mail, key: &str, cancel: &CancelHandle) -> MailOutcome {
    if cancel.is_cancelled() {
        return MailOutcome::Unreachable { why: CANCELLED.to_owned(), maybe_sent: false };
    }
    let Validated { route, addresses } = match validate(settings) {
        Ok(validated) => validated,
        Err(answer) => return MailOutcome::Refused { permanent: true, answer },
    };
    let outgoing = OutgoingMail { addresses: &addresses, mail, key, timeout: settings.timeout, cancel };
    let (outcome, secrets) = match &route {
        Route::Smtp(server) => (smtp::send(server, &outgoing), vec![settings.smtp_url.reveal(), server.password()]),
        Route::Api(api) => (api::send(api, &outgoing), vec![settings.email_api_key.reveal()]),
    };
    outcome.map_text(|text| clean(&mask(text, &secrets), MAX_ANSWER))
}

fn validate(settings: &MailSettings) -> Result<Validated, String> {
    let addresses = Addresses::parse(&settings.from, &settings.to)?;
    if settings.timeout.is_zero() {
        return Err("the timeout must be greater than zero".to_owned());
    }
    let route = if !settings.smtp_url.is_empty() {
        Route::Smtp(SmtpServer::parse(settings.smtp_url.reveal())?)
    } else if !settings.email_api_url.is_empty() {
        Route::Api(MailApi::new(&settings.email_api_url, &settings.email_api_key)?)
    } else {
        return Err("neither smtp_url nor email_api_url is set".to_owned());
    };
    Ok(Validated { route, addresses })
}
