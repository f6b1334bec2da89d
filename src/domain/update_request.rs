//! The requests about existing reservations: changes, one endpoint per aspect, reads and the look-up.
//! Called by `pg::job`; pure, any thread. Endpoints and fields: Guesty Open API, Reservations v3.

use serde_json::{Value, json};

use super::diff::next_status;
use super::operation::Operation;
use super::payment::Payment;
use super::request::{ApiRequest, Method, percent_encode};
use super::reservation::Reservation;
use super::snapshot::RemoteReservation;

/// Documented as free text, but Guesty accepts only reasons of an unpublished list. This one was accepted.
const REASON: &str = "Cancelled Due to Hold/Expiration";

/// The request of an operation about `remote`. All but the record of a payment are idempotent.
#[must_use]
pub fn build(operation: Operation, wanted: &Reservation, remote: &RemoteReservation) -> ApiRequest {
    let put = |action: &str, body: Value| ApiRequest {
        method: Method::Put,
        path: format!("/reservations-v3/{}/{action}", percent_encode(&remote.reservation_id)),
        body: Some(body),
    };
    let payments = |method, body| {
        let path = wanted.payment.as_ref().map(|payment| payment.path(&remote.reservation_id)).unwrap_or_default();
        ApiRequest { method, path, body }
    };
    match operation {
        Operation::ListPayments => payments(Method::Get, None),
        Operation::RecordPayment => payments(Method::Post, wanted.payment.as_ref().map(Payment::body)),
        Operation::Status => put("status", status(wanted, remote)),
        Operation::Relocate => put("relocate", checked(json!({ "listingId": wanted.listing_id }))),
        Operation::Dates => put("dates", checked(dates(wanted))),
        Operation::Guests => put("guests", checked(guests_body(wanted))),
        Operation::Notes => {
            put("notes", json!({ "notes": { "other": wanted.booking.notes.as_deref().unwrap_or("") } }))
        }
        _ => read_back(&remote.reservation_id),
    }
}

/// The look-up by confirmation code, `GET /reservations-v3/search`. Brackets must be encoded.
#[must_use]
pub fn look_up(code: &str) -> ApiRequest {
    let path = format!("/reservations-v3/search?filter%5BconfirmationCode%5D={}&limit=10", percent_encode(code));
    ApiRequest { method: Method::Get, path, body: None }
}

/// `GET /reservations-v3` by id: only this answer is sure to contain the origin. Brackets must be encoded.
fn read_back(reservation_id: &str) -> ApiRequest {
    let path = format!("/reservations-v3?reservationIds%5B%5D={}", percent_encode(reservation_id));
    ApiRequest { method: Method::Get, path, body: None }
}

fn status(wanted: &Reservation, remote: &RemoteReservation) -> Value {
    match next_status(wanted, remote.snapshot.status.as_deref()) {
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

fn guests_body(wanted: &Reservation) -> Value {
    json!({ "guestsCount": wanted.booking.guests().guests_count(), "numberOfGuests": wanted.number_of_guests() })
}

/// As for a create: Guestly's refusal prevents double bookings.
fn checked(mut body: Value) -> Value {
    if let Some(map) = body.as_object_mut() {
        map.extend(["ignoreCalendar", "ignoreTerms", "ignoreBlocks"].map(|flag| (flag.to_owned(), Value::Bool(false))));
    }
    body
}

#[cfg(test)]
#[path = "update_request_tests.rs"]
mod tests;
