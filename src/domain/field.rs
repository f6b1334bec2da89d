//! The fields of a booking and the values of one row, before they are parsed. Imports nothing; pure, any thread.

/// A field of a booking. Each has one expression in `guestly.field_map`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Field {
    /// The host's reference, shown to guests.
    Reference,
    /// Key into `guestly.listings`: the property's slug where there is one.
    Property,
    /// Second key into `guestly.listings`: the property's id.
    PropertyId,
    /// Guest's first name.
    GuestFirstName,
    /// Guest's last name.
    GuestLastName,
    /// Guest's e-mail address.
    GuestEmail,
    /// Guest's phone.
    GuestPhone,
    /// Day of arrival.
    CheckIn,
    /// Day of departure.
    CheckOut,
    /// Adults, at least one.
    Adults,
    /// Children.
    Children,
    /// Infants.
    Infants,
    /// Pets.
    Pets,
    /// The amount that the guest paid, in major units of the listing's currency.
    Total,
    /// The booking's status, a key of `guestly.status_map`.
    Status,
    /// The payment status that decides whether the booking is paid.
    PaymentStatus,
    /// The payment provider's id of the payment; shown in alerts.
    PaymentReference,
    /// The guest's requests; for the notes.
    SpecialRequests,
    /// Purpose of the stay; for the notes.
    Purpose,
    /// The guest's company; for the notes.
    Company,
    /// The guest's country; for the notes.
    Country,
    /// The guest's language, as a tag such as `de` or `en_GB`.
    Language,
}

impl Field {
    /// Every field, in the order in which rows are read.
    pub const ALL: [Field; 22] = [
        Self::Reference,
        Self::Property,
        Self::PropertyId,
        Self::GuestFirstName,
        Self::GuestLastName,
        Self::GuestEmail,
        Self::GuestPhone,
        Self::CheckIn,
        Self::CheckOut,
        Self::Adults,
        Self::Children,
        Self::Infants,
        Self::Pets,
        Self::Total,
        Self::Status,
        Self::PaymentStatus,
        Self::PaymentReference,
        Self::SpecialRequests,
        Self::Purpose,
        Self::Company,
        Self::Country,
        Self::Language,
    ];

    /// The name in `guestly.field_map`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Property => "property",
            Self::PropertyId => "property_id",
            Self::GuestFirstName => "guest_first_name",
            Self::GuestLastName => "guest_last_name",
            Self::GuestEmail => "guest_email",
            Self::GuestPhone => "guest_phone",
            Self::CheckIn => "check_in",
            Self::CheckOut => "check_out",
            Self::Adults => "adults",
            Self::Children => "children",
            Self::Infants => "infants",
            Self::Pets => "pets",
            Self::Total => "total",
            Self::Status => "status",
            Self::PaymentStatus => "payment_status",
            Self::PaymentReference => "payment_reference",
            Self::SpecialRequests => "special_requests",
            Self::Purpose => "purpose",
            Self::Company => "company",
            Self::Country => "country",
            Self::Language => "language",
        }
    }
}

/// The mapped values of one row, in the text form of Postgres.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Row {
    /// The primary key, as text.
    pub booking_id: String,
    /// In the order of [`Field::ALL`].
    pub values: Vec<Option<String>>,
    /// The reservation id in the host's row, unchecked.
    pub reservation_id: Option<String>,
}

impl Row {
    /// The value without surrounding white space; `None` if it is null or empty.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<&str> {
        let text = self.values.get(field as usize)?.as_deref()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// True when the payment status is one of `paid`, without regard to case.
    #[must_use]
    pub fn is_paid(&self, paid: &[String]) -> bool {
        self.get(Field::PaymentStatus).is_some_and(|status| paid.iter().any(|word| word.eq_ignore_ascii_case(status)))
    }
}
