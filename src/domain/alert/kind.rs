//! The kinds of alerts. Part of `domain::alert`; pure, any thread.

use crate::domain::error::ErrorClass;

/// The reason of an alert. The names are stored in `guestly.alerts.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlertKind {
    /// A paid booking failed for good.
    BookingFailed,
    /// A paid booking failed for good because the nights are taken in Guestly.
    DatesTaken,
    /// A paid booking was not sent within `stale_after`, for any reason.
    Stale,
    /// Guestly has two reservations for one booking.
    TwoReservations,
    /// The booking was deleted, and Guestly has or may have its reservation.
    Deleted,
    /// Guestly reports another total than was paid.
    PriceDiffers,
    /// Guestly cannot be reached.
    Outage,
    /// Guestly can be reached again, and all waiting bookings were handled.
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

    /// The kind of alert for a booking that failed with this class.
    #[must_use]
    pub const fn of_failure(class: ErrorClass) -> Self {
        match class {
            ErrorClass::DatesTaken => Self::DatesTaken,
            _ => Self::BookingFailed,
        }
    }

    /// True for an alert about one booking; the others are about the connection to Guestly.
    #[must_use]
    pub const fn is_about_a_booking(self) -> bool {
        !matches!(self, Self::Outage | Self::Recovered | Self::Credentials | Self::TokenCap)
    }

    /// True if little or nothing can be sent, so that the front desk has to work manually.
    #[must_use]
    pub const fn is_standstill(self) -> bool {
        matches!(self, Self::Outage | Self::Credentials | Self::TokenCap)
    }

    /// True for a booking that failed for good.
    pub(super) const fn is_failure(self) -> bool {
        matches!(self, Self::BookingFailed | Self::DatesTaken)
    }
}
