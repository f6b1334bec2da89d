//! A mail as it goes over the wire: addresses and MIME. Called by `net::mail`, on a sender thread or, when
//! the settings are looked at, on the main thread. Must not import: pgrx.

use lettre::message::header::{Header, HeaderName, HeaderValue, To};
use lettre::message::{Mailbox, Mailboxes, MultiPart};
use lettre::{Address, Message};

use crate::domain::alert::Mail;
use crate::domain::redact::clean;

/// Who writes to whom.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) from: Mailbox,
    /// At least one.
    pub(super) to: Vec<Mailbox>,
}

impl Addresses {
    /// Reads both settings. Errors name the setting.
    pub(super) fn parse(from: &str, to: &str) -> Result<Self, String> {
        let from: Mailbox =
            from.trim().parse().map_err(|_| "alert_from is not an e-mail address, or is empty".to_owned())?;
        let to: Mailboxes = to
            .trim()
            .trim_end_matches(',')
            .parse()
            .map_err(|_| "admin_email is not a list of e-mail addresses, or is empty".to_owned())?;
        let to: Vec<Mailbox> = to.into();
        if to.is_empty() {
            return Err("admin_email is empty".to_owned());
        }
        let plain = |mailbox: &Mailbox| AsRef::<str>::as_ref(&mailbox.email).is_ascii();
        if !plain(&from) {
            return Err("alert_from must be an address written in ASCII".to_owned());
        }
        if !to.iter().all(plain) {
            return Err("admin_email must hold addresses written in ASCII".to_owned());
        }
        Ok(Self { from, to })
    }

    /// The addresses of the recipients.
    pub(super) fn recipients(&self) -> impl Iterator<Item = &Address> {
        self.to.iter().map(|mailbox| &mailbox.email)
    }
}

/// Keeps holiday replies and the like away.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// The mail in MIME, both parts, lines of ASCII. Errors in plain words; none is known to be possible.
pub(super) fn mime(addresses: &Addresses, mail: &Mail, key: &str) -> Result<Vec<u8>, String> {
    let to: Mailboxes = addresses.to.iter().cloned().collect();
    let message = Message::builder()
        .from(addresses.from.clone())
        .mailbox(To::from(to))
        .subject(subject(mail))
        .message_id(Some(format!("<{}@{}>", id(key), addresses.from.email.domain())))
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
        .map_err(|error| format!("the mail cannot be written: {error}"))?;
    Ok(message.formatted())
}

/// One line, whatever came in.
pub(super) fn subject(mail: &Mail) -> String {
    clean(&mail.subject, 200)
}

/// What may stand in a Message-ID and in an idempotency key.
pub(super) fn id(key: &str) -> String {
    let fit = |char: char| if char.is_ascii_alphanumeric() || char == '-' { char } else { '-' };
    key.chars().take(120).map(fit).collect()
}
