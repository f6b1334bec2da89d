//! Rejects answers with another booking's reservation: each reservation belongs to one booking. Part of `pg::record_outcomes`;
//! main thread only.

use std::collections::HashMap;

use chrono::Utc;
use pgrx::datum::DatumWithOid;

use super::rows::OutcomeRows;
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::snapshot::TEST_PREFIX;
use crate::pg::db::session::Result;
use crate::pg::db::statement;
use crate::pg::host::bookings::WriteBack;
use crate::pg::store::attempts::Attempt;
use crate::pg::store::queue::{QueueState, QueueUpdate};

/// Removes reservations of other bookings from the outcomes: after a create, the outcome becomes unknown and the booking is
/// looked up by its code; after a look-up, the booking fails and needs manual action.
pub(super) fn refuse_taken(outcomes: Vec<OutcomeRows>) -> Result<Vec<OutcomeRows>> {
    let named: Vec<(String, String)> = outcomes.iter().filter_map(named).collect();
    if named.is_empty() {
        return Ok(outcomes);
    }
    let (ids, reservations): (Vec<String>, Vec<String>) = named.into_iter().unzip();
    let args: [DatumWithOid; 2] = [ids.into(), reservations.into()];
    let taken = statement::rows(include_str!("../../../sql/queries/reservations/ids_of_others.sql"), &args, |row| {
        Ok((row.get::<String>(1)?.unwrap_or_default(), row.get::<String>(2)?.unwrap_or_default()))
    })?;
    Ok(refuse(outcomes, &taken.into_iter().collect()))
}

/// The booking, and the reservation that a create or its look-up named for it.
fn named(outcome: &OutcomeRows) -> Option<(String, String)> {
    let operation = outcome.attempt.as_ref()?.operation;
    let id = outcome
        .reservation_update
        .as_ref()
        .map(|reservation_update| &reservation_update.reservation_id)
        .filter(|id| !id.starts_with(TEST_PREFIX))?;
    matches!(operation, "create" | "look_up").then(|| (outcome.booking_id.clone(), id.clone()))
}

/// `taken`: bookings whose named reservation belongs to another booking, with that booking. If two outcomes name the same
/// reservation, the first gets it.
fn refuse(outcomes: Vec<OutcomeRows>, taken: &HashMap<String, String>) -> Vec<OutcomeRows> {
    let mut owners: HashMap<String, String> = HashMap::new();
    outcomes
        .into_iter()
        .map(|outcome| {
            let Some((booking, id)) = named(&outcome) else { return outcome };
            let other = taken.get(&booking).cloned().or_else(|| owners.get(&id).cloned());
            match other.filter(|other| *other != booking) {
                Some(other) => without(outcome, &id, &other),
                None => {
                    owners.insert(id, booking);
                    outcome
                }
            }
        })
        .collect()
}

fn without(outcome: OutcomeRows, id: &str, other: &str) -> OutcomeRows {
    let (booking, now) = (outcome.booking_id.clone(), Utc::now());
    let tries = outcome.attempt.as_ref().map_or(0, |attempt| attempt.attempt);
    let created = outcome.attempt.as_ref().is_some_and(|attempt| attempt.operation == "create");
    let code = outcome
        .reservation_update
        .as_ref()
        .map(|reservation_update| reservation_update.code.clone())
        .unwrap_or_default();
    let (state, label, problem) = if created {
        let sentence = format!(
            "Guestly answered the create with reservation {id}, which belongs to booking {other}; the booking is looked up by its code {code}"
        );
        (QueueState::Unknown, "unknown", Problem::new(ErrorClass::UnknownOutcome, sentence))
    } else {
        let sentence = format!(
            "Guestly returned reservation {id}, which belongs to booking {other}; search Guestly for the confirmation code {code}"
        );
        (QueueState::Failed, "refused", Problem::new(ErrorClass::Refused, sentence))
    };
    let queue_update = QueueUpdate {
        state,
        due_at: created.then_some(now),
        uncertain_since: created.then_some(now),
        unconfirmed_creates: 1,
        verify_first: true,
        problem: Some(problem.clone()),
        ..QueueUpdate::failed(tries)
    };
    let status = if created { "pending" } else { "failed" };
    let write = outcome.write_back.as_ref().map(|_| WriteBack::unsynced(&booking, status, Some(&problem), tries));
    let attempt = outcome.attempt.map(|attempt| Attempt { outcome: label, problem: Some(problem), ..attempt });
    OutcomeRows {
        queue_update: Some(queue_update),
        reservation_update: None,
        write_back: write,
        attempt,
        price: None,
        mismatch: true,
        ..outcome
    }
}

#[cfg(test)]
#[path = "ids_tests.rs"]
mod tests;
