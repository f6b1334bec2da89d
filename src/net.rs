//! The network side: HTTP on sender threads.
//!
//! | file | what is in it |
//! |---|---|
//! | `net/client.rs` | one request, one reply |
//! | `net/pool.rs` | the sender threads, from outside |
//! | `net/pool/crew.rs` | the same from inside |
//! | `net/transport.rs` | which requests were certainly never sent; names without a thread per call |
//! | `net/answer.rs` | reading an answer into a plain value |
//! | `net/mail.rs` | one mail, one outcome, by SMTP or HTTP |
//! | `net/mail/api.rs` | the requests of SendGrid and Resend |
//! | `net/mail/smtp.rs`, `net/mail/relay.rs` | SMTP by lettre, and where it leads |
//! | `net/mail/guard.rs`, `net/mail/hangup.rs` | limits of one SMTP conversation, and ending one from another thread |
//! | `net/mail/message.rs` | MIME |
//! | `net/mail/post.rs` | mails through the sender threads |
//! | `net/roots.rs` | which certificates TLS trusts |
//! | `net/url.rs` | which addresses may be called |
//! | `net/words.rs` | ureq's errors in plain words |
//!
//! The law of these threads: they own what they touch. Nothing here calls Postgres or reads a
//! setting; requests come in as plain values and replies go out as plain values. The one thing a
//! thread may do to the worker is the `wake` function it was given. Every thread has all signals
//! blocked (`crate::sys`), and a panic in a job becomes a reply.
//!
//! May import `crate::domain` and `crate::sys`; must not import pgrx.

mod answer;
pub mod client;
pub mod mail;
pub mod pool;
pub mod roots;
mod transport;
mod url;
mod words;

#[cfg(test)]
mod test_server;
