//! Error classes and the problem of one booking. Imports nothing; pure, any thread.

use std::fmt;

/// Why a booking is not in Guestly yet. The names are public: they appear in `guestly.queue.error_class` and before the colon
/// in `bookings.guestly_sync_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The booking's data cannot be sent.
    InvalidBooking,
    /// The property has no row in `guestly.listings`, or Guestly does not know the listing.
    UnknownListing,
    /// The booking's status has no row in `guestly.status_map`.
    UnknownStatus,
    /// The nights are taken in Guestly.
    DatesTaken,
    /// Any other refusal; the same request would be refused again.
    Refused,
    /// Guestly does not accept the credentials. This stops all calls and fails no booking.
    Credentials,
    /// Guestly asked for a pause (429).
    Throttled,
    /// Guestly cannot be reached, or answers 5xx.
    Unavailable,
    /// The request was sent, but no readable answer was received.
    UnknownOutcome,
    /// A bug of the extension, or a trigger of the host that raises an error.
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

    /// True if retrying cannot help: the booking is `failed` at once and needs manual action.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        matches!(
            self,
            Self::InvalidBooking | Self::UnknownListing | Self::UnknownStatus | Self::DatesTaken | Self::Refused
        )
    }
}

/// A class and a sentence for the operator. Contains no secret and no personal data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The kind of problem.
    pub class: ErrorClass,
    /// Plain words, with the fix if it is known.
    pub sentence: String,
}

impl Problem {
    /// A problem with that sentence.
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
