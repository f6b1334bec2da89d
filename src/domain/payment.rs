//! The payment that the guest made on the site, recorded in Guestly once: what is sent, and how ours is told from others.
//! Called by `domain::plan`, `domain::held` and `domain::update`; pure, any thread. Endpoint and fields: Guesty Open API, guest
//! payments; the endpoint has no key against a repetition, so the payments are listed before one is recorded.

use serde_json::{Value, json};

use super::booking::{Field, Row};
use super::redact::clean;
use super::reservation::{Reservation, percent_encode};

/// Methods with which Guesty may charge a card; money that was taken already must not be taken again.
const CHARGING: [&str; 6] = ["AMARYLLIS", "CASH", "CREDIT", "DEBIT", "ECHECK", "STRIPE"];
/// Taken where another one must not be.
const SAFE_METHOD: &str = "OTHER";
/// Where payments are recorded until 2027-03-01; what follows it is not public yet.
pub const LEGACY_PATH: &str = "/reservations/{id}/payments";
/// The smallest amount that Guesty takes, in major units.
const SMALLEST: f64 = 0.01;
/// Characters of a name in the note, of which Guesty takes 500.
const NAME: usize = 150;

/// How payments are recorded: the operator's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Guesty's payment method.
    pub method: String,
    /// Below the base URL, with `{id}` in the place of the reservation's id.
    pub path: String,
}

impl Terms {
    /// From the settings; beside it, in words, what of them cannot be used and what is used instead.
    #[must_use]
    pub fn new(method: &str, path: &str) -> (Self, Option<String>) {
        let (method, path) = (method.trim().to_uppercase(), path.trim());
        let charges = CHARGING.contains(&method.as_str());
        let clean = path.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`|#".contains(&b));
        let shaped = path.starts_with('/') && path.contains("{id}") && clean;
        let wrong = [
            charges.then(|| format!("payment_method_name {method} can charge a card again: {SAFE_METHOD} is used")),
            (!shaped).then(|| {
                format!(
                    "payment_path must begin with /, contain {{id}} and contain only characters that are valid in a URL path: {LEGACY_PATH} is used"
                )
            }),
        ];
        let wrong: Vec<String> = wrong.into_iter().flatten().collect();
        let terms = Self {
            method: if charges || method.is_empty() { SAFE_METHOD.to_owned() } else { method },
            path: if shaped { path } else { LEGACY_PATH }.to_owned(),
        };
        (terms, (!wrong.is_empty()).then(|| wrong.join("; ")))
    }
}

/// The payment of a booking.
#[derive(Clone, Debug, PartialEq)]
pub struct Payment {
    /// Whether there is one by now.
    pub paid: bool,
    terms: Terms,
    amount: f64,
    note: String,
    mark: String,
}

impl Payment {
    /// The payment of this booking; none where nothing is to be paid.
    #[must_use]
    pub fn of(reservation: &Reservation, row: &Row, terms: &Terms, paid: &[String]) -> Option<Self> {
        let mark = format!("(guestly_sync {})", reservation.origin_id);
        let named = |name: &str, text: Option<&str>| text.map(|text| format!("{name} {}", clean(text, NAME)));
        let names = [
            named("Payment", row.get(Field::PaymentReference)),
            named("booking", row.get(Field::Reference)),
            Some(mark.clone()),
        ];
        let payment = Self {
            paid: row.is_paid(paid),
            terms: terms.clone(),
            amount: reservation.booking.total,
            note: names.into_iter().flatten().collect::<Vec<_>>().join(", "),
            mark,
        };
        (payment.amount >= SMALLEST).then_some(payment)
    }

    /// True if one of these notes is that of this booking's payment.
    #[must_use]
    pub fn is_among(&self, notes: &[String]) -> bool {
        notes.iter().any(|note| note.contains(&self.mark))
    }

    /// Below the base URL.
    #[must_use]
    pub fn path(&self, reservation_id: &str) -> String {
        self.terms.path.replace("{id}", &percent_encode(reservation_id))
    }

    /// What is sent. Without a time it counts as paid now; one in the future would be charged.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({ "paymentMethod": { "method": self.terms.method }, "amount": self.amount, "note": self.note })
    }
}

/// What is known of a payment in Guestly. The names are stored in `guestly.reservations.payment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// To be recorded, and Guestly was not asked for it yet.
    Due,
    /// Guestly was asked and does not list it.
    Absent,
    /// It may have been recorded: only asking tells.
    Sent,
    /// Guestly lists it.
    Recorded,
}

impl Recording {
    /// The name that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Absent => "absent",
            Self::Sent => "sent",
            Self::Recorded => "recorded",
        }
    }

    /// The one with that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Due, Self::Absent, Self::Sent, Self::Recorded].into_iter().find(|recording| recording.as_str() == name)
    }
}

#[cfg(test)]
#[path = "payment_tests.rs"]
mod tests;
