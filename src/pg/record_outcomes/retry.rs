//! Records outcomes together or, if that fails, one by one, so that an outcome that cannot be written does not stop the others.
//! Part of `pg::record_outcomes`; main thread only.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pgrx::PgSqlErrorCode;

use super::record::{Refused, record};
use super::rows::{OutcomeRows, park};
use super::write_retries::{Access, WriteRetries};
use crate::pg::db::session::{self, Result, SqlError};
use crate::pg::host::bookings::Bookings;
use crate::pg::host_code;
use crate::pg::store::queue::QueueState;

/// Records `outcomes` inside the caller's transaction; returns those that must wait, because another session has locked the
/// booking or for another temporary reason. If an outcome raises, each is recorded alone; one whose `retries` are used up is
/// parked. Errors: host code did not end in time. The worker is then cautious; the caller must roll back, and record each
/// outcome in a transaction of its own (`record_one`).
pub fn record_all(
    bookings: Option<&Bookings>,
    outcomes: Vec<OutcomeRows>,
    retries: &mut WriteRetries,
) -> Result<Vec<OutcomeRows>> {
    if outcomes.len() <= 1 || host_code::is_cautious() || retries.is_slow(Access::Write) {
        return Ok(one_by_one(bookings, outcomes, retries));
    }
    let refused = Cell::default();
    let together = host_code::for_several(|| session::subtransaction(|| record(bookings, outcomes.clone(), &refused)));
    match together {
        Ok(postponed) => {
            outcomes.iter().for_each(|outcome| retries.clear(Access::Write, &outcome.booking_id));
            Ok(postponed)
        }
        Err(error) if error.is_cancel() => {
            host_code::be_cautious();
            Err(error)
        }
        Err(error) if waits_for_lock(&error) && refused.get() != Refused::Write => Ok(outcomes),
        Err(_) => Ok(one_by_one(bookings, outcomes, retries)),
    }
}

/// Records the outcomes one by one; once the time limit is used up, the others wait.
fn one_by_one(bookings: Option<&Bookings>, outcomes: Vec<OutcomeRows>, retries: &mut WriteRetries) -> Vec<OutcomeRows> {
    let (began, mut postponed) = (Instant::now(), Vec::new());
    for outcome in outcomes {
        if began.elapsed() < host_code::SHORT_LIMIT {
            postponed.extend(record_one(bookings, outcome, retries));
        } else {
            postponed.push(outcome);
        }
    }
    postponed
}

/// The same for one outcome.
pub fn record_one(
    bookings: Option<&Bookings>,
    outcome: OutcomeRows,
    retries: &mut WriteRetries,
) -> Option<OutcomeRows> {
    let id = &outcome.booking_id;
    let refused = Cell::default();
    let limit = retries.limit(Access::Write, id);
    let began = Instant::now();
    let tried = attempt(bookings, &outcome, limit, &refused);
    let error = match tried {
        Ok(postponed) => {
            if postponed.is_none() {
                retries.record_duration(Access::Write, id, began.elapsed());
            }
            retries.clear(Access::Write, id);
            return postponed;
        }
        Err(error) => error,
    };
    // The host's row is not the cause: the outcome stays in memory until our own tables work again.
    if refused.get() == Refused::Nothing {
        return Some(outcome);
    }
    // The row itself is locked by this transaction: the host's code waits for another lock.
    let waits = waits_for_lock(&error) && refused.get() == Refused::Write;
    // A trigger that uses up the memory will do so again.
    let exhausted = error.code == PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY;
    if error.is_transient() && !waits && !exhausted {
        return Some(outcome);
    }
    // A booking that stays in the queue continues without the write to its row.
    let on_its_way = outcome.queue_update.as_ref().is_some_and(|queue_update| queue_update.state != QueueState::Failed);
    if waits && !on_its_way {
        retries.record_wait(Access::Write, id);
        return Some(outcome);
    }
    let hung = error.is_cancel() || exhausted;
    if !on_its_way && retries.record_failure(Access::Write, id, hung) {
        if hung && retries.tries(Access::Write, id) == 1 {
            host_code::warn(id, "written", &error);
        }
        return Some(outcome);
    }
    let whole = if on_its_way { outcome.clone() } else { park(outcome.clone(), &error) };
    let without_row = OutcomeRows { write_back: None, ..whole.clone() };
    let variants = if on_its_way { vec![without_row] } else { vec![whole, without_row] };
    for parked in variants {
        if let Ok(postponed) = attempt(bookings, &parked, host_code::SHORT_LIMIT, &refused) {
            return postponed;
        }
    }
    Some(outcome)
}

fn attempt(
    bookings: Option<&Bookings>,
    outcome: &OutcomeRows,
    limit: Duration,
    refused: &Cell<Refused>,
) -> Result<Option<OutcomeRows>> {
    let write = || session::subtransaction(|| record(bookings, vec![outcome.clone()], refused));
    Ok(host_code::for_one(&outcome.booking_id, limit, write)?.into_iter().next())
}

fn waits_for_lock(error: &SqlError) -> bool {
    error.code == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE
}
