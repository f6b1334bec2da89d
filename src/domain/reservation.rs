//! The reservation that Guestly should have for a booking, and the request that creates it. Called by `domain::plan` and
//! `guestly_preview`; pure, any thread. Endpoint and fields: Guesty Open API, Reservations v3.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::booking::Booking;
use super::confirmation_code::{confirmation_code, fingerprint};
use super::error::{ErrorClass, Problem};
use super::payment::Payment;
use super::request::{ApiRequest, Method};
use super::snapshot::{RemoteReservation, Snapshot, is_active_status};

/// Guestly's `origin` of our reservations.
pub const ORIGIN: &str = "guestly_sync";

/// Longest `originId` that the API takes, in characters.
const ORIGIN_ID_MAX: usize = 50;

/// The operator's tables that a mapping needs.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// `guestly.listings`: property to listing id.
    pub listings: HashMap<String, String>,
    /// `guestly.status_map`: the host's status, in lower case, to Guestly's.
    pub statuses: HashMap<String, String>,
}

impl Tables {
    /// Guestly's status for a status of the host, which is compared without regard to case.
    #[must_use]
    pub fn status(&self, status: &str) -> Option<&String> {
        self.statuses.get(&status.to_lowercase())
    }
}

/// The reservation that Guestly should have for a booking.
#[derive(Clone, Debug, PartialEq)]
pub struct Reservation {
    /// Confirmation code, searched for by look-ups. It depends on the booking alone and is the same in every attempt.
    pub code: String,
    /// Guestly's `originId`: the booking id, or the code if that is too long.
    pub origin_id: String,
    /// Guestly's listing id.
    pub listing_id: String,
    /// Guestly's status.
    pub status: String,
    /// Guestly's `source`.
    pub source: String,
    /// The booking.
    pub booking: Booking,
    /// Its payment, if payments are recorded.
    pub payment: Option<Payment>,
}

impl Reservation {
    /// Maps a booking.
    ///
    /// # Errors
    /// `unknown_listing` or `unknown_status`, with the fix.
    pub fn map(booking: Booking, tables: &Tables, source: &str) -> Result<Self, Problem> {
        let listing_id = find_listing(&booking, tables)?;
        let status = tables.status(&booking.status).ok_or_else(|| {
            let sentence = format!("status '{}' has no row in guestly.status_map", booking.status);
            Problem::new(ErrorClass::UnknownStatus, sentence)
        })?;
        let code = confirmation_code(&booking.booking_id, booking.reference.as_deref());
        Ok(Self {
            origin_id: origin_id(&booking.booking_id, &code),
            code,
            listing_id,
            status: status.clone(),
            source: source.to_owned(),
            booking,
            payment: None,
        })
    }

    /// Uses the code of an earlier create: Guestly may have the booking under it.
    pub fn use_earlier_code(&mut self, earlier: Option<&str>) {
        if let Some(code) = earlier {
            code.clone_into(&mut self.code);
        }
    }

    /// True unless the status is one of an ended reservation.
    #[must_use]
    pub fn is_active(&self) -> bool {
        is_active_status(&self.status)
    }

    /// `POST /reservations-v3`. The calendar, terms and blocks are never ignored: Guestly's refusal prevents double
    /// bookings. The amount is not itemized, so the fare is the total and the cleaning fee is 0.
    #[must_use]
    pub fn create(&self) -> ApiRequest {
        let b = &self.booking;
        let body = json!({
            "listingId": self.listing_id,
            "checkInDateLocalized": b.check_in.to_string(),
            "checkOutDateLocalized": b.check_out.to_string(),
            "source": self.source,
            "status": self.status,
            "guestsCount": b.guests().guests_count(),
            "numberOfGuests": self.number_of_guests(),
            "guest": self.guest(),
            "accommodationFare": b.total,
            "cleaningFee": 0,
            "applyPromotions": false,
            "ignoreCalendar": false,
            "ignoreTerms": false,
            "ignoreBlocks": false,
            "confirmationCode": self.code,
            "origin": ORIGIN,
            "originId": self.origin_id,
        });
        ApiRequest { method: Method::Post, path: "/reservations-v3".to_owned(), body: Some(body) }
    }

    pub(super) fn number_of_guests(&self) -> Value {
        let guests = self.booking.guests();
        json!({
            "numberOfAdults": guests.adults,
            "numberOfChildren": guests.children,
            "numberOfInfants": guests.infants,
            "numberOfPets": guests.pets,
        })
    }

    /// The snapshot that a reservation as wanted would have; no payment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            status: Some(self.status.clone()),
            listing_id: Some(self.listing_id.clone()),
            check_in: Some(self.booking.check_in),
            check_out: Some(self.booking.check_out),
            guests: Some(self.booking.guests()),
            notes: Some(fingerprint(self.booking.notes.as_deref().unwrap_or_default())),
            payment: None,
        }
    }

    /// The cancellation of an existing reservation whose booking was deleted or is invalid.
    #[must_use]
    pub fn ending(booking_id: &str, remote: &RemoteReservation) -> Self {
        let booking = Booking { booking_id: booking_id.to_owned(), ..Booking::default() };
        let code = Some(remote.code.clone()).filter(|code| !code.is_empty());
        let code = code.unwrap_or_else(|| confirmation_code(booking_id, None));
        Self {
            origin_id: origin_id(booking_id, &code),
            code,
            listing_id: remote.snapshot.listing_id.clone().unwrap_or_default(),
            status: "canceled".to_owned(),
            source: String::new(),
            booking,
            payment: None,
        }
    }

    fn guest(&self) -> Value {
        let b = &self.booking;
        let phones: Vec<String> = b.phone.iter().map(|phone| e164(phone)).collect();
        let mut guest =
            json!({ "firstName": b.first_name, "lastName": b.last_name, "email": b.email, "phones": phones });
        if let Some(language) = &b.language {
            guest["preferredLanguage"] = json!(language);
        }
        guest
    }
}

/// The booking's id, or its code if that is too long.
fn origin_id(booking_id: &str, code: &str) -> String {
    let short = booking_id.chars().count() <= ORIGIN_ID_MAX;
    if short { booking_id.to_owned() } else { code.to_owned() }
}

fn find_listing(booking: &Booking, tables: &Tables) -> Result<String, Problem> {
    if let Some(listing) = booking.properties.iter().find_map(|property| tables.listings.get(property)) {
        return Ok(listing.clone());
    }
    let sentence = match booking.properties.first() {
        Some(property) => format!("property '{property}' has no row in guestly.listings"),
        None => "the booking has no property, so no listing can be found".to_owned(),
    };
    Err(Problem::new(ErrorClass::UnknownListing, sentence))
}

/// The API wants E.164: international numbers lose their spaces and brackets, others are sent unchanged.
fn e164(phone: &str) -> String {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    let is_phone_char = |c: char| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '.' | '/' | '(' | ')');
    if !phone.chars().all(is_phone_char) || digits.is_empty() {
        return phone.to_owned();
    }
    match (phone.starts_with('+'), digits.strip_prefix("00")) {
        (true, _) => format!("+{digits}"),
        (false, Some(rest)) => format!("+{rest}"),
        (false, None) => phone.to_owned(),
    }
}

#[cfg(test)]
#[path = "reservation_tests.rs"]
mod tests;
