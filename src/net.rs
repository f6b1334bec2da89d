//! The network side: HTTP and SMTP on sender threads.
//!
//! | file | contents |
//! |---|---|
//! | `net/client.rs` | sends one request to Guestly and returns one reply |
//! | `net/transport.rs` | detects when the first byte of a request leaves |
//! | `net/dns_cache.rs` | caches host names |
//! | `net/answer.rs` | turns an HTTP response into a plain value |
//! | `net/url.rs` | checks which URLs may be called |
//! | `net/error_text.rs` | ureq's errors in plain words |
//! | `net/tls_roots.rs` | root certificates that TLS trusts |
//! | `net/spawn.rs` | starts a thread with all signals blocked |
//! | `net/pool.rs` | the sender threads as the worker uses them |
//! | `net/pool/state.rs`, `net/pool/threads.rs` | queues behind the lock, and the loop of a thread |
//! | `net/mail.rs` | entry point for mail; the parts are listed there |
//!
//! Rule for these threads: they own what they use. Nothing here calls Postgres or reads a setting; requests arrive and replies
//! leave as plain values. The only way a thread affects the worker is the `wake` function that the worker passed in. Every
//! thread has all signals blocked (`crate::sys`), and a panic while sending becomes a reply.
//!
//! May import `crate::domain` and `crate::sys`; must not import pgrx.

mod answer;
pub mod client;
mod dns_cache;
mod error_text;
pub mod mail;
pub mod pool;
mod spawn;
pub mod tls_roots;
mod transport;
mod url;

#[cfg(test)]
mod test_server;
