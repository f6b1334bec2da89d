//! Records outcomes: queue row, reservation, the booking's five columns and the log, in one short transaction for all outcomes
//! that have arrived. Called by `pg::worker::cycle`, `pg::worker::shutdown` and `pg::claim`; main thread only.
//!
//! The bookings are locked first, then the queue rows, both with SKIP LOCKED: neither a sale nor the worker waits for the other.
//! An outcome that cannot be written yet stays in memory and is retried until it commits.

mod alerts;
pub mod at_exit;
mod ids;
mod record;
mod retry;
mod rows;
mod write_retries;

pub use record::take_success;
pub use retry::{record_all, record_one};
pub use rows::{Deleted, OutcomeRows};
pub use write_retries::{Access, WriteRetries};
