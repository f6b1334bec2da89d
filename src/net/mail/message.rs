//! Addresses and MIME of a mail. Called by `net::mail::send` and the transports, on a sender thread or, when the settings are
//! checked, on the worker's main thread. Must not import: pgrx.

use lettre::message::header::{Header, HeaderName, HeaderValue, To};
use lettre::message::{Mailbox, Mailboxes, MultiPart};
use lettre::{Address, Message};

use crate::domain::alert::Mail;
use crate::domain::redact::clean;

/// Sender and recipients.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) from: Mailbox,
    /// Never empty.
    pub(super) to: Vec<Mailbox>,
}

impl Addresses {
    /// Parses the settings `alert_from` and `admin_email`. An error is a sentence that names the setting.
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
        let is_ascii = |mailbox: &Mailbox| AsRef::<str>::as_ref(&mailbox.email).is_ascii();
        if !is_ascii(&from) {
            return Err("alert_from must be an ASCII address".to_owned());
        }
        if !to.iter().all(is_ascii) {
            return Err("admin_email must contain only ASCII addresses".to_owned());
        }
        Ok(Self { from, to })
    }

    pub(super) fn recipients(&self) -> impl Iterator<Item = &Address> {
        self.to.iter().map(|mailbox| &mailbox.email)
    }
}

/// Prevents out-of-office replies.
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

/// Formats the mail as MIME with a text and an HTML part, in ASCII lines. An error is a sentence; none is known to be possible.
pub(super) fn mime(addresses: &Addresses, mail: &Mail, key: &str) -> Result<Vec<u8>, String> {
    let to: Mailboxes = addresses.to.iter().cloned().collect();
    let message = Message::builder()
        .from(addresses.from.clone())
        .mailbox(To::from(to))
        .subject(subject(mail))
        .message_id(Some(format!("<{}@{}>", sanitize_key(key), addresses.from.email.domain())))
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
        .map_err(|error| format!("the mail could not be formatted: {error}"))?;
    Ok(message.formatted())
}

/// The subject as a single line of at most 200 characters.
pub(super) fn subject(mail: &Mail) -> String {
    clean(&mail.subject, 200)
}

/// Replaces everything that is not allowed in a Message-ID or in an idempotency key; at most 120 characters.
pub(super) fn sanitize_key(key: &str) -> String {
    let replace = |char: char| if char.is_ascii_alphanumeric() || char == '-' { char } else { '-' };
    key.chars().take(120).map(replace).collect()
}
