//! Writing outcomes in one subtransaction. Part of `pg::record_outcomes`; main thread only.

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
    // Only here it is known whether a reservation belongs to its booking; the worker asks afterwards.
    static SUCCEEDED: Cell<bool> = const { Cell::new(false) };
}

/// True once after a call that told about a reservation of its booking was recorded in this process.
pub fn take_success() -> bool {
    SUCCEEDED.take()
}

/// The part of the work on the host's row that cannot be done.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is not the host's row.
    #[default]
    Nothing,
    /// Locking it. That waits for no other row: the whole table is locked.
    Lock,
    /// Writing it.
    Write,
}

/// `refused` says whether it is the host's row that cannot be written.
pub(super) fn record(
    bookings: Option<&Bookings>,
    changes: Vec<OutcomeRows>,
    refused: &Cell<Refused>,
) -> Result<Vec<OutcomeRows>> {
    let changes = ids::refuse_taken(changes)?;
    let ids: Vec<String> =
        changes.iter().filter(|change| change.write_back.is_some()).map(|change| change.booking_id.clone()).collect();
    let locked = match bookings {
        Some(bookings) if !ids.is_empty() => bookings.lock(&ids).inspect_err(|_| refused.set(Refused::Lock))?,
        _ => Locked::default(),
    };
    let busy = |change: &OutcomeRows| change.write_back.is_some() && locked.is_busy(&change.booking_id);
    let (mut postponed, mut now): (Vec<OutcomeRows>, Vec<OutcomeRows>) = changes.into_iter().partition(busy);
    for change in &mut now {
        if bookings.is_some() && change.write_back.is_some() && !locked.is_there(&change.booking_id) {
            forget(change);
        }
    }
    let ours = fenced(&now)?;
    let others: Vec<_> =
        now.iter().filter(|c| !ours.contains(&c.booking_id)).map(|c| (c.booking_id.clone(), c.claim_id)).collect();
    if !others.is_empty() {
        let locked = store::queue::claims_in_force(&others)?;
        postponed.extend(now.extract_if(.., |change| locked.contains(&change.booking_id)));
    }
    store::reservations::upsert(&now.iter().filter_map(OutcomeRows::reservation).collect::<Vec<_>>())?;
    if now.iter().any(|change| change.reservation_update.is_some()) {
        SUCCEEDED.set(true);
    }
    // A late answer whose claim was taken over changes the row only if it brings a reservation.
    let counts = |change: &&OutcomeRows| ours.contains(&change.booking_id) || change.reservation_update.is_some();
    let writes: Vec<&WriteBack> = now.iter().filter(counts).filter_map(|change| change.write_back.as_ref()).collect();
    if let (Some(bookings), false) = (bookings, writes.is_empty()) {
        bookings.write(&writes).inspect_err(|_| refused.set(Refused::Write))?;
    }
    let alerts: Vec<Raised> =
        now.iter().filter(counts).flat_map(|change| [alert(change), price_alert(change)]).flatten().collect();
    store::alerts::raise(&alerts)?;
    let withdrawn: Vec<String> = now.iter().filter(|c| c.withdrawn).map(|c| c.booking_id.clone()).collect();
    if !withdrawn.is_empty() {
        store::sweep::exclude_withdrawn(withdrawn)?;
    }
    let log: Vec<Attempt> = now.iter().filter_map(|change| change.attempt.clone()).collect();
    if !log.is_empty() {
        store::attempts::add(&log)?;
    }
    Ok(postponed)
}

fn fenced(changes: &[OutcomeRows]) -> Result<HashSet<String>> {
    let mut ours = HashSet::new();
    let leave: Vec<_> =
        changes.iter().filter(|c| c.queue_update.is_none()).map(|c| (c.booking_id.clone(), c.claim_id)).collect();
    let stay: Vec<_> =
        changes.iter().filter_map(|c| Some((c.booking_id.clone(), c.claim_id, c.queue_update.clone()?))).collect();
    if !leave.is_empty() {
        ours.extend(store::queue::delete_done(&leave)?);
    }
    if !stay.is_empty() {
        ours.extend(store::queue::update(&stay)?);
    }
    Ok(ours)
}
