//! Error classes and the problem of one booking. Used by all of `domain`, and by `pg` to report; any thread.

use std::fmt;

/// Why a booking is not in Guestly yet. The names are part of the contract: they stand in `guestly.queue.error_class`,
/// and before the colon of `bookings.guestly_sync_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Our own data cannot be sent.
    InvalidBooking,
    /// The property has no row in `guestly.listings`, or Guestly does not know the listing.
    UnknownListing,
    /// The booking's status has no row in `guestly.status_map`.
    UnknownStatus,
    /// The nights are taken in Guestly.
    DatesTaken,
    /// Any other refusal: trying again would be refused again.
    Refused,
    /// Guestly does not accept our credentials; stops the send gate, not the booking.
    Credentials,
    /// Guestly asked us to slow down.
    Throttled,
    /// Guestly cannot be reached, or answers 5xx.
    Unavailable,
    /// Sent, and no readable answer came back.
    UnknownOutcome,
    /// Our own fault, or a trigger of the host that raises.
    Internal,
}

impl ErrorClass {
    /// Every class, in the order of the documentation.
    pub const ALL: [ErrorClass; 10] = [
        Self::InvalidBooking,
        Self::UnknownListing,
        Self::UnknownStatus,
        Self::DatesTaken,
        Self::Refused,
        Self::Credentials,
        Self::Throttled,
        Self::Unavailable,
        Self::UnknownOutcome,
        Self::Internal,
    ];

    /// The name that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidBooking => "invalid_booking",
            Self::UnknownListing => "unknown_listing",
            Self::UnknownStatus => "unknown_status",
            Self::DatesTaken => "dates_taken",
            Self::Refused => "refused",
            Self::Credentials => "credentials",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Internal => "internal",
        }
    }

    /// The class with that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// True for what no retry mends: the booking is `failed` at once and waits for a person.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        matches!(
            self,
            Self::InvalidBooking | Self::UnknownListing | Self::UnknownStatus | Self::DatesTaken | Self::Refused
        )
    }
}

/// A class and a sentence that an operator understands. Never holds a secret or a guest's personal data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// What kind of problem.
    pub class: ErrorClass,
    /// Plain words; says what to mend where that is known.
    pub sentence: String,
}

impl Problem {
    /// A problem in plain words.
    #[must_use]
    pub fn new(class: ErrorClass, sentence: impl Into<String>) -> Self {
        Self { class, sentence: sentence.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.as_str(), self.sentence)
    }
}
