//! What Guestly is known to hold for a booking, aspect by aspect, and where the booking says something else.
//! Called by `domain::plan` and `domain::transition`; pure, any thread.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use super::booking::Row;
use super::error::{ErrorClass, Problem};
use super::outcome::{Hit, Operation, is_usable_id};
use super::payment::Recording;
use super::plan::TEST_PREFIX;
use super::reservation::{Reservation, is_active_status};
use super::retry::later;

/// Who comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// At least one.
    pub adults: u32,
    /// Children.
    pub children: u32,
    /// Infants.
    pub infants: u32,
    /// Pets.
    pub pets: u32,
}

impl Party {
    /// Guestly's `guestsCount`.
    #[must_use]
    pub fn guests(&self) -> u32 {
        self.adults.saturating_add(self.children)
    }
}

/// The aspects of a reservation that have an endpoint of their own; none is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aspects {
    /// Guestly's status.
    pub status: Option<String>,
    /// Guestly's listing.
    pub listing_id: Option<String>,
    /// Day of arrival.
    pub check_in: Option<NaiveDate>,
    /// Day of departure.
    pub check_out: Option<NaiveDate>,
    /// Who comes.
    pub party: Option<Party>,
    /// A fingerprint of the notes that we wrote, empty where we wrote none; what people write there is theirs.
    pub notes: Option<String>,
    /// Its payment; none where it is not recorded from here.
    pub payment: Option<Recording>,
}

impl Aspects {
    /// These, and what is not known of them from `older`.
    #[must_use]
    pub fn over(self, older: &Self) -> Self {
        Self {
            status: self.status.or_else(|| older.status.clone()),
            listing_id: self.listing_id.or_else(|| older.listing_id.clone()),
            check_in: self.check_in.or(older.check_in),
            check_out: self.check_out.or(older.check_out),
            party: self.party.or(older.party),
            notes: self.notes.or_else(|| older.notes.clone()),
            payment: self.payment.or(older.payment),
        }
    }

    /// True for a reservation that has ended: from there it never becomes active again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.status.as_deref().is_some_and(|status| !is_active_status(status))
    }
}

/// A row of `guestly.reservations`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Guestly's id.
    pub reservation_id: String,
    /// Its confirmation code; empty where the id was found in the host's table.
    pub code: String,
    /// The last confirmed value of each aspect.
    pub aspects: Aspects,
    /// It is ours: we made it, or Guestly showed our booking's id as its origin.
    pub verified: bool,
    /// It was we who ended it: a booking that comes back to life gets a new reservation.
    pub ended: bool,
    /// When it was last created or changed.
    pub changed_at: Option<DateTime<Utc>>,
}

impl Known {
    /// Made up by test mode.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.reservation_id.starts_with(TEST_PREFIX)
    }

    /// Until when it is left in peace, if it was changed less than `settle` ago. A time far in the future is a clock that
    /// went back, and no reason to wait for it.
    #[must_use]
    pub fn rests_until(&self, settle: Duration, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let changed = self.changed_at.filter(|changed| *changed <= later(now, settle))?;
        Some(later(changed, settle)).filter(|until| *until > now)
    }
}

/// The reservation that is known; where our own tables know none, the one that the booking's row names, of which nothing
/// else is known: it is read back before anything is created or changed.
///
/// # Errors
/// An id that Guestly cannot have given. Guestly may hold the booking under another one, so it must not be created either.
pub fn known_or_named(known: Option<Known>, row: &Row) -> Result<Option<Known>, Problem> {
    let is_real = |known: &Known| !known.reservation_id.is_empty() && !known.is_test();
    let named = || {
        let reservation_id = row.reservation_id.as_deref()?.trim().to_owned();
        Some(Known { reservation_id, ..Known::default() }).filter(is_real)
    };
    let (found, place) = match known {
        Some(known) if is_real(&known) => (Some(known), "guestly.reservations.reservation_id"),
        known => (named().or(known), "guestly_reservation_id"),
    };
    match found {
        Some(known) if is_real(&known) && !is_usable_id(&known.reservation_id) => Err(unusable(place)),
        found => Ok(found),
    }
}

