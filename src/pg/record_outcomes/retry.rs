//! Outcomes together, or one by one where that fails: what cannot be written takes no other down. Part of `pg::record_outcomes`; main
//! thread only.

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

/// Writes `changes` inside the caller's transaction; gives back those that must wait, because another session holds the booking or
/// for another reason that passes. One that raises takes no other down: all together first, then one by one, and what
/// raises for longer than `retries` bears is parked. Errors: code of the host did not end in time. The worker is cautious
/// from then on; the caller gives its transaction up and writes each outcome in one of its own (`record_one`).
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

/// Once code of the host has used up its limit, or the table is locked, the rest waits for the next time.
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
    // Not the host's row: our own tables are broken, and it stays in memory until they work again.
    if refused.get() == Refused::Nothing {
        return Some(outcome);
    }
    // Its row is locked by us: the host's code waits for something else.
    let waits = waits_for_lock(&error) && refused.get() == Refused::Write;
    // A trigger that uses up the memory does so again.
    let exhausted = error.code == PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY;
    if error.is_transient() && !waits && !exhausted {
        return Some(outcome);
    }
    // A booking that waits continues without an update of its row: Guestly may have it, and is asked.
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
