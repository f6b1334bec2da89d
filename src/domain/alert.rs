//! What the owner is told by e-mail: kinds of alerts, what a mail says, and when one may leave.
//! Called by `pg::worker` (main thread); pure: time is an argument. Imports neither `pg` nor `net`.
//!
//! An alert is a row of `guestly.alerts` that holds no personal data: [`due`] decides over such rows which leave in the
//! next mail. Only then the bookings are read, and [`digest`] writes the mail.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use super::error::ErrorClass;
use super::retry::Backoff;

mod digest;
mod due;
mod page;
mod section;
mod subject;

pub use digest::{digest, test_mail};
pub use due::{Batch, Mailed, Next, Pace, Pending, Plan, due};

/// An arrival nearer than this is urgent.
const URGENT: TimeDelta = TimeDelta::hours(48);

/// Pauses while the mail server cannot be reached or asks to come again.
const MAIL_BACKOFF: Backoff = Backoff { base: Duration::from_secs(2), max: Duration::from_secs(300) };
/// Pauses after a refusal that only a person can mend: an address, a login, a key.
const REFUSED_BACKOFF: Backoff = Backoff { base: Duration::from_secs(60), max: Duration::from_secs(3600) };

/// What an alert is about. The names are stored in `guestly.alerts.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlertKind {
    /// A paid booking failed for good.
    BookingFailed,
    /// The same, because the nights are taken in Guestly.
    DatesTaken,
    /// A paid booking was not sent within `stale_after`, whatever the reason.
    Stale,
    /// Guestly holds two reservations of one booking.
    TwoReservations,
    /// The booking was deleted, and Guestly holds it or may hold it.
    Deleted,
    /// The total that Guestly reports is not what was paid.
    PriceDiffers,
    /// Guestly cannot be reached.
    Outage,
    /// It can again, and everything that waited is placed.
    Recovered,
    /// Guestly does not accept the credentials.
    Credentials,
    /// No more tokens may be fetched today.
    TokenCap,
}

impl AlertKind {
    /// Every kind, in the order of a mail's sections.
    pub const ALL: [Self; 10] = [
        Self::BookingFailed,
        Self::DatesTaken,
        Self::TwoReservations,
        Self::Deleted,
        Self::Stale,
        Self::PriceDiffers,
        Self::Outage,
        Self::Credentials,
        Self::TokenCap,
        Self::Recovered,
    ];

    /// The name that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BookingFailed => "booking_failed",
            Self::DatesTaken => "dates_taken",
            Self::Stale => "stale",
            Self::TwoReservations => "two_reservations",
            Self::Deleted => "deleted",
            Self::PriceDiffers => "price_differs",
            Self::Outage => "outage",
            Self::Recovered => "recovered",
            Self::Credentials => "credentials",
            Self::TokenCap => "token_cap",
        }
    }

    /// The kind with that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The kind of alert that a booking which failed with this class raises.
    #[must_use]
    pub const fn of_failure(class: ErrorClass) -> Self {
        match class {
            ErrorClass::DatesTaken => Self::DatesTaken,
            _ => Self::BookingFailed,
        }
    }

    /// Whether it is about one booking; the others are about the connection to Guestly as a whole.
    #[must_use]
    pub const fn is_about_a_booking(self) -> bool {
        !matches!(self, Self::Outage | Self::Recovered | Self::Credentials | Self::TokenCap)
    }

    /// Nothing, or hardly anything, can be sent: the desk has to work by hand.
    #[must_use]
    pub const fn is_standstill(self) -> bool {
        matches!(self, Self::Outage | Self::Credentials | Self::TokenCap)
    }

    /// Failed for good, in either way.
    const fn is_failure(self) -> bool {
        matches!(self, Self::BookingFailed | Self::DatesTaken)
    }
}

/// What a mail says about one booking. Texts are as the host has them; `digest` makes them harmless.
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
    /// Day of arrival, where it can be read.
    pub check_in: Option<NaiveDate>,
    /// Day of departure, where it can be read.
    pub check_out: Option<NaiveDate>,
    /// The property, as the host calls it.
    pub flat: Option<String>,
    /// Adults, where that can be read.
    pub adults: Option<u32>,
    /// Children.
    pub children: u32,
    /// Infants.
    pub infants: u32,
    /// What was paid, e.g. `420.00 EUR`.
    pub amount: Option<String>,
    /// What the payment provider calls the payment.
    pub payment_reference: Option<String>,
    /// The class of the problem, where there is one.
    pub class: Option<ErrorClass>,
    /// What Guestly said, or what is missing, in plain words.
    pub problem: Option<String>,
    /// Since when it has been waiting or has failed.
    pub since: Option<DateTime<Utc>>,
    /// Tries since it was last queued afresh.
    pub attempts: u32,
    /// What is known of who holds the nights, for `dates_taken`.
    pub conflict: Option<String>,
    /// Guestly holds it, as far as is known here.
    pub placed: bool,
    /// A call may have placed it, and it is not known whether it did.
    pub in_doubt: bool,
    /// Its row was deleted.
    pub gone: bool,
}

