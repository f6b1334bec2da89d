//! Compares the reservation that Guestly should have with what it has, and names the next call to make.
//! Called by `domain::plan`, `domain::transition` and `pg::job`; pure, any thread.

use chrono::NaiveDate;

use super::guests::GuestCount;
use super::operation::Operation;
use super::outcome::Hit;
use super::reservation::Reservation;
use super::snapshot::{PaymentState, Snapshot, is_active_status};

/// The next call that brings Guestly closer to `wanted`; `None` if nothing differs. A cancellation goes first and alone.
/// An ended reservation cannot be changed.
#[must_use]
pub fn next_change(wanted: &Reservation, remote: &Snapshot) -> Option<Operation> {
    if remote.is_over() {
        return None;
    }
    if !wanted.is_active() {
        return Some(Operation::Status);
    }
    let ours = wanted.snapshot();
    let same_day = |remote: Option<NaiveDate>, ours: Option<NaiveDate>| remote.is_none() || remote == ours;
    if remote.listing_id.is_some() && remote.listing_id != ours.listing_id {
        return Some(Operation::Relocate);
    }
    if !same_day(remote.check_in, ours.check_in) || !same_day(remote.check_out, ours.check_out) {
        return Some(Operation::Dates);
    }
    if remote.guests.is_some() && remote.guests != ours.guests {
        return Some(Operation::Guests);
    }
    if remote.status.as_deref().is_some_and(|remote| rank(remote) < rank(&wanted.status)) {
        return Some(Operation::Status);
    }
    if remote.notes.is_some() && remote.notes != ours.notes {
        return Some(Operation::Notes);
    }
    next_payment_call(wanted, remote)
}

/// Payments are listed first, and again after each call that may have recorded one: a payment must not be recorded twice.
fn next_payment_call(wanted: &Reservation, remote: &Snapshot) -> Option<Operation> {
    wanted.payment.as_ref().filter(|payment| payment.paid)?;
    match remote.payment? {
        PaymentState::ToRecord | PaymentState::MaybeRecorded => Some(Operation::ListPayments),
        PaymentState::NotListed => Some(Operation::RecordPayment),
        PaymentState::Recorded => None,
    }
}

/// The status of a reservation only ever moves up.
fn rank(status: &str) -> u8 {
    match status {
        "confirmed" => 2,
        "reserved" | "awaiting_payment" => 1,
        _ => 0,
    }
}

/// The values that a successful call of this kind sets.
#[must_use]
pub fn changed_by(operation: Operation, wanted: &Reservation, remote: &Snapshot) -> Snapshot {
    let ours = wanted.snapshot();
    match operation {
        Operation::Status => {
            Snapshot { status: Some(next_status(wanted, remote.status.as_deref()).to_owned()), ..Snapshot::default() }
        }
        Operation::Relocate => Snapshot { listing_id: ours.listing_id, ..Snapshot::default() },
        Operation::Dates => Snapshot { check_in: ours.check_in, check_out: ours.check_out, ..Snapshot::default() },
        Operation::Guests => Snapshot { guests: ours.guests, ..Snapshot::default() },
        Operation::Notes => Snapshot { notes: ours.notes, ..Snapshot::default() },
        _ => Snapshot::default(),
    }
}

/// The status to ask for. Only a confirmed reservation can be canceled; any other is closed.
#[must_use]
pub fn next_status<'a>(wanted: &'a Reservation, remote: Option<&str>) -> &'a str {
    match (wanted.is_active(), remote) {
        (true, _) => &wanted.status,
        (false, None | Some("confirmed")) => "canceled",
        (false, Some(_)) => "closed",
    }
}

/// The snapshot that a reservation in an answer shows. A total of guests without age groups adds nothing if it is the wanted one.
#[must_use]
pub fn snapshot_of_hit(hit: &Hit, wanted: &Reservation) -> Snapshot {
    let ours = wanted.snapshot();
    let differs = |count: &u32| ours.guests.is_none_or(|guests| guests.guests_count() != *count);
    let count = hit.guests_count.filter(differs).map(|adults| GuestCount { adults, ..GuestCount::default() });
    // A reservation may name a unit, a type and a listing; ours is used if it is among them.
    let listing = ours.listing_id.filter(|ours| hit.listing_ids.contains(ours));
    Snapshot {
        status: hit.status.clone(),
        listing_id: listing.or_else(|| hit.listing_ids.first().cloned()),
        check_in: hit.check_in,
        check_out: hit.check_out,
        guests: hit.guests.or(count),
        notes: None,
        payment: None,
    }
}

/// The differences between a reservation in an answer and the wanted one, with the values of both sides; `None` if there are
/// none. A field that the answer omits counts as equal.
#[must_use]
pub fn mismatch(wanted: &Reservation, hit: &Hit) -> Option<String> {
    let booking = &wanted.booking;
    let mut sides = Vec::new();
    let mut day = |name: &str, ours: NaiveDate, theirs: Option<NaiveDate>| {
        if let Some(theirs) = theirs.filter(|theirs| *theirs != ours) {
            sides.push(format!("{name} {theirs} there, {ours} here"));
        }
    };
    day("check-in", booking.check_in, hit.check_in);
    day("check-out", booking.check_out, hit.check_out);
    if !hit.listing_ids.is_empty() && !hit.listing_ids.contains(&wanted.listing_id) {
        sides.push(format!("listing {} there, {} here", hit.listing_ids.join(" or "), wanted.listing_id));
    }
    if let Some(theirs) = hit.origin_id.as_deref().filter(|theirs| *theirs != wanted.origin_id) {
        sides.push(format!("origin id {theirs} there, {} here", wanted.origin_id));
    }
    if let Some(theirs) = hit.status.as_deref().filter(|theirs| wanted.is_active() && !is_active_status(theirs)) {
        sides.push(format!("status {theirs} there, {} here", wanted.status));
    }
    (!sides.is_empty()).then(|| sides.join("; "))
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
