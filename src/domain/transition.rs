//! The state machine: the next state of a queued booking after a call. Pure, and the only place that decides whether a
//! create may be repeated. Called by `pg::job` for each outcome; any thread.
//!
//! | file | contents |
//! |---|---|
//! | `transition/create.rs` | the decision after a create |
//! | `transition/look_up.rs` | the decision after a look-up by confirmation code |
//! | `transition/change.rs` | the decision after a change of an existing reservation, a payment, a read-back |
//! | `transition/reads.rs` | the decision after a failed read, or if a reservation is not found |
//! | `transition/snapshot_update.rs` | the facts that a call proves about the reservation |
//! | `transition/case.rs` | the types, and `after_pause`, the pause between attempts |

use super::operation::Operation;
use super::snapshot::RemoteReservation;

mod case;
mod change;
mod create;
mod look_up;
mod reads;
mod snapshot_update;

pub use case::{Case, Moment, Policy, Transition};
pub use snapshot_update::{SnapshotUpdate, snapshot_update};

/// The next state after a create or a look-up. Total: every outcome of every operation has an answer.
#[must_use]
pub fn next(case: &Case) -> Transition {
    match case.row.operation {
        Operation::LookUp => look_up::after_look_up(case),
        _ => create::after_create(case),
    }
}

/// The next state after a call about `remote`, an existing reservation. Total, and never a create.
#[must_use]
pub fn next_for_remote(case: &Case, remote: &RemoteReservation) -> Transition {
    change::after_call(case, remote)
}

#[cfg(test)]
#[path = "transition_tests.rs"]
mod tests;
