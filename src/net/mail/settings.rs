//! Settings for sending mail. Built on the worker's main thread. Must not import: pgrx.

use std::time::Duration;

use crate::domain::redact::Secret;

/// The way to send mail. If both a mail server and an API are set, SMTP is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailSettings {
    /// `smtps://user:password@host`, or `smtp://…`, which requires STARTTLS unless the host is a loopback address.
    /// Percent-encoded. For a loopback address, `?tls=required` requires STARTTLS and `?tls=none` disables it.
    pub smtp_url: Secret,
    /// `https://…/v3/mail/send` (SendGrid's request) or `https://…/emails` (Resend's).
    pub email_api_url: String,
    /// The API key of that service.
    pub email_api_key: Secret,
    /// The sender, `alerts@example.org` or `Alerts <alerts@example.org>`.
    pub from: String,
    /// One or more recipients, separated by commas.
    pub to: String,
    /// Limit for sending one mail. With SMTP, the lookup of the mail server's name is not included.
    pub timeout: Duration,
}
