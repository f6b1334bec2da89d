//! `POST /v1/reservations-v3`, and the checks that updates share with it. Called by state.rs under its lock.

use crate::answer::Answer;
use crate::call::Call;
use crate::clock::{Now, iso};
use crate::config::Profile;
use crate::listings::Listing;
use crate::reservations::{Fields, Reservation, is_active};
use crate::state::State;
use crate::validate::{self, Booking};
use serde_json::{Value, json};

/// A stay to be checked against terms and calendar.
pub(crate) struct Stay<'a> {
    pub check_in: &'a str,
    pub check_out: &'a str,
    pub guests: u64,
    pub ignore_calendar: bool,
    pub ignore_terms: bool,
    /// The reservation itself, if it exists already.
    pub index: Option<usize>,
}

impl State {
    /// Answers a create.
    pub(crate) fn create(&mut self, call: &Call, now: Now) -> Answer {
        let made = validate::object(call, &self.knobs).and_then(|body| {
            let unknown = validate::unknown_fields(body);
            if !unknown.is_empty() {
                let text = format!("unknown fields in a create: {}", unknown.join(", "));
                self.checker.report("SCHEMA", false, &text, call);
            }
            let booking = validate::booking(body, &self.knobs, now.sim_wall / 86_400_000_000)?;
            self.check_booking(&booking)?;
            Ok((body, booking))
        });
        match made {
            Ok((body, booking)) => {
                let index = self.commit(&booking, body, call, now);
                self.created_answer(index)
            }
            Err(answer) => answer,
        }
    }

    fn check_booking(&self, booking: &Booking) -> Result<(), Answer> {
        let listing = self.listing(&booking.listing)?;
        let known = booking.guest_id.as_ref().is_none_or(|id| self.reservations.has_guest(id));
        if !known {
            let status = if self.knobs.profile == Profile::Hostile { 500 } else { 422 };
            return Err(Answer::nest(status, "VALIDATION_ERROR - Guest not found"));
        }
        let code = booking.code.as_deref();
        if self.knobs.unique_confirmation_code && code.is_some_and(|c| !self.reservations.with_code(c).is_empty()) {
            return Err(Answer::nest(422, "VALIDATION_ERROR - confirmationCode already exists"));
        }
        let stay = Stay {
            check_in: &booking.check_in,
            check_out: &booking.check_out,
            guests: booking.guests_count,
            ignore_calendar: booking.ignore_calendar || !is_active(&booking.status),
            ignore_terms: booking.ignore_terms,
            index: None,
        };
        self.check_stay(listing, &stay)
    }

    /// The listing, or the answer when there is none.
    pub(crate) fn listing(&self, id: &str) -> Result<&Listing, Answer> {
        self.listings.get(id).ok_or_else(|| {
            if self.knobs.profile == Profile::Hostile {
                return Answer::nest(400, "VALIDATION_ERROR - listing");
            }
            let body = json!({"message": "Listing not found", "code": "LISTING_NOT_FOUND", "data": {"listingId": id},
                "requestId": format!("Root={}", self.seq)});
            Answer::json(404, &body)
        })
    }

    /// Terms, then availability.
    pub(crate) fn check_stay(&self, listing: &Listing, stay: &Stay<'_>) -> Result<(), Answer> {
        let nights = crate::reservations::nights(stay.check_in, stay.check_out);
        if !stay.ignore_terms && (stay.guests > listing.accommodates || nights < listing.min_nights) {
            let text = format!("VALIDATION_ERROR - terms: minimum nights is {}", listing.min_nights);
            return Err(Answer::nest(self.knobs.terms_status, &text));
        }
        let taken = self.reservations.taken(listing, stay.check_in, stay.check_out, stay.index);
        if !stay.ignore_calendar && (taken || !listing.active) {
            return Err(conflict(self.knobs.conflict_status));
        }
        Ok(())
    }

    fn commit(&mut self, booking: &Booking, body: &Value, call: &Call, now: Now) -> usize {
        let id = self.new_id();
        let guest_id = self.guest_of(booking);
        let code = booking.code.clone().unwrap_or_else(|| format!("GY-{}", &id[16..]));
        let visible_at = now.mono + self.lag(self.knobs.visible_ms);
        let indexed_at = visible_at + self.lag(self.knobs.index_ms);
        let fields = first_fields(booking, body, now);
        let reservation = Reservation {
            id,
            guest_id,
            code: code.clone(),
            origin: booking.origin.clone(),
            origin_id: booking.origin_id.clone(),
            from_api: true,
            created: now.sim_wall,
            visible_at,
            indexed_at,
            current: fields,
            older: Vec::new(),
            payments: Vec::new(),
            paid: 0,
            received: String::from_utf8_lossy(&call.request.body).into_owned(),
            last_write: None,
            before_last: None,
        };
        self.check_overbooking(&reservation, call);
        if is_active(&booking.status) {
            self.checker.count_active(Some(&code), booking.origin_id.as_deref(), 1, Some(call));
        }
        self.reservations.add(reservation)
    }

    fn check_overbooking(&mut self, new: &Reservation, call: &Call) {
        let fields = &new.current;
        let Some(listing) = self.listings.get(&fields.listing) else {
            return;
        };
        let full = self.reservations.taken(listing, &fields.check_in, &fields.check_out, None);
        if full && is_active(&fields.status) && !self.knobs.allow_ignore {
            self.checker.report("I3", true, "overbooking: the unit had a booking for these nights", call);
        }
    }

    fn guest_of(&mut self, booking: &Booking) -> String {
        if let Some(id) = &booking.guest_id {
            return id.clone();
        }
        let email = booking.email.as_deref().unwrap_or("");
        if let Some(id) = self.reservations.guest(email).filter(|_| !email.is_empty()) {
            return id.clone();
        }
        let id = self.new_id();
        if !email.is_empty() {
            self.reservations.add_guest(email, id.clone());
        }
        id
    }

    fn created_answer(&self, index: usize) -> Answer {
        let Some(r) = self.reservations.list.get(index) else {
            return Answer::empty(500);
        };
        let f = &r.current;
        let body = json!({
            "reservationId": r.id, "quoteId": format!("{}9{}", &r.id[..8], &r.id[9..]), "confirmationCode": r.code,
            "status": f.status, "guestId": r.guest_id, "numberOfGuests": f.number_of_guests,
            "creationTime": iso(r.created), "reservedExpiresAt": iso(r.created),
            "checkInDate": format!("{}T14:00:00.000Z", f.check_in), "checkOutDate": format!("{}T09:00:00.000Z", f.check_out),
            "unitTypeId": f.listing, "unitId": f.listing, "source": f.source, "channel": "manual_reservations",
            "guestsCount": f.guests_count, "creationInfo": {},
        });
        Answer::json(201, &body).committed()
    }
}

/// The answer to dates that are taken.
pub(crate) fn conflict(status: u16) -> Answer {
    Answer::nest(status, "AVAILABILITY_ERROR - Date/unit is not available")
}

fn first_fields(booking: &Booking, body: &Value, now: Now) -> Fields {
    Fields {
        status: booking.status.clone(),
        listing: booking.listing.clone(),
        check_in: booking.check_in.clone(),
        check_out: booking.check_out.clone(),
        guests_count: booking.guests_count,
        number_of_guests: body.get("numberOfGuests").cloned().unwrap_or(Value::Null),
        source: booking.source.clone(),
        fare: booking.fare,
        cleaning: booking.cleaning,
        updated: now.sim_wall,
        ..Fields::default()
    }
}
