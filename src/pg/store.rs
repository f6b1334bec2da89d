//! Our own tables, one file a table: every statement on the schema `guestly`, by name. Rows go in and come out as plain
//! values. Main thread only, inside a transaction of `pg::db::session`.
//!
//! | file | table |
//! |---|---|
//! | `queue.rs`, `queue/` | `queue`: claims, intents, outcomes |
//! | `reservations.rs` | `reservations`: what Guestly is known to hold |
//! | `changes.rs` | `changes`: bookings whose data changed |
//! | `attempts.rs` | `attempts`: one row per call |
//! | `alerts.rs` | `alerts`: raised, waiting for mail, closed |
//! | `switches.rs` | `pause`, `installations`, version: may this server send |
//! | `sweep.rs` | what the sweep found, and what it leaves alone |
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

/// Rows that one step of pruning deletes; the statements say the same number.
pub const PRUNE_STEP: usize = 1000;
