//! Writes outcomes in one subtransaction. Part of `pg::record_outcomes`; main thread only.

use std::cell::Cell;
use std::collections::HashSet;

use super::alerts::{alert, price_alert};
use super::ids;
use super::rows::{OutcomeRows, forget};
use crate::pg::db::session::Result;
use crate::pg::host::bookings::{Bookings, Locked, WriteBack};
use crate::pg::store;
use crate::pg::store::alerts::Raised;
use crate::pg::store::attempts::Attempt;

thread_local! {
    // Set here, where it is known that a reservation belongs to its booking; read by the worker afterwards.
    static SUCCEEDED: Cell<bool> = const { Cell::new(false) };
}

/// True once after an outcome with a reservation was recorded in this process.
pub fn take_success() -> bool {
    SUCCEEDED.take()
}

/// The access to the host's row that failed.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Refused {
    /// None: the error has another cause.
    #[default]
    Nothing,
    /// Locking it. Locked rows are skipped, so the whole table is locked.
    Lock,
    /// Writing it.
    Write,
}

/// Records these outcomes and returns those that must wait for a lock. After an error, `refused` has the access to the host's row
/// that failed.
pub(super) fn record(
    bookings: Option<&Bookings>,
    outcomes: Vec<OutcomeRows>,
    refused: &Cell<Refused>,
) -> Result<Vec<OutcomeRows>> {
    let outcomes = ids::refuse_taken(outcomes)?;
    let ids: Vec<String> = outcomes
        .iter()
        .filter(|outcome| outcome.write_back.is_some())
        .map(|outcome| outcome.booking_id.clone())
        .collect();
    let locked = match bookings {
        Some(bookings) if !ids.is_empty() => bookings.lock(&ids).inspect_err(|_| refused.set(Refused::Lock))?,
        _ => Locked::default(),
    };
    let is_locked =
        |outcome: &OutcomeRows| outcome.write_back.is_some() && locked.is_locked_elsewhere(&outcome.booking_id);
    let (mut postponed, mut now): (Vec<OutcomeRows>, Vec<OutcomeRows>) = outcomes.into_iter().partition(is_locked);
    for outcome in &mut now {
        if bookings.is_some() && outcome.write_back.is_some() && !locked.exists(&outcome.booking_id) {
            forget(outcome);
        }
    }
    let written = update_queue(&now)?;
    let unclaimed: Vec<_> = now
        .iter()
        .filter(|outcome| !written.contains(&outcome.booking_id))
        .map(|outcome| (outcome.booking_id.clone(), outcome.claim_id))
        .collect();
    if !unclaimed.is_empty() {
        let in_force = store::queue::claims_in_force(&unclaimed)?;
        postponed.extend(now.extract_if(.., |outcome| in_force.contains(&outcome.booking_id)));
    }
    store::reservations::upsert(&now.iter().filter_map(OutcomeRows::reservation).collect::<Vec<_>>())?;
    if now.iter().any(|outcome| outcome.reservation_update.is_some()) {
        SUCCEEDED.set(true);
    }
    // A late answer whose claim was taken over changes the booking's row only if it has a reservation.
    let is_effective =
        |outcome: &&OutcomeRows| written.contains(&outcome.booking_id) || outcome.reservation_update.is_some();
    let writes: Vec<&WriteBack> =
        now.iter().filter(is_effective).filter_map(|outcome| outcome.write_back.as_ref()).collect();
    if let (Some(bookings), false) = (bookings, writes.is_empty()) {
        bookings.write(&writes).inspect_err(|_| refused.set(Refused::Write))?;
    }
    let alerts: Vec<Raised> =
        now.iter().filter(is_effective).flat_map(|outcome| [alert(outcome), price_alert(outcome)]).flatten().collect();
    store::alerts::raise(&alerts)?;
    let withdrawn: Vec<String> =
        now.iter().filter(|outcome| outcome.withdrawn).map(|outcome| outcome.booking_id.clone()).collect();
    if !withdrawn.is_empty() {
        store::sweep::exclude_withdrawn(withdrawn)?;
    }
    let log: Vec<Attempt> = now.iter().filter_map(|outcome| outcome.attempt.clone()).collect();
    if !log.is_empty() {
        store::attempts::add(&log)?;
    }
    Ok(postponed)
}

fn update_queue(outcomes: &[OutcomeRows]) -> Result<HashSet<String>> {
    let mut written = HashSet::new();
    let leave: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.queue_update.is_none())
        .map(|outcome| (outcome.booking_id.clone(), outcome.claim_id))
        .collect();
    let stay: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| Some((outcome.booking_id.clone(), outcome.claim_id, outcome.queue_update.clone()?)))
        .collect();
    if !leave.is_empty() {
        written.extend(store::queue::delete_done(&leave)?);
    }
    if !stay.is_empty() {
        written.extend(store::queue::update(&stay)?);
    }
    Ok(written)
}
