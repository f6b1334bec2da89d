//! What to do next for one queued booking. Level-triggered: only what the booking says now and what Guestly is known to
//! hold count, not which event queued it. Called by `pg::worker` at each claim; any thread.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::booking::{Booking, Field, Labels, Row};
use super::error::{ErrorClass, Problem};
use super::held::{Known, difference};
use super::outcome::Operation;
use super::payment::{Payment, Terms};
use super::reference::next_code;
use super::reservation::{Reservation, Tables, is_active_status};
use super::retry::later;

/// The id of a reservation that test mode made up begins with this; it never counts as a real one.
pub const TEST_PREFIX: &str = "test-";

/// Between two looks at what test mode leaves as it is.
const TEST_MODE_PAUSE: Duration = Duration::from_secs(60);

/// What the queue knows about the booking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// A person asked for it, paid or not.
    pub force: bool,
    /// A create may have taken effect, or Guestly may hold it for another reason: ask before creating.
    pub in_doubt: bool,
    /// A create was begun, and nothing is known of its reservation yet.
    pub creating: bool,
    /// What is held must be read back before it is changed; in doubt alone, it is read back when nothing is left to change.
    pub unsure: bool,
    /// The row of `guestly.reservations`, if any.
    pub known: Option<Known>,
}

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// One call, for this reservation.
    Call(Operation, Box<Reservation>),
    /// What is held was changed a moment ago: nothing before then.
    Wait(DateTime<Utc>),
    /// Guestly holds what it should hold.
    Done,
    /// Nothing is to be sent, for this reason: cancelled or refunded before it was sent.
    Withdraw(&'static str),
    /// It cannot be sent as it is.
    Fail(Problem),
}

/// Everything that [`plan`] needs besides the row.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Listings and statuses.
    pub tables: Tables,
    /// How messages call the host's columns.
    pub labels: Labels,
    /// Guestly's `source`.
    pub source: String,
    /// Test mode: a made-up id counts as done, and what is held is left as it is until test mode ends.
    pub test_mode: bool,
    /// Payment statuses that mean paid.
    pub paid: Vec<String>,
    /// What is held is left in peace so long after each change.
    pub settle: Duration,
    /// A booking whose row is deleted is cancelled.
    pub cancel_on_delete: bool,
    /// How payments are recorded, if they are.
    pub payments: Option<Terms>,
}

/// The next step for a booking.
#[must_use]
pub fn plan(row: &Row, queued: &Queued, rules: &Rules, now: DateTime<Utc>) -> Plan {
    match &queued.known {
        Some(known) if rules.test_mode => in_test_mode(known, now),
        Some(known) if !known.is_test() => plan_held(row, known, queued, rules, now),
        _ => match map(row, rules) {
            Err(problem) => Plan::Fail(problem),
            Ok(reservation) => plan_new(row, reservation, queued),
        },
    }
}

/// The next step for what is held of a booking whose row was deleted.
#[must_use]
pub fn plan_deleted(booking_id: &str, known: &Known, queued: &Queued, rules: &Rules, now: DateTime<Utc>) -> Plan {
    if !rules.cancel_on_delete || known.is_test() {
        return Plan::Done;
    }
    if rules.test_mode {
        return in_test_mode(known, now);
    }
    step(Reservation::ending(booking_id, known), known, queued, rules, now)
}

/// A real reservation waits for the end of test mode.
fn in_test_mode(known: &Known, now: DateTime<Utc>) -> Plan {
    if known.is_test() { Plan::Done } else { Plan::Wait(later(now, TEST_MODE_PAUSE)) }
}

