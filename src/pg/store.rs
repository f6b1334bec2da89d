//! Our own tables, one file a table: a named function for every statement on the schema `guestly`, with plain values as
//! parameters and results. Main thread only, inside a transaction of `pg::db::session`.
//!
//! | file | table |
//! |---|---|
//! | `queue.rs`, `queue/` | `queue`: claims, intents, outcomes |
//! | `reservations.rs` | `reservations`: the snapshots |
//! | `changes.rs` | `changes`: dirty bookings |
//! | `attempts.rs` | `attempts`: one row per call |
//! | `alerts.rs` | `alerts`: raised, waiting for mail, closed |
//! | `switches.rs` | `pause`, `installations`, version: the switches for sending |
//! | `sweep.rs` | results of the sweep, the baseline, and exclusions |
//! | `recovery.rs` | `queue` after a crash, a clock change or a promotion |
//! | `rules.rs` | `listings` and `status_map` |
//! | `worker_state.rs` | `worker`, `token`, `token_requests` |

pub mod alerts;
pub mod attempts;
pub mod changes;
pub mod queue;
pub mod recovery;
pub mod reservations;
pub mod rules;
pub mod sweep;
pub mod switches;
pub mod worker_state;

#[cfg(test)]
mod checks_tests;

/// Rows that one step of pruning deletes; the statements have the same number.
pub const PRUNE_STEP: usize = 1000;
