//! Support for the scenario tests in `tests/scenarios/tests`: real PostgreSQL servers with the extension, the host
//! application's tables with invented bookings, and the Guestly simulator. Only tests call it, from their own
//! threads. It must not import the extension's crate: a scenario sees the product as a user does, from outside.
//!
//! Everything here panics with a plain sentence when it cannot do its work: a test has nothing better to do.

mod bad_mail;
mod certificate;
pub mod cluster;
mod database;
mod folder;
mod front;
mod helper;
pub mod host;
pub mod letter;
mod mailbox;
mod options;
pub mod process;
mod program;
pub mod sim;
mod sink;
mod site;
pub mod story;
pub mod tools;
pub mod wait;
mod worker;

pub use bad_mail::BadMail;
pub use certificate::Certificate;
pub use cluster::{Cluster, StopMode};
pub use database::Database;
pub use front::Front;
pub use letter::Letter;
pub use mailbox::Mailbox;
pub use options::Options;
pub use sim::Sim;
pub use sink::{Posted, Sink};
pub use site::{AT_ONCE, NOBODY, SOON, Site};
pub use wait::{pass, wait_until};
