//! The mapping: a booking, the listings and the statuses make the reservation that Guestly should hold, and its requests.
//! Called by `pg::worker` and `guestly_preview`; any thread. Endpoints and fields: Guesty Open API, Reservations v3.

use std::collections::HashMap;

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::booking::Booking;
use super::error::{ErrorClass, Problem};
use super::held::{Aspects, Known};
use super::outcome::Hit;
use super::payment::Payment;
use super::reference::{confirmation_code, fingerprint};
use super::request::{ApiRequest, Method};

/// Who made the reservation, in Guestly's `origin`.
pub const ORIGIN: &str = "guestly_sync";

/// Longest `originId` that the API takes, in characters.
const ORIGIN_ID_MAX: usize = 50;

/// The two tables of the operator that a mapping needs.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// `guestly.listings`: property to listing id.
    pub listings: HashMap<String, String>,
    /// `guestly.status_map`: the host's status to Guestly's.
    pub statuses: HashMap<String, String>,
}

/// What Guestly should hold for a booking.
#[derive(Clone, Debug, PartialEq)]
pub struct Reservation {
    /// Confirmation code: derives from the booking alone, the same in every attempt, and is what look-ups ask for.
    pub code: String,
    /// Guestly's `originId`: our booking id.
    pub origin_id: String,
    /// Guestly's listing id.
    pub listing_id: String,
    /// Guestly's status.
    pub status: String,
    /// Shown as the source in Guestly.
    pub source: String,
    /// The booking.
    pub booking: Booking,
    /// Its payment, where payments are recorded.
    pub payment: Option<Payment>,
}

impl Reservation {
    /// Maps a booking. Errors: `unknown_listing`, `unknown_status`, each with what to mend.
    pub fn map(booking: Booking, tables: &Tables, source: &str) -> Result<Self, Problem> {
        let listing_id = find_listing(&booking, tables)?;
        let status = tables.statuses.get(&booking.status).ok_or_else(|| {
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

    /// Keeps the code of an earlier create: Guestly may hold the booking under it.
    pub fn keep_code(&mut self, earlier: Option<&str>) {
        if let Some(code) = earlier {
            code.clone_into(&mut self.code);
        }
    }

    /// True for a status that occupies or may come to occupy the calendar.
    #[must_use]
    pub fn is_active(&self) -> bool {
        is_active_status(&self.status)
    }

    /// `POST /reservations-v3`. Never asks Guestly to ignore its calendar, terms or blocks: a refusal is the guard
    /// against a double booking. The whole amount is one line, so the fare is the total and the cleaning fee 0.
    #[must_use]
    pub fn create(&self) -> ApiRequest {
        let b = &self.booking;
        let body = json!({
            "listingId": self.listing_id,
            "checkInDateLocalized": b.check_in.to_string(),
            "checkOutDateLocalized": b.check_out.to_string(),
            "source": self.source,
            "status": self.status,
            "guestsCount": b.party().guests(),
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
        let party = self.booking.party();
        json!({
            "numberOfAdults": party.adults,
            "numberOfChildren": party.children,
            "numberOfInfants": party.infants,
            "numberOfPets": party.pets,
        })
    }

    /// Every aspect as it should be.
    #[must_use]
    pub fn aspects(&self) -> Aspects {
        Aspects {
            status: Some(self.status.clone()),
            listing_id: Some(self.listing_id.clone()),
            check_in: Some(self.booking.check_in),
            check_out: Some(self.booking.check_out),
            party: Some(self.booking.party()),
            notes: Some(fingerprint(self.booking.notes.as_deref().unwrap_or_default())),
            payment: None,
        }
    }

    /// The end of what is held, where the booking cannot say more than that: it was deleted, or cannot be read.
    #[must_use]
    pub fn ending(booking_id: &str, known: &Known) -> Self {
        let booking = Booking { booking_id: booking_id.to_owned(), ..Booking::default() };
        let code = Some(known.code.clone()).filter(|code| !code.is_empty());
        let code = code.unwrap_or_else(|| confirmation_code(booking_id, None));
        Self {
            origin_id: origin_id(booking_id, &code),
            code,
            listing_id: known.aspects.listing_id.clone().unwrap_or_default(),
            status: "canceled".to_owned(),
            source: String::new(),
            booking,
            payment: None,
        }
    }

    fn guest(&self) -> Value {
        let b = &self.booking;
        let phones: Vec<String> = b.phone.iter().map(|phone| e164(phone)).collect();
        json!({ "firstName": b.first_name, "lastName": b.last_name, "email": b.email, "phones": phones })
    }

    /// What makes this reservation of Guestly's another one than ours, in words with both sides; none if it is ours.
    /// A field that the answer leaves out is no difference.
    #[must_use]
    pub fn difference(&self, hit: &Hit) -> Option<String> {
        let b = &self.booking;
        let mut sides = Vec::new();
        let mut day = |name: &str, ours: NaiveDate, theirs: Option<NaiveDate>| {
            if let Some(theirs) = theirs.filter(|theirs| *theirs != ours) {
                sides.push(format!("{name} {theirs} there, {ours} here"));
            }
        };
        day("check-in", b.check_in, hit.check_in);
        day("check-out", b.check_out, hit.check_out);
        if !hit.listing_ids.is_empty() && !hit.listing_ids.contains(&self.listing_id) {
            sides.push(format!("listing {} there, {} here", hit.listing_ids.join(" or "), self.listing_id));
        }
        if let Some(theirs) = hit.origin_id.as_deref().filter(|theirs| *theirs != self.origin_id) {
            sides.push(format!("origin id {theirs} there, {} here", self.origin_id));
        }
        if let Some(theirs) = hit.status.as_deref().filter(|theirs| self.is_active() && !is_active_status(theirs)) {
            sides.push(format!("status {theirs} there, {} here", self.status));
        }
        (!sides.is_empty()).then(|| sides.join("; "))
    }
}

/// The booking's id, or its code where that is too long.
fn origin_id(booking_id: &str, code: &str) -> String {
    let short = booking_id.chars().count() <= ORIGIN_ID_MAX;
    if short { booking_id.to_owned() } else { code.to_owned() }
}

/// The look-up by confirmation code: `GET /reservations-v3/search`. Brackets must be encoded.
#[must_use]
pub fn look_up(code: &str) -> ApiRequest {
    let path = format!("/reservations-v3/search?filter%5BconfirmationCode%5D={}&limit=10", percent_encode(code));
    ApiRequest { method: Method::Get, path, body: None }
}

/// From these a reservation never becomes active again.
pub(super) fn is_active_status(status: &str) -> bool {
    !matches!(status, "canceled" | "closed" | "declined" | "expired")
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

/// The API wants E.164: what is visibly international loses its spaces and brackets, anything else goes as it is.
fn e164(phone: &str) -> String {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    let dressing = |c: char| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '.' | '/' | '(' | ')');
    if !phone.chars().all(dressing) || digits.is_empty() {
        return phone.to_owned();
    }
    match (phone.starts_with('+'), digits.strip_prefix("00")) {
        (true, _) => format!("+{digits}"),
        (false, Some(rest)) => format!("+{rest}"),
        (false, None) => phone.to_owned(),
    }
}

pub(super) fn percent_encode(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
#[path = "reservation_tests.rs"]
mod tests;
