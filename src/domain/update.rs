//! The requests that change a reservation, one endpoint for each aspect, and the one that reads it back.
//! Called by `pg::job`; pure, any thread. Endpoints and fields: Guesty Open API, Reservations v3.

use serde_json::{Value, json};

use super::held::{Known, next_status};
use super::outcome::Operation;
use super::payment::Payment;
use super::request::{ApiRequest, Method};
use super::reservation::{Reservation, percent_encode};

/// Guesty documents a free text, and was seen to accept only reasons of a list that it does not publish; this one it took.
const REASON: &str = "Cancelled Due to Hold/Expiration";

/// The call of that kind which brings Guestly nearer to `wanted`. All but the record of a payment are idempotent.
#[must_use]
pub fn request(operation: Operation, wanted: &Reservation, known: &Known) -> ApiRequest {
    let put = |action: &str, body: Value| ApiRequest {
        method: Method::Put,
        path: format!("/reservations-v3/{}/{action}", percent_encode(&known.reservation_id)),
        body: Some(body),
    };
    let payments = |method, body| {
        let path = wanted.payment.as_ref().map(|payment| payment.path(&known.reservation_id)).unwrap_or_default();
        ApiRequest { method, path, body }
    };
    match operation {
        Operation::ListPayments => payments(Method::Get, None),
        Operation::RecordPayment => payments(Method::Post, wanted.payment.as_ref().map(Payment::body)),
        Operation::Status => put("status", status(wanted, known)),
        Operation::Relocate => put("relocate", checked(json!({ "listingId": wanted.listing_id }))),
        Operation::Dates => put("dates", checked(dates(wanted))),
        Operation::Guests => put("guests", checked(guests(wanted))),
        Operation::Notes => {
            put("notes", json!({ "notes": { "other": wanted.booking.notes.as_deref().unwrap_or("") } }))
        }
        _ => read_back(&known.reservation_id),
    }
}

/// `GET /reservations-v3`: by id, since only that answer is sure to show the origin. Brackets must be encoded.
fn read_back(reservation_id: &str) -> ApiRequest {
    let path = format!("/reservations-v3?reservationIds%5B%5D={}", percent_encode(reservation_id));
    ApiRequest { method: Method::Get, path, body: None }
}

fn status(wanted: &Reservation, known: &Known) -> Value {
    match next_status(wanted, known.aspects.status.as_deref()) {
        "canceled" => json!({
            "status": "canceled",
            "canceledBy": "GUEST",
            "cancellationReason": REASON,
            "cancellationNote": format!("cancelled on the website, booking {}", name(wanted)),
        }),
        other => json!({ "status": other }),
    }
}

fn name(wanted: &Reservation) -> &str {
    wanted.booking.reference.as_deref().unwrap_or(&wanted.origin_id)
}

fn dates(wanted: &Reservation) -> Value {
    json!({
        "checkInDateLocalized": wanted.booking.check_in.to_string(),
        "checkOutDateLocalized": wanted.booking.check_out.to_string(),
    })
}

fn guests(wanted: &Reservation) -> Value {
    json!({ "guestsCount": wanted.booking.party().guests(), "numberOfGuests": wanted.number_of_guests() })
}

/// As at the create: Guestly's refusal is the guard against a double booking.
fn checked(mut body: Value) -> Value {
    if let Some(map) = body.as_object_mut() {
        map.extend(["ignoreCalendar", "ignoreTerms", "ignoreBlocks"].map(|flag| (flag.to_owned(), Value::Bool(false))));
    }
    body
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
