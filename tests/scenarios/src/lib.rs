//! Support for the scenario tests in `tests/scenarios/tests`: real PostgreSQL servers with the extension, the host
//! application's tables with invented bookings, and the Guestly simulator. Only tests call it, from their own
//! threads. It must not import the extension's crate: a scenario sees the product as a user does, from outside.
//!
//! Everything here panics with a plain sentence when it cannot do its work.

pub mod assertions;
mod certificate;
pub mod cluster;
mod database;
mod endless_mail_server;
mod folder;
mod helper;
pub mod host;
pub mod mail_parsing;
mod mail_service;
mod mailbox;
mod options;
mod pool;
pub mod process;
mod program;
pub mod sim;
mod site;
mod tls_proxy;
pub mod tools;
pub mod wait;
mod worker;

pub use certificate::Certificate;
pub use cluster::{Cluster, StopMode};
pub use database::Database;
pub use endless_mail_server::EndlessMailServer;
pub use mail_parsing::Mail;
pub use mail_service::{MailService, Posted};
pub use mailbox::Mailbox;
pub use options::Options;
pub use pool::Pool;
pub use sim::Sim;
pub use site::{AT_ONCE, CLOSED_PORT, SOON, Site};
pub use tls_proxy::TlsProxy;
pub use wait::{pass, wait_until};
