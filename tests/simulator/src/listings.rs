//! The account's listings and prices. Configured through admin.rs, read under the state lock.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;

/// One listing; the names are those of the admin call, not of the API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listing {
    pub id: String,
    #[serde(default = "title")]
    pub title: String,
    #[serde(default = "accommodates")]
    pub accommodates: u64,
    #[serde(default = "one")]
    pub min_nights: i64,
    /// Bookings per night; `null` is unlimited.
    #[serde(default)]
    pub units: Option<usize>,
    #[serde(default = "timezone")]
    pub timezone: String,
    #[serde(default = "currency")]
    pub currency: String,
    #[serde(default = "yes")]
    pub active: bool,
    /// Price of a night in cents if the client sends no fare.
    #[serde(default = "nightly")]
    pub nightly_cents: i64,
    #[serde(default)]
    pub cleaning_cents: i64,
    /// As a fraction: 0.1 is ten percent.
    #[serde(default)]
    pub discount: f64,
    #[serde(default)]
    pub tax: f64,
}

fn title() -> String {
    "Seaside flat".into()
}
const fn accommodates() -> u64 {
    8
}
const fn one() -> i64 {
    1
}
fn timezone() -> String {
    "Europe/Athens".into()
}
fn currency() -> String {
    "EUR".into()
}
const fn yes() -> bool {
    true
}
const fn nightly() -> i64 {
    10_000
}

/// The listings of a new simulator: `…4400` to `…440f` are unlimited, `…44f1` has one unit
/// and `…44f2` has discount and tax.
pub(crate) fn defaults() -> HashMap<String, Listing> {
    let mut map = HashMap::new();
    let mut add = |tail: u32, change: &dyn Fn(&mut Listing)| {
        let mut listing = Listing {
            id: format!("64b1f0aa11bb22cc33dd{tail:04x}"),
            title: title(),
            accommodates: accommodates(),
            min_nights: 1,
            units: None,
            timezone: timezone(),
            currency: currency(),
            active: true,
            nightly_cents: nightly(),
            cleaning_cents: 0,
            discount: 0.0,
            tax: 0.0,
        };
        change(&mut listing);
        map.insert(listing.id.clone(), listing);
    };
    (0x4400..=0x440f).for_each(|tail| add(tail, &|_| ()));
    add(0x44f1, &|listing| {
        listing.units = Some(1);
        listing.min_nights = 2;
    });
    add(0x44f2, &|listing| {
        listing.discount = 0.1;
        listing.tax = 0.13;
    });
    map
}

/// Totals in cents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Money {
    pub fare: i64,
    pub adjusted: i64,
    pub cleaning: i64,
    pub subtotal: i64,
    pub taxes: i64,
    pub total: i64,
}

impl Listing {
    /// `subtotal = fare × (1 − discount) + cleaning`, `total = subtotal × (1 + tax)`.
    pub(crate) fn price(&self, nights: i64, fare: Option<i64>, cleaning: Option<i64>) -> Money {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        let share = |cents: i64, part: f64| (cents as f64 * part).round() as i64;
        let fare = fare.unwrap_or(self.nightly_cents * nights);
        let cleaning = cleaning.unwrap_or(self.cleaning_cents);
        let adjusted = fare - share(fare, self.discount);
        let subtotal = adjusted + cleaning;
        let taxes = share(subtotal, self.tax);
        Money { fare, adjusted, cleaning, subtotal, taxes, total: subtotal + taxes }
    }

    /// The body of `GET /v1/listings/{id}`.
    pub(crate) fn body(&self) -> Value {
        json!({"_id": self.id, "title": self.title, "accommodates": self.accommodates, "timezone": self.timezone,
            "prices": {"currency": self.currency}, "active": self.active, "terms": {"minNights": self.min_nights}})
    }
}

/// Cents as a decimal number, or as text.
pub(crate) fn decimal(cents: i64, as_text: bool) -> Value {
    #[allow(clippy::cast_precision_loss)]
    let number = cents as f64 / 100.0;
    if as_text { json!(format!("{number:.2}")) } else { json!(number) }
}

/// A decimal amount as cents.
pub(crate) fn cents(amount: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation)]
    let cents = (amount * 100.0).round() as i64;
    cents
}
