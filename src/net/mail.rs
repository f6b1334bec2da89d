//! Sends one mail and says what the server answered: by SMTP, or through the HTTP API of a mail service.
//!
//! Settings are made by the worker's main thread; `send` runs on a sender thread of `net::pool` (see `post`), never inside
//! a transaction. Nothing is sent twice by itself. Must not import: pgrx.

mod api;
mod guard;
mod hangup;
mod message;
mod post;
mod relay;
mod smtp;

use std::time::Duration;

use crate::domain::alert::Mail;
use crate::domain::redact::{Secret, clean, mask};

pub use hangup::Hangup;
pub use post::PostOffice;

use self::api::Service;
use self::guard::ABANDONED;
use self::message::Addresses;
use self::relay::Relay;

/// Characters of an answer that are kept.
const ANSWER: usize = 300;

/// How mail leaves. With both ways set, SMTP is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailSettings {
    /// `smtps://login:password@host`, or `smtp://…`, which needs STARTTLS unless the host is this machine.
    /// Percent-encoded; `?tls=required` asks for STARTTLS here too, `?tls=none` does without it (this machine only).
    pub smtp_url: Secret,
    /// `https://…/v3/mail/send` (the request of SendGrid) or `https://…/emails` (that of Resend).
    pub email_api_url: String,
    /// The key of that service.
    pub email_api_key: Secret,
    /// The sender, `alerts@example.org` or `Alerts <alerts@example.org>`.
    pub from: String,
    /// One or more recipients, separated by commas.
    pub to: String,
    /// The longest that sending may take. The look-up of the mail server's name is the system's and comes on top.
    pub timeout: Duration,
}

/// How sending ended. Texts are plain words without a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailOutcome {
    /// The server has taken it.
    Accepted {
        /// What it said.
        answer: String,
    },
    /// The server, or a look at the settings, says no; certainly nothing was taken.
    Refused {
        /// Trying again is of no use before somebody changes the settings or the mailbox.
        permanent: bool,
        /// What it said, or what is wrong.
        answer: String,
    },
    /// No answer.
    Unreachable {
        /// What happened.
        why: String,
        /// The mail had left when the connection broke: it may arrive. Send it again under the same id.
        maybe_sent: bool,
    },
}

/// Settings that make sense.
struct Ready {
    route: Route,
    addresses: Addresses,
}

enum Route {
    Smtp(Relay),
    Api(Service),
}

/// Looks at the settings without calling anybody.
///
/// # Errors
///
/// What is wrong, with the setting's name and without a secret.
pub fn check(settings: &MailSettings) -> Result<(), String> {
    ready(settings).map(drop)
}

/// Sends the mail once and waits for the end, about `timeout` at most, or until `hangup` is used. `key` names the mail: it
/// becomes the Message-ID, so that a second copy can be recognised.
pub fn send(settings: &MailSettings, mail: &Mail, key: &str, hangup: &Hangup) -> MailOutcome {
    if hangup.is_over() {
        return MailOutcome::Unreachable { why: ABANDONED.to_owned(), maybe_sent: false };
    }
    let ready = match ready(settings) {
        Ok(ready) => ready,
        Err(answer) => return MailOutcome::Refused { permanent: true, answer },
    };
    let outcome = match &ready.route {
        Route::Smtp(relay) => smtp::send(relay, &ready.addresses, mail, key, settings.timeout, hangup),
        Route::Api(service) => api::send(service, &ready.addresses, mail, key, settings.timeout, hangup),
    };
    let secrets = match &ready.route {
        Route::Smtp(relay) => vec![settings.smtp_url.reveal(), relay.password()],
        Route::Api(_) => vec![settings.email_api_key.reveal()],
    };
    let tidy = |text: &str| clean(&mask(text, &secrets), ANSWER);
    match outcome {
        MailOutcome::Accepted { answer } => MailOutcome::Accepted { answer: tidy(&answer) },
        MailOutcome::Refused { permanent, answer } => MailOutcome::Refused { permanent, answer: tidy(&answer) },
        MailOutcome::Unreachable { why, maybe_sent } => MailOutcome::Unreachable { why: tidy(&why), maybe_sent },
    }
}

fn ready(settings: &MailSettings) -> Result<Ready, String> {
    let addresses = Addresses::parse(&settings.from, &settings.to)?;
    if settings.timeout.is_zero() {
        return Err("the time-out must be longer than nothing".to_owned());
    }
    let route = if !settings.smtp_url.is_empty() {
        Route::Smtp(Relay::parse(settings.smtp_url.reveal())?)
    } else if !settings.email_api_url.is_empty() {
        Route::Api(Service::new(&settings.email_api_url, &settings.email_api_key)?)
    } else {
        return Err("neither smtp_url nor email_api_url is set".to_owned());
    };
    Ok(Ready { route, addresses })
}

#[cfg(test)]
#[path = "mail/smtp_tests.rs"]
mod smtp_tests;

#[cfg(test)]
#[path = "mail/api_tests.rs"]
mod api_tests;

#[cfg(test)]
#[path = "mail/fake_smtp.rs"]
mod fake_smtp;
