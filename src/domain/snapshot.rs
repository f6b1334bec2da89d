//! The remote side of a booking: the last confirmed values of its reservation in Guestly.
//! Read and written by `pg` (`guestly.reservations`), compared by `domain::diff`; pure, any thread.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use super::error::{ErrorClass, Problem};
use super::field::Row;
use super::guests::GuestCount;
use super::retry::later;

/// Prefix of the reservation ids that test mode makes up. Such an id never counts as a real reservation.
pub const TEST_PREFIX: &str = "test-";

/// Longest reservation id, in bytes; real ones have 24.
const LONGEST_ID: usize = 200;

/// The aspects of a reservation, each of which is changed by a call of its own. `None` means unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Guestly's status.
    pub status: Option<String>,
    /// Guestly's listing id.
    pub listing_id: Option<String>,
    /// Day of arrival.
    pub check_in: Option<NaiveDate>,
    /// Day of departure.
    pub check_out: Option<NaiveDate>,
    /// Guest count.
    pub guests: Option<GuestCount>,
    /// Fingerprint of the notes that we wrote, empty if we wrote none. Notes written by others are not tracked.
    pub notes: Option<String>,
    /// State of the payment record; `None` if payments are not recorded.
    pub payment: Option<PaymentState>,
}

impl Snapshot {
    /// Fills the unknown aspects from `older`.
    #[must_use]
    pub fn over(self, older: &Self) -> Self {
        Self {
            status: self.status.or_else(|| older.status.clone()),
            listing_id: self.listing_id.or_else(|| older.listing_id.clone()),
            check_in: self.check_in.or(older.check_in),
            check_out: self.check_out.or(older.check_out),
            guests: self.guests.or(older.guests),
            notes: self.notes.or_else(|| older.notes.clone()),
            payment: self.payment.or(older.payment),
        }
    }

    /// True for a reservation that has ended. An ended reservation never becomes active again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.status.as_deref().is_some_and(|status| !is_active_status(status))
    }
}

/// True unless a reservation with this status (Guestly's) has ended.
#[must_use]
pub fn is_active_status(status: &str) -> bool {
    !matches!(status, "canceled" | "closed" | "declined" | "expired")
}

/// The state of a payment record in Guestly. The names are stored in `guestly.reservations.payment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// To be recorded; Guestly's list was not read yet.
    ToRecord,
    /// Guestly's list was read and does not contain it.
    NotListed,
    /// A call to record it was made and its effect is unknown: the list must be read first.
    MaybeRecorded,
    /// Guestly lists it.
    Recorded,
}

impl PaymentState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::ToRecord, Self::NotListed, Self::MaybeRecorded, Self::Recorded];

    /// The name that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToRecord => "due",
            Self::NotListed => "absent",
            Self::MaybeRecorded => "sent",
            Self::Recorded => "recorded",
        }
    }

    /// The state with that stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// The reservation of a booking, as far as it is known here: a row of `guestly.reservations`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteReservation {
    /// Guestly's id.
    pub reservation_id: String,
    /// Confirmation code; empty if only the id is known, from the host's table.
    pub code: String,
    /// The last confirmed values.
    pub snapshot: Snapshot,
    /// It belongs to this booking: we created it, or Guestly showed our booking id as its origin.
    pub verified: bool,
    /// We ended it. If the booking becomes active again, it gets a new reservation.
    pub ended: bool,
    /// When we last created or changed it.
    pub changed_at: Option<DateTime<Utc>>,
}

impl RemoteReservation {
    /// True if test mode made it up.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.reservation_id.starts_with(TEST_PREFIX)
    }

    /// End of the propagation delay after our last change, if it has not passed: until then a read may return the old
    /// values. A `changed_at` far in the future (the clock went back) is ignored.
    #[must_use]
    pub fn propagates_until(&self, propagation_delay: Duration, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let changed = self.changed_at.filter(|changed| *changed <= later(now, propagation_delay))?;
        Some(later(changed, propagation_delay)).filter(|until| *until > now)
    }
}

/// The reservation in our own table or, if there is none, the one that the booking's row names. Of the latter only the id
/// is known, so it is read back before anything is created or changed.
///
/// # Errors
/// An id that cannot be one of Guestly's. Guestly may have the booking under another id, so it must not be created either.
pub fn remote_or_named(remote: Option<RemoteReservation>, row: &Row) -> Result<Option<RemoteReservation>, Problem> {
    let is_real = |remote: &RemoteReservation| !remote.reservation_id.is_empty() && !remote.is_test();
    let named = || {
        let reservation_id = row.reservation_id.as_deref()?.trim().to_owned();
        Some(RemoteReservation { reservation_id, ..RemoteReservation::default() }).filter(is_real)
    };
    let (found, place) = match remote {
        Some(remote) if is_real(&remote) => (Some(remote), "guestly.reservations.reservation_id"),
        remote => (named().or(remote), "guestly_reservation_id"),
    };
    match found {
        Some(remote) if is_real(&remote) && !is_usable_id(&remote.reservation_id) => Err(unusable_id(place)),
        found => Ok(found),
    }
}

fn unusable_id(place: &str) -> Problem {
    let sentence = format!(
        "the column {place} holds no valid reservation id; set it to the id that Guestly shows for this booking, or to NULL if Guestly \
         holds none"
    );
    Problem::new(ErrorClass::InvalidBooking, sentence)
}

/// True for a text that can be a reservation id: 1 to 200 visible ASCII characters, not made up by test mode.
#[must_use]
pub fn is_usable_id(text: &str) -> bool {
    let shaped = (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    shaped && !text.starts_with(TEST_PREFIX)
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
