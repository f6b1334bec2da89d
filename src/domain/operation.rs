//! The kinds of calls that the worker makes. Imports nothing; pure, any thread.

/// The purpose of a call. It decides how a 2xx body is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operation {
    /// Fetch an access token.
    Token,
    /// Create a reservation.
    #[default]
    Create,
    /// Search reservations by confirmation code.
    LookUp,
    /// Read an existing reservation by its id.
    ReadBack,
    /// Change the status; also used to cancel.
    Status,
    /// Change the dates.
    Dates,
    /// Change the guest count.
    Guests,
    /// Move the reservation to another listing.
    Relocate,
    /// Write the notes.
    Notes,
    /// List the payments.
    ListPayments,
    /// Record the payment that was made on the site.
    RecordPayment,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 11] = [
        Self::Token,
        Self::Create,
        Self::LookUp,
        Self::ReadBack,
        Self::Status,
        Self::Dates,
        Self::Guests,
        Self::Relocate,
        Self::Notes,
        Self::ListPayments,
        Self::RecordPayment,
    ];

    /// The name used in tables and log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Create => "create",
            Self::LookUp => "look_up",
            Self::ReadBack => "read_back",
            Self::Status => "status",
            Self::Dates => "dates",
            Self::Guests => "guests",
            Self::Relocate => "relocate",
            Self::Notes => "notes",
            Self::ListPayments => "list_payments",
            Self::RecordPayment => "record_payment",
        }
    }

    /// True for a call that changes an existing reservation.
    #[must_use]
    pub const fn is_update(self) -> bool {
        matches!(self, Self::Status | Self::Dates | Self::Guests | Self::Relocate | Self::Notes | Self::RecordPayment)
    }

    /// True for a call about an existing reservation.
    #[must_use]
    pub const fn is_about_remote(self) -> bool {
        self.is_update() || matches!(self, Self::ReadBack | Self::ListPayments)
    }

    /// True for a call that changes nothing in Guestly.
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(self, Self::LookUp | Self::ReadBack | Self::ListPayments)
    }

    /// True for a call to the payment endpoint.
    #[must_use]
    pub const fn is_about_payment(self) -> bool {
        matches!(self, Self::ListPayments | Self::RecordPayment)
    }
}