fn unusable(place: &str) -> Problem {
    let sentence = format!(
        "the column {place} holds no valid reservation id; set it to the id that Guestly shows for this booking, or to NULL if Guestly \
         holds none"
    );
    Problem::new(ErrorClass::InvalidBooking, sentence)
}

/// What to change in Guestly next, if the booking says something else than is held. A cancellation goes first and alone.
/// Of an ended reservation nothing can be changed.
#[must_use]
pub fn difference(wanted: &Reservation, held: &Aspects) -> Option<Operation> {
    if held.is_over() {
        return None;
    }
    if !wanted.is_active() {
        return Some(Operation::Status);
    }
    let ours = wanted.aspects();
    let stays = |held: Option<NaiveDate>, ours: Option<NaiveDate>| held.is_none() || held == ours;
    if held.listing_id.is_some() && held.listing_id != ours.listing_id {
        return Some(Operation::Relocate);
    }
    if !stays(held.check_in, ours.check_in) || !stays(held.check_out, ours.check_out) {
        return Some(Operation::Dates);
    }
    if held.party.is_some() && held.party != ours.party {
        return Some(Operation::Guests);
    }
    if held.status.as_deref().is_some_and(|held| rank(held) < rank(&wanted.status)) {
        return Some(Operation::Status);
    }
    if held.notes.is_some() && held.notes != ours.notes {
        return Some(Operation::Notes);
    }
    payment(wanted, held)
}

/// Listed first, and again whenever it may have been recorded: it must not be recorded twice.
fn payment(wanted: &Reservation, held: &Aspects) -> Option<Operation> {
    wanted.payment.as_ref().filter(|payment| payment.paid)?;
    match held.payment? {
        Recording::Due | Recording::Sent => Some(Operation::ListPayments),
        Recording::Absent => Some(Operation::RecordPayment),
        Recording::Recorded => None,
    }
}

/// A reservation goes up these steps and never down.
fn rank(status: &str) -> u8 {
    match status {
        "confirmed" => 2,
        "reserved" | "awaiting_payment" => 1,
        _ => 0,
    }
}

/// The aspects that a change of this kind sets.
#[must_use]
pub fn changed(operation: Operation, wanted: &Reservation, held: &Aspects) -> Aspects {
    let ours = wanted.aspects();
    match operation {
        Operation::Status => {
            Aspects { status: Some(next_status(wanted, held.status.as_deref()).to_owned()), ..Aspects::default() }
        }
        Operation::Relocate => Aspects { listing_id: ours.listing_id, ..Aspects::default() },
        Operation::Dates => Aspects { check_in: ours.check_in, check_out: ours.check_out, ..Aspects::default() },
        Operation::Guests => Aspects { party: ours.party, ..Aspects::default() },
        Operation::Notes => Aspects { notes: ours.notes, ..Aspects::default() },
        _ => Aspects::default(),
    }
}

/// The status to ask for: only what is confirmed can be cancelled, any other hold is closed.
#[must_use]
pub fn next_status<'a>(wanted: &'a Reservation, held: Option<&str>) -> &'a str {
    match (wanted.is_active(), held) {
        (true, _) => &wanted.status,
        (false, None | Some("confirmed")) => "canceled",
        (false, Some(_)) => "closed",
    }
}

/// What a row of Guestly's says. Where it counts guests only, a count that is ours tells nothing else.
#[must_use]
pub fn read(hit: &Hit, wanted: &Reservation) -> Aspects {
    let ours = wanted.aspects();
    let counted = |count: &u32| ours.party.is_none_or(|party| party.guests() != *count);
    let count = hit.guests.filter(counted).map(|adults| Party { adults, ..Party::default() });
    // One of several ids of the row (unit, type, listing): ours, if it is among them.
    let listing = ours.listing_id.filter(|ours| hit.listing_ids.contains(ours));
    Aspects {
        status: hit.status.clone(),
        listing_id: listing.or_else(|| hit.listing_ids.first().cloned()),
        check_in: hit.check_in,
        check_out: hit.check_out,
        party: hit.party.or(count),
        notes: None,
        payment: None,
    }
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