fn plan_new(row: &Row, reservation: Reservation, queued: &Queued) -> Plan {
    // A cancelled booking in doubt is still looked up: Guestly may hold it.
    if queued.in_doubt {
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

fn plan_held(row: &Row, known: &Known, queued: &Queued, rules: &Rules, now: DateTime<Utc>) -> Plan {
    let mut wanted = match wanted_of_held(row, known, rules) {
        Ok(wanted) => wanted,
        Err(problem) => return Plan::Fail(problem),
    };
    if !known.verified && !queued.force && is_past(&wanted, now) {
        return Plan::Done;
    }
    let is_over = known.aspects.is_over();
    if is_over && known.ended && (wanted.is_active() || queued.creating) && !is_to_be_read(known, queued) {
        let alive = wanted.is_active() && (queued.force || row.is_paid(&rules.paid));
        wanted.code = next_code(&known.code, &wanted.code);
        return if alive || queued.in_doubt { plan_new(row, wanted, queued) } else { Plan::Done };
    }
    step(wanted, known, queued, rules, now)
}

/// The guests have left, wherever on earth: what came with the table of bookings is not worth a look any more.
fn is_past(wanted: &Reservation, now: DateTime<Utc>) -> bool {
    wanted.aspects().check_out.is_some_and(|day| now.date_naive().signed_duration_since(day) > TimeDelta::days(1))
}

/// What is over is read back before a new reservation takes its place, unless that is on its way already.
fn is_to_be_read(known: &Known, queued: &Queued) -> bool {
    known.aspects.is_over() && (queued.unsure || queued.in_doubt) && !queued.creating
}

fn step(wanted: Reservation, known: &Known, queued: &Queued, rules: &Rules, now: DateTime<Utc>) -> Plan {
    let change = difference(&wanted, &known.aspects);
    let operation = match change {
        _ if queued.unsure || is_to_be_read(known, queued) => Operation::ReadBack,
        Some(change) if known.verified => change,
        None if known.aspects.is_over() && wanted.is_active() => return Plan::Fail(over_there(known)),
        None if !queued.in_doubt && known.aspects.status.is_some() => return Plan::Done,
        _ => Operation::ReadBack,
    };
    match known.rests_until(rules.settle, now) {
        Some(until) => Plan::Wait(until),
        None => Plan::Call(operation, Box::new(wanted)),
    }
}

/// What Guestly should hold of a booking that it holds something of. A booking that is over needs no more than its status:
/// it is cancelled whatever else is wrong with its row.
fn wanted_of_held(row: &Row, known: &Known, rules: &Rules) -> Result<Reservation, Problem> {
    let status = row.get(Field::Status).and_then(|status| rules.tables.status(status));
    let alive = status.is_none_or(|status| is_active_status(status) && (status == "confirmed" || !is_refunded(row)));
    match map(row, rules) {
        Ok(reservation) if alive => Ok(reservation),
        Err(problem) if alive => Err(problem),
        Ok(reservation) => Ok(Reservation { status: "canceled".to_owned(), ..reservation }),
        Err(_) => Ok(Reservation::ending(&row.booking_id, known)),
    }
}

/// A problem of a booking that is alive here and over in Guestly, by somebody else's hand.
#[must_use]
pub fn over_there(known: &Known) -> Problem {
    let (id, status) = (&known.reservation_id, known.aspects.status.as_deref().unwrap_or("over"));
    let sentence = format!(
        "Guestly holds reservation {id} as {status}, by a hand there, and the booking is alive here; nothing is changed in Guestly"
    );
    Problem::new(ErrorClass::Refused, sentence)
}

/// A queued booking was paid: that `processing` or `failed` stands in its row by now is a late or repeated notice of the
/// payment provider. Only a refund takes the payment back.
fn is_refunded(row: &Row) -> bool {
    row.get(Field::PaymentStatus).is_some_and(|status| status.eq_ignore_ascii_case("refunded"))
}

/// The reservation that Guestly should hold. Errors: whatever makes the row unsendable.
pub fn map(row: &Row, rules: &Rules) -> Result<Reservation, Problem> {
    let mut reservation = Reservation::map(Booking::parse(row, &rules.labels)?, &rules.tables, &rules.source)?;
    reservation.payment = rules.payments.as_ref().and_then(|terms| Payment::of(&reservation, row, terms, &rules.paid));
    Ok(reservation)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
