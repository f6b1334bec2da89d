//! An alert, its booking and its mail, as plain values. Part of `domain::alert`; pure, any thread.

use chrono::{DateTime, NaiveDate, Utc};

use super::kind::AlertKind;
use super::urgency::is_urgent;
use crate::domain::error::ErrorClass;

/// A booking in a mail. Texts are those of the host; `digest` cleans and escapes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertBooking {
    /// The key of `bookings`, as text.
    pub booking_id: String,
    /// The host's reference, e.g. `BK-0000123`.
    pub reference: Option<String>,
    /// First and last name.
    pub guest: Option<String>,
    /// The guest's phone.
    pub phone: Option<String>,
    /// Day of arrival, if it can be read.
    pub check_in: Option<NaiveDate>,
    /// Day of departure, if it can be read.
    pub check_out: Option<NaiveDate>,
    /// The property, as the host calls it.
    pub flat: Option<String>,
    /// Adults, if the count can be read.
    pub adults: Option<u32>,
    /// Children.
    pub children: u32,
    /// Infants.
    pub infants: u32,
    /// The amount paid, e.g. `420.00 EUR`.
    pub amount: Option<String>,
    /// The payment provider's id of the payment.
    pub payment_reference: Option<String>,
    /// The class of the problem, if there is one.
    pub class: Option<ErrorClass>,
    /// The problem, in plain words.
    pub problem: Option<String>,
    /// Since when it has been waiting or failed.
    pub since: Option<DateTime<Utc>>,
    /// Attempts since it was last queued afresh.
    pub attempts: u32,
    /// The conflicting booking, as far as it is known, for `dates_taken`.
    pub conflict: Option<String>,
    /// Guestly has its reservation, as far as is known here.
    pub placed: bool,
    /// A call may have created its reservation; the outcome is unknown.
    pub uncertain: bool,
    /// Its row was deleted.
    pub gone: bool,
}

impl AlertBooking {
    /// The name shown to people: the reference or, without one, the key.
    #[must_use]
    pub fn name(&self) -> &str {
        self.reference.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(&self.booking_id)
    }

    /// Nights of the stay, if both days can be read and are in order.
    #[must_use]
    pub fn nights(&self) -> Option<i64> {
        let nights = self.check_out?.signed_duration_since(self.check_in?).num_days();
        (nights > 0).then_some(nights)
    }

    /// True if the guest arrives within 48 hours or should have arrived.
    #[must_use]
    pub fn is_urgent(&self, now: DateTime<Utc>) -> bool {
        is_urgent(self.check_in, now) && self.check_out.is_none_or(|day| day >= now.date_naive())
    }
}

/// An outage of Guestly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When Guestly stopped answering.
    pub since: DateTime<Utc>,
    /// When it answered again.
    pub until: Option<DateTime<Utc>>,
    /// Waiting bookings; once it is over, those that failed.
    pub waiting: u64,
}

/// An alert with the data of its mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// `guestly.alerts.id`.
    pub id: i64,
    /// The reason.
    pub kind: AlertKind,
    /// When it was raised.
    pub created_at: DateTime<Utc>,
    /// The booking, for kinds about one. Of a deleted booking only the data of the alert itself.
    pub booking: Option<AlertBooking>,
    /// The problem in plain words, without personal data.
    pub sentence: String,
    /// For `Outage` and `Recovered`.
    pub outage: Option<Outage>,
    /// For `Outage`, `Credentials` and `TokenCap`: the arrivals of the next 48 hours, so that the front desk can work manually.
    pub arrivals: Vec<AlertBooking>,
}

/// Start of the sentence about an outage of creates alone.
pub const NO_CREATES: &str = "Guestly accepts no new reservations";
/// Start of the sentence about any other outage.
pub const UNREACHABLE: &str = "Guestly cannot be reached";

impl Alert {
    /// The kind of outage as a heading.
    pub(super) fn outage_heading(&self) -> &'static str {
        if self.sentence.starts_with(NO_CREATES) { NO_CREATES } else { UNREACHABLE }
    }

    /// True if a change or cancellation failed: Guestly still has the old reservation.
    pub(super) fn is_about_a_change(&self) -> bool {
        self.kind.is_failure() && self.booking.as_ref().is_some_and(|booking| booking.placed)
    }
}

/// A mail, ready to be sent. Guests' texts are escaped in every part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// One line, readable on a phone.
    pub subject: String,
    /// The plain part, lines end in `\n`.
    pub text: String,
    /// The same as a well-formed page without scripts, pictures or links.
    pub html: String,
}
