//! The reservations in an answer, in every spelling of the API. Part of `domain::outcome`; pure.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;

use crate::domain::guests::GuestCount;
use crate::domain::snapshot::is_usable_id;

/// A reservation in an answer. Everything but the id may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hit {
    /// Guestly's id of the reservation.
    pub reservation_id: String,
    /// Guestly's status, e.g. `confirmed`, `canceled`.
    pub status: Option<String>,
    /// The confirmation code.
    pub confirmation_code: Option<String>,
    /// The `originId`: our booking id, if the row has it.
    pub origin_id: Option<String>,
    /// The listing and unit ids of the row, without duplicates.
    pub listing_ids: Vec<String>,
    /// First night, in the property's time zone.
    pub check_in: Option<NaiveDate>,
    /// Day of departure, in the property's time zone.
    pub check_out: Option<NaiveDate>,
    /// When Guestly created it.
    pub created_at: Option<DateTime<Utc>>,
    /// The guest count.
    pub guests: Option<GuestCount>,
    /// `guestsCount`: adults and children.
    pub guests_count: Option<u32>,
    /// The total as Guestly shows it, a decimal in major units of the listing's currency.
    pub total: Option<String>,
}

/// The reservations of a 2xx body: `{"results":[..]}` or a bare array. `None` if it is neither, if it contains an error, if it
/// is empty but claims to have more, or if a row has no readable id: a search that cannot be read must not count as "not
/// found".
pub(super) fn parse_hits(body: &[u8]) -> Option<Vec<Hit>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let rows = match &value {
        Value::Array(rows) => rows,
        Value::Object(map) if !contains_error(&value) => map.get("results")?.as_array()?,
        _ => return None,
    };
    if rows.is_empty() && value.pointer("/pagination/hasMore") == Some(&Value::Bool(true)) {
        return None;
    }
    rows.iter().map(hit).collect()
}

/// True for a 2xx body with an error in it, as gateways send if a service behind them failed.
pub(super) fn contains_error(value: &Value) -> bool {
    ["error", "errors"].iter().filter_map(|name| value.get(name)).any(|error| match error {
        Value::Null | Value::Bool(false) => false,
        Value::Array(errors) => !errors.is_empty(),
        Value::Object(errors) => !errors.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    })
}

fn hit(row: &Value) -> Option<Hit> {
    Some(Hit {
        reservation_id: reservation_id(row)?,
        status: text(row.get("status")),
        confirmation_code: text(row.get("confirmationCode")),
        origin_id: text(row.get("originId")),
        listing_ids: listing_ids(row),
        check_in: date(row, "checkInDateLocalized", "checkIn"),
        check_out: date(row, "checkOutDateLocalized", "checkOut"),
        created_at: instant(row.get("createdAt")).or_else(|| instant(row.get("creationTime"))),
        guests: guests_of(row),
        guests_count: row.get("guestsCount").and_then(count),
        total: total(row),
    })
}

/// The id of a reservation, under the first of its three names that is present; `None` if it is not usable (see
/// `snapshot::is_usable_id`).
pub(super) fn reservation_id(row: &Value) -> Option<String> {
    let named = ["reservationId", "_id", "id"]
        .iter()
        .find_map(|name| row.get(name).filter(|id| !id.is_null() && **id != ""))?;
    let text = named.as_str()?;
    is_usable_id(text).then(|| text.to_owned())
}

/// The id of a listing: 1 to 100 visible ASCII characters. Anything else cannot be stored or put in a path, so it counts as
/// missing.
fn id(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    let usable = (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    usable.then(|| text.to_owned())
}

/// A short text, cleaned; numbers are accepted, as some services send them.
pub(super) fn text(value: Option<&Value>) -> Option<String> {
    let raw = match value? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let cleaned = crate::domain::redact::clean(&raw, 100);
    (!cleaned.is_empty()).then_some(cleaned)
}

fn stays(row: &Value) -> &[Value] {
    row.get("stay").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn listing_ids(row: &Value) -> Vec<String> {
    let mut ids = Vec::new();
    for place in std::iter::once(row).chain(stays(row)) {
        for name in ["listingId", "unitId", "unitTypeId"] {
            if let Some(found) = place.get(name).and_then(id)
                && !ids.contains(&found)
            {
                ids.push(found);
            }
        }
    }
    ids
}

/// The localized date if there is one, because the plain field may be a time in UTC, on another day than in the property's
/// time zone.
fn date(row: &Value, localized: &str, plain: &str) -> Option<NaiveDate> {
    let stay = stays(row);
    // Arrival is in the first segment, departure in the last.
    let segment = if plain == "checkIn" { stay.first() } else { stay.last() };
    [row.get(localized), segment.and_then(|s| s.get(localized)), row.get(plain), segment.and_then(|s| s.get(plain))]
        .into_iter()
        .flatten()
        .find_map(|value| NaiveDate::parse_from_str(value.as_str()?.get(..10)?, "%Y-%m-%d").ok())
}

/// `None` unless the number of adults is given.
fn guests_of(row: &Value) -> Option<GuestCount> {
    let guests = row.get("numberOfGuests")?;
    let of = |name: &str| guests.get(name).and_then(count);
    Some(GuestCount {
        adults: of("numberOfAdults")?,
        children: of("numberOfChildren").unwrap_or(0),
        infants: of("numberOfInfants").unwrap_or(0),
        pets: of("numberOfPets").unwrap_or(0),
    })
}

fn count(value: &Value) -> Option<u32> {
    text(Some(value))?.parse().ok()
}

fn instant(value: Option<&Value>) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(value?.as_str()?).ok().map(|at| at.with_timezone(&Utc))
}

/// The total in an answer to a change, if it can be read.
pub(super) fn reported_total(body: &[u8]) -> Option<String> {
    total(&serde_json::from_slice(body).ok()?)
}

/// The total of a reservation, under any of its names.
pub(super) fn total(row: &Value) -> Option<String> {
    let money = row.get("money");
    [
        money.and_then(|m| m.get("totalPrice")),
        money.and_then(|m| m.get("total")),
        row.get("totalPrice"),
        row.get("total"),
    ]
    .into_iter()
    .find_map(amount)
}

/// A decimal number or the same as a string: digits, at most one point, a sign. No exponent.
fn amount(value: Option<&Value>) -> Option<String> {
    let text = text(value)?;
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let shaped =
        digits.bytes().filter(|b| *b == b'.').count() <= 1 && digits.bytes().next().is_some_and(|b| b.is_ascii_digit());
    (plain && shaped && text.len() <= 20).then_some(text)
}

#[cfg(test)]
#[path = "hits_tests.rs"]
mod tests;
