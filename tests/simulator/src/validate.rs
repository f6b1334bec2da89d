//! Validation of bodies, in the documented order and with the variants of the hostile profile.
//! Called by create.rs and updates.rs under the state lock; changes nothing.

use crate::answer::Answer;
use crate::call::Call;
use crate::clock::{format_date, parse_date};
use crate::config::{Knobs, Profile};
use crate::listings::cents;
use crate::reservations::nights;
use crate::schema;
use serde_json::{Value, json};

/// The eight statuses of v3.
pub(crate) const STATUSES: [&str; 8] =
    ["confirmed", "reserved", "awaiting_payment", "inquiry", "canceled", "closed", "declined", "expired"];

const FIELDS: &str = "checkInDateLocalized checkOutDateLocalized listingId source status guestsCount guestId \
    guest numberOfGuests ratePlanId couponCode accommodationFare cleaningFee applyPromotions \
    ignoreCalendar ignoreTerms ignoreBlocks reservedUntil confirmedAt confirmationCode \
    origin originId bookingDate";

/// A create that passed the schema.
#[derive(Debug)]
pub(crate) struct Booking {
    pub listing: String,
    pub check_in: String,
    pub check_out: String,
    pub source: String,
    pub status: String,
    pub guests_count: u64,
    pub guest_id: Option<String>,
    pub email: Option<String>,
    pub fare: Option<i64>,
    pub cleaning: Option<i64>,
    pub code: Option<String>,
    pub origin: Option<String>,
    pub origin_id: Option<String>,
    pub ignore_calendar: bool,
    pub ignore_terms: bool,
}

/// The JSON object of a call, or the answer to any other body.
pub(crate) fn object<'a>(call: &'a Call, knobs: &Knobs) -> Result<&'a Value, Answer> {
    let form = call.request.header("content-type").unwrap_or("");
    match call.json.as_ref().filter(|json| json.is_object()) {
        Some(json) if form.starts_with("application/json") => Ok(json),
        _ if knobs.profile == Profile::Hostile => Err(Answer::html(400)),
        _ => Err(Answer::nest(400, "Unexpected token in JSON at position 0")),
    }
}

/// 400 with a list of messages; hostile: 422 with one text.
pub(crate) fn invalid(knobs: &Knobs, messages: &[String]) -> Answer {
    if knobs.profile == Profile::Hostile {
        return Answer::nest(422, &messages.join(", "));
    }
    Answer::json(400, &json!({"statusCode": 400, "message": messages, "error": "Bad Request"}))
}

/// True if a text is an id.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

pub(crate) fn flag(body: &Value, name: &str) -> bool {
    body.get(name).and_then(Value::as_bool).unwrap_or(false)
}

pub(crate) fn text(body: &Value, name: &str) -> Option<String> {
    body.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// Fields of a create that are not in the schema.
pub(crate) fn unknown_fields(body: &Value) -> Vec<&str> {
    let Some(map) = body.as_object() else {
        return Vec::new();
    };
    map.keys().map(String::as_str).filter(|key| !FIELDS.split(' ').any(|f| f == *key)).collect()
}

/// The schema of a create.
pub(crate) fn booking(body: &Value, knobs: &Knobs, today: i64) -> Result<Booking, Answer> {
    let problems = schema::problems(body, knobs);
    if !problems.is_empty() {
        return Err(invalid(knobs, &problems));
    }
    let field = |name| text(body, name).unwrap_or_default();
    let listing = field("listingId");
    if !is_id(&listing) {
        let hostile = knobs.profile == Profile::Hostile;
        let message = "VALIDATION_ERROR - listingId must be a mongodb id";
        return Err(Answer::nest(if hostile { 500 } else { 400 }, message));
    }
    let (check_in, check_out) = (field("checkInDateLocalized"), field("checkOutDateLocalized"));
    dates(&check_in, &check_out, knobs, today)?;
    let short = |name| text(body, name).map(|t| t.chars().take(50).collect::<String>());
    let amount = |name| body.get(name).and_then(Value::as_f64).map(cents);
    Ok(Booking {
        listing,
        check_in,
        check_out,
        source: field("source"),
        status: field("status"),
        guests_count: body.get("guestsCount").and_then(Value::as_u64).unwrap_or(1),
        guest_id: text(body, "guestId"),
        email: body.get("guest").and_then(|guest| text(guest, "email")),
        fare: amount("accommodationFare"),
        cleaning: amount("cleaningFee"),
        code: short("confirmationCode"),
        origin: short("origin"),
        origin_id: short("originId"),
        ignore_calendar: flag(body, "ignoreCalendar"),
        ignore_terms: flag(body, "ignoreTerms"),
    })
}

/// Both dates of a stay.
pub(crate) fn dates(check_in: &str, check_out: &str, knobs: &Knobs, today: i64) -> Result<(), Answer> {
    let status = if knobs.profile == Profile::Hostile { 400 } else { 422 };
    let bad = |message: &str| Err(Answer::nest(status, &format!("VALIDATION_ERROR - {message}")));
    let (Some(from), Some(_)) = (parse_date(check_in), parse_date(check_out)) else {
        return bad("dates must be formatted as YYYY-MM-DD");
    };
    if nights(check_in, check_out) < 1 {
        return bad("checkOutDateLocalized must be after checkInDateLocalized");
    }
    // Some time zone is up to a day behind UTC.
    if from < today - 1 {
        return bad(&format!("check-in {} is in the past", format_date(from)));
    }
    Ok(())
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