impl AlertBooking {
    /// What people call it: the reference, else the key.
    #[must_use]
    pub fn name(&self) -> &str {
        self.reference.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(&self.booking_id)
    }

    /// Nights of the stay, where both days can be read and are in order.
    #[must_use]
    pub fn nights(&self) -> Option<i64> {
        let nights = self.check_out?.signed_duration_since(self.check_in?).num_days();
        (nights > 0).then_some(nights)
    }

    /// Whether the guest arrives within 48 hours, or should be there already.
    #[must_use]
    pub fn is_urgent(&self, now: DateTime<Utc>) -> bool {
        is_urgent(self.check_in, now) && self.check_out.is_none_or(|day| day >= now.date_naive())
    }
}

/// An outage, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When Guestly stopped to answer.
    pub since: DateTime<Utc>,
    /// When it answered again.
    pub until: Option<DateTime<Utc>>,
    /// Bookings that wait; once it is over, those that could not be placed after all.
    pub waiting: u64,
}

/// An alert with all that its mail says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// `guestly.alerts.id`.
    pub id: i64,
    /// What it is about.
    pub kind: AlertKind,
    /// When it was raised.
    pub created_at: DateTime<Utc>,
    /// The booking, for kinds that are about one; of one that is gone by now only what the alert itself holds.
    pub booking: Option<AlertBooking>,
    /// The problem in plain words, without personal data.
    pub sentence: String,
    /// For `Outage` and `Recovered`.
    pub outage: Option<Outage>,
    /// For `Outage`, `Credentials` and `TokenCap`: who arrives in the next 48 hours, so that the desk can work by hand.
    pub arrivals: Vec<AlertBooking>,
}

/// The sentence of an outage of creates alone begins with this.
pub const NO_CREATES: &str = "Guestly accepts no new reservations";
/// That of any other outage.
pub const UNREACHABLE: &str = "Guestly cannot be reached";

impl Alert {
    /// The kind of outage in a few words.
    fn outage_words(&self) -> &'static str {
        if self.sentence.starts_with(NO_CREATES) { NO_CREATES } else { UNREACHABLE }
    }

    /// A failure of a change, or of a cancellation: Guestly holds the booking as it was.
    fn is_about_a_change(&self) -> bool {
        self.kind.is_failure() && self.booking.as_ref().is_some_and(|booking| booking.placed)
    }
}

/// A mail, ready to be sent. The subject is one line; neither part holds anything that a guest could have made active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// One line, useful on a phone.
    pub subject: String,
    /// The plain part, lines end in `\n`.
    pub text: String,
    /// The same as a well-formed page without scripts, pictures or links.
    pub html: String,
}

/// Whether an arrival is nearer than 48 hours, days taken to begin at midnight UTC, or past.
#[must_use]
pub fn is_urgent(arrival: Option<NaiveDate>, now: DateTime<Utc>) -> bool {
    let limit = now.checked_add_signed(URGENT).map_or(NaiveDate::MAX, |then| then.date_naive());
    arrival.is_some_and(|day| day <= limit)
}

/// The last day of arrival that belongs into an outage's list.
#[must_use]
pub fn last_arrival_of_list(now: DateTime<Utc>) -> NaiveDate {
    now.date_naive().checked_add_days(Days::new(2)).unwrap_or(NaiveDate::MAX)
}

/// What must change before an alert about the same thing is mailed again on the same day: the class and the sentence;
/// numbers in it (times, counts, ids) do not matter. Stored in `guestly.alerts.cause`.
#[must_use]
pub fn cause(class: Option<ErrorClass>, sentence: &str) -> String {
    let mut cause = class.map_or("", ErrorClass::as_str).to_owned();
    cause.push(':');
    for char in sentence.chars().take(300) {
        match char.is_numeric() {
            true if cause.ends_with('#') => {}
            true => cause.push('#'),
            false => cause.push(char),
        }
    }
    cause
}

/// How long to wait after `failures` mails in a row that did not leave (counted from 1): 2 s growing to 5 min, or, after a
/// refusal that is `permanent`, 1 min growing to 1 h. `jitter` in [0, 1); a change of the mail settings ends the wait.
#[must_use]
pub fn mail_pause(failures: u32, permanent: bool, jitter: f64) -> Duration {
    let backoff = if permanent { REFUSED_BACKOFF } else { MAIL_BACKOFF };
    // The upper half: jitter must not turn a pause into none.
    backoff.delay(failures, 0.5 + jitter.clamp(0.0, 1.0) / 2.0, None)
}

#[cfg(test)]
#[path = "alert_tests.rs"]
mod tests;
