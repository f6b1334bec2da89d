//! The next step for a queued booking. Level-triggered: it depends on the booking and on what Guestly has, not on the event
//! that queued it. Called by `pg::claim` for each claimed row; pure, any thread.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::booking::{Booking, Labels};
use super::confirmation_code::next_code;
use super::diff::next_change;
use super::error::{ErrorClass, Problem};
use super::field::{Field, Row};
use super::operation::Operation;
use super::payment::{Payment, PaymentMethod};
use super::queue_row::QueueRow;
use super::reservation::{Reservation, Tables};
use super::retry::{TEST_MODE_PAUSE, later};
use super::snapshot::{RemoteReservation, is_active_status};

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// One call, for this reservation.
    Call(Operation, Box<Reservation>),
    /// No call before this time: the last change may not be visible yet, or test mode is on.
    Wait(DateTime<Utc>),
    /// Nothing to do: Guestly has what it should have.
    Done,
    /// Nothing will be sent, with the reason: canceled or refunded before it was sent.
    Withdraw(&'static str),
    /// It cannot be sent as it is.
    Fail(Problem),
}

/// The settings and tables of the operator that a plan depends on.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Listings and statuses.
    pub tables: Tables,
    /// The host's column names, for messages.
    pub labels: Labels,
    /// Guestly's `source`.
    pub source: String,
    /// Test mode: a made-up id counts as done, and existing reservations are not touched.
    pub test_mode: bool,
    /// Payment statuses that mean paid.
    pub paid: Vec<String>,
    /// The setting `settle`: a reservation is not touched for this long after a change.
    pub propagation_delay: Duration,
    /// The reservation of a deleted booking is canceled.
    pub cancel_on_delete: bool,
    /// The method for recording payments; `None` if they are not recorded.
    pub payments: Option<PaymentMethod>,
}

/// The next step for a booking.
#[must_use]
pub fn plan(row: &Row, queued: &QueueRow, rules: &Rules, now: DateTime<Utc>) -> Plan {
    match &queued.remote {
        Some(remote) if rules.test_mode => in_test_mode(remote, now),
        Some(remote) if !remote.is_test() => plan_existing(row, remote, queued, rules, now),
        _ => match map(row, rules) {
            Err(problem) => Plan::Fail(problem),
            Ok(reservation) => plan_new(row, reservation, queued),
        },
    }
}

/// The next step for the reservation of a deleted booking.
#[must_use]
pub fn plan_deleted(remote: &RemoteReservation, queued: &QueueRow, rules: &Rules, now: DateTime<Utc>) -> Plan {
    if !rules.cancel_on_delete || remote.is_test() {
        return Plan::Done;
    }
    if rules.test_mode {
        return in_test_mode(remote, now);
    }
    step(Reservation::ending(&queued.booking_id, remote), remote, queued, rules, now)
}

/// A real reservation waits for the end of test mode.
fn in_test_mode(remote: &RemoteReservation, now: DateTime<Utc>) -> Plan {
    if remote.is_test() { Plan::Done } else { Plan::Wait(later(now, TEST_MODE_PAUSE)) }
}

fn plan_new(row: &Row, reservation: Reservation, queued: &QueueRow) -> Plan {
    // Even a canceled booking is looked up: Guestly may have it.
    if queued.verify_first {
        return Plan::Call(Operation::LookUp, Box::new(reservation));
    }
    if !reservation.is_active() {
        return Plan::Withdraw("cancelled before it was sent");
    }
    if !queued.force && is_refunded(row) && reservation.status != "confirmed" {
        return Plan::Withdraw("refunded before it was sent");
    }
    Plan::Call(Operation::Create, Box::new(reservation))
}

