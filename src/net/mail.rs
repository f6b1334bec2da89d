//! Mail, by SMTP or through the HTTP API of a mail service. This file only names the parts.
//!
//! | file | contents |
//! |---|---|
//! | `mail/settings.rs`, `mail/outcome.rs` | how mail is sent, and how sending ended |
//! | `mail/send.rs` | checks the settings and sends one mail |
//! | `mail/queue.rs` | mails on the sender threads of `net::pool` |
//! | `mail/cancel.rs` | cancels a mail from another thread |
//! | `mail/message.rs` | addresses and MIME |
//! | `mail/outgoing.rs` | one mail as the two transports get it |
//! | `mail/api.rs` | the requests of SendGrid and Resend |
//! | `mail/smtp.rs`, `mail/smtp_url.rs` | an SMTP session with lettre, and the server that it goes to |
//! | `mail/smtp/proxy.rs` | byte limit, deadline and cancellation of an SMTP session |
//!
//! Settings are built on the worker's main thread; `send` runs on a sender thread, never inside a transaction. Nothing is sent
//! twice without being asked. Must not import: pgrx.

mod api;
mod cancel;
mod message;
mod outcome;
mod outgoing;
mod queue;
mod send;
mod settings;
mod smtp;
mod smtp_url;

pub use self::outcome::MailOutcome;
pub use self::queue::MailQueue;
pub use self::send::check;
pub use self::settings::MailSettings;

#[cfg(test)]
mod api_tests;
#[cfg(test)]
mod fake_smtp;
#[cfg(test)]
mod message_tests;
#[cfg(test)]
mod smtp_tests;
