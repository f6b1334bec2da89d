//! What to do next for one queued booking. Level-triggered: only what the booking says now and what Guestly is known to
//! hold count, not which event queued it. Called by `pg::worker` at each claim; any thread.

use super::booking::{Booking, Field, Labels, Row};
use super::error::Problem;
use super::outcome::Operation;
use super::reservation::{Reservation, Tables};

/// The id of a reservation that test mode made up begins with this; it never counts as a real one.
pub const TEST_PREFIX: &str = "test-";

/// What the queue knows about the booking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// A person asked for it, paid or not.
    pub force: bool,
    /// A create may have taken effect, or Guestly may hold it for another reason: ask before creating.
    pub in_doubt: bool,
    /// The id in `guestly.reservations`, if any.
    pub known: Option<String>,
}

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// One call, for this reservation.
    Call(Operation, Box<Reservation>),
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
    /// Test mode: a made-up id counts as done.
    pub test_mode: bool,
}

/// The next step for a booking.
#[must_use]
pub fn plan(row: &Row, queued: &Queued, rules: &Rules) -> Plan {
    if queued.known.as_deref().is_some_and(|id| rules.test_mode || !id.starts_with(TEST_PREFIX)) {
        return Plan::Done;
    }
    match map(row, rules) {
        Err(problem) => Plan::Fail(problem),
        // A cancelled booking in doubt is still looked up: Guestly may hold it.
        Ok(reservation) if queued.in_doubt => Plan::Call(Operation::LookUp, Box::new(reservation)),
        Ok(reservation) if !reservation.is_active() => Plan::Withdraw("cancelled before it was sent"),
        Ok(reservation) if !queued.force && is_refunded(row) && reservation.status != "confirmed" => {
            Plan::Withdraw("refunded before it was sent")
        }
        Ok(reservation) => Plan::Call(Operation::Create, Box::new(reservation)),
    }
}

/// A queued booking was paid: that `processing` or `failed` stands in its row by now is a late or repeated notice of the
/// payment provider. Only a refund takes the payment back.
fn is_refunded(row: &Row) -> bool {
    row.get(Field::PaymentStatus).is_some_and(|status| status.eq_ignore_ascii_case("refunded"))
}

/// The reservation that Guestly should hold. Errors: whatever makes the row unsendable.
pub fn map(row: &Row, rules: &Rules) -> Result<Reservation, Problem> {
    Reservation::map(Booking::parse(row, &rules.labels)?, &rules.tables, &rules.source)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