fn plan_existing(row: &Row, remote: &RemoteReservation, queued: &QueueRow, rules: &Rules, now: DateTime<Utc>) -> Plan {
    let mut wanted = match wanted_of_existing(row, remote, rules) {
        Ok(wanted) => wanted,
        Err(problem) => return Plan::Fail(problem),
    };
    if !remote.verified && !queued.force && is_past(&wanted, now) {
        return Plan::Done;
    }
    let rebook = remote.snapshot.is_over() && remote.ended && (wanted.is_active() || queued.is_creating());
    if rebook && !must_verify_end(remote, queued) {
        let active = wanted.is_active() && (queued.force || row.is_paid(&rules.paid));
        wanted.code = next_code(&remote.code, &wanted.code);
        return if active || queued.verify_first { plan_new(row, wanted, queued) } else { Plan::Done };
    }
    step(wanted, remote, queued, rules, now)
}

/// The guests have left, in every time zone. Old rows of the bookings table are not worth a call.
fn is_past(wanted: &Reservation, now: DateTime<Utc>) -> bool {
    let check_out = wanted.booking.check_out;
    now.date_naive().signed_duration_since(check_out) > TimeDelta::days(1)
}

/// An ended reservation of uncertain state is read back before a new one replaces it, unless its create has begun.
fn must_verify_end(remote: &RemoteReservation, queued: &QueueRow) -> bool {
    remote.snapshot.is_over() && (queued.reads_back_first() || queued.verify_first) && !queued.is_creating()
}

fn step(wanted: Reservation, remote: &RemoteReservation, queued: &QueueRow, rules: &Rules, now: DateTime<Utc>) -> Plan {
    let change = next_change(&wanted, &remote.snapshot);
    let operation = match change {
        _ if queued.reads_back_first() || must_verify_end(remote, queued) => Operation::ReadBack,
        Some(change) if remote.verified => change,
        None if remote.snapshot.is_over() && wanted.is_active() => return Plan::Fail(ended_remotely(remote)),
        None if !queued.verify_first && remote.snapshot.status.is_some() => return Plan::Done,
        _ => Operation::ReadBack,
    };
    match remote.propagates_until(rules.propagation_delay, now) {
        Some(until) => Plan::Wait(until),
        None => Plan::Call(operation, Box::new(wanted)),
    }
}

/// The reservation that Guestly should have for a booking that it already has. A booking that is over only needs its status
/// changed: it is canceled even if its row is invalid.
fn wanted_of_existing(row: &Row, remote: &RemoteReservation, rules: &Rules) -> Result<Reservation, Problem> {
    let status = row.get(Field::Status).and_then(|status| rules.tables.status(status));
    let active = status.is_none_or(|status| is_active_status(status) && (status == "confirmed" || !is_refunded(row)));
    match map(row, rules) {
        Ok(reservation) if active => Ok(reservation),
        Err(problem) if active => Err(problem),
        Ok(reservation) => Ok(Reservation { status: "canceled".to_owned(), ..reservation }),
        Err(_) => Ok(Reservation::ending(&row.booking_id, remote)),
    }
}

/// The problem of an active booking whose reservation was ended in Guestly, not by us.
#[must_use]
pub fn ended_remotely(remote: &RemoteReservation) -> Problem {
    let (id, status) = (&remote.reservation_id, remote.snapshot.status.as_deref().unwrap_or("over"));
    let sentence = format!(
        "Guestly has reservation {id} as {status}: it was ended in Guestly, but the booking is still active; nothing is changed in Guestly"
    );
    Problem::new(ErrorClass::Refused, sentence)
}

/// A queued booking was paid. If its row says `processing` or `failed` by now, that is a late or repeated notification of
/// the payment provider; only a refund takes the payment back.
fn is_refunded(row: &Row) -> bool {
    row.get(Field::PaymentStatus).is_some_and(|status| status.eq_ignore_ascii_case("refunded"))
}

/// The reservation that Guestly should have.
///
/// # Errors
/// `invalid_booking`, `unknown_listing` or `unknown_status`, with the fix.
pub fn map(row: &Row, rules: &Rules) -> Result<Reservation, Problem> {
    let mut wanted = Reservation::map(Booking::parse(row, &rules.labels)?, &rules.tables, &rules.source)?;
    let (id, total) = (&wanted.origin_id, wanted.booking.total);
    wanted.payment = rules.payments.as_ref().and_then(|method| Payment::of(id, total, row, method, &rules.paid));
    Ok(wanted)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
