//! One mail as both transports get it. Built by `net::mail::send` on a sender thread. Must not import: pgrx.

use std::time::Duration;

use super::cancel::CancelHandle;
use super::message::Addresses;
use crate::domain::alert::Mail;

/// Most that a mail server or a mail service may send in one exchange, in bytes, TLS records included.
pub(super) const RESPONSE_LIMIT: usize = 64 * 1024;

/// A mail with everything that sending it needs, except the server.
pub(super) struct OutgoingMail<'a> {
    pub(super) addresses: &'a Addresses,
    pub(super) mail: &'a Mail,
    /// Identifies the mail: a retry has the same key.
    pub(super) key: &'a str,
    /// See [`super::settings::MailSettings::timeout`].
    pub(super) timeout: Duration,
    pub(super) cancel: &'a CancelHandle,
}
