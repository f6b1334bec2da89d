//! The payment that the guest made on the site: the request that records it in Guestly, and how ours is recognized in the
//! list. Called by `domain::reservation` and `domain::update_request`; pure, any thread. Endpoint and fields: Guesty Open
//! API, guest payments. The endpoint has no idempotency key, so payments are listed before one is recorded.

use serde_json::{Value, json};

use super::field::{Field, Row};
use super::redact::clean;
use super::request::percent_encode;

/// Methods with which Guesty may charge a card. The guest has paid already.
const CHARGING: [&str; 6] = ["AMARYLLIS", "CASH", "CREDIT", "DEBIT", "ECHECK", "STRIPE"];
/// Used instead of a charging or empty method.
const SAFE_METHOD: &str = "OTHER";
/// The endpoint until 2027-03-01; its successor is not public yet.
pub const LEGACY_PATH: &str = "/reservations/{id}/payments";
/// The smallest amount that Guesty accepts, in major units.
const SMALLEST: f64 = 0.01;
/// Longest name in the note, in characters; Guesty accepts 500 in all.
const LONGEST_NAME: usize = 150;

/// The settings for recording payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentMethod {
    /// Guesty's payment method.
    pub method: String,
    /// Path below the base URL, with `{id}` for the reservation's id.
    pub path: String,
}

impl PaymentMethod {
    /// From the settings, with a sentence about those that were replaced because they cannot be used.
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
        let settings = Self {
            method: if charges || method.is_empty() { SAFE_METHOD.to_owned() } else { method },
            path: if shaped { path } else { LEGACY_PATH }.to_owned(),
        };
        (settings, (!wrong.is_empty()).then(|| wrong.join("; ")))
    }
}

/// The payment of a booking.
#[derive(Clone, Debug, PartialEq)]
pub struct Payment {
    /// True once the guest has paid.
    pub paid: bool,
    method: PaymentMethod,
    amount: f64,
    note: String,
    /// The part of the note that identifies our payment in the list.
    tag: String,
}

impl Payment {
    /// The payment of the booking with that `originId` and `total` (major units); `None` if there is nothing to pay.
    /// `paid`: the payment statuses that mean paid.
    #[must_use]
    pub fn of(origin_id: &str, total: f64, row: &Row, method: &PaymentMethod, paid: &[String]) -> Option<Self> {
        let tag = format!("(guestly_sync {origin_id})");
        let named = |name: &str, text: Option<&str>| text.map(|text| format!("{name} {}", clean(text, LONGEST_NAME)));
        let names = [
            named("Payment", row.get(Field::PaymentReference)),
            named("booking", row.get(Field::Reference)),
            Some(tag.clone()),
        ];
        let payment = Self {
            paid: row.is_paid(paid),
            method: method.clone(),
            amount: total,
            note: names.into_iter().flatten().collect::<Vec<_>>().join(", "),
            tag,
        };
        (total >= SMALLEST).then_some(payment)
    }

    /// True if one of these notes belongs to this payment.
    #[must_use]
    pub fn is_among(&self, notes: &[String]) -> bool {
        notes.iter().any(|note| note.contains(&self.tag))
    }

    /// Path of the payments of a reservation, below the base URL.
    #[must_use]
    pub fn path(&self, reservation_id: &str) -> String {
        self.method.path.replace("{id}", &percent_encode(reservation_id))
    }

    /// The body that records it. Without a date Guestly takes it as paid now; one with a future date would be charged.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({ "paymentMethod": { "method": self.method.method }, "amount": self.amount, "note": self.note })
    }
}

#[cfg(test)]
#[path = "payment_tests.rs"]
mod tests;
