//! Reads by id, listings, and the body that reads and searches share. Called by state.rs under its lock.

use crate::answer::Answer;
use crate::call::Call;
use crate::clock::{Now, iso};
use crate::listings::decimal;
use crate::reservations::{Fields, Reservation};
use crate::state::State;
use serde_json::{Value, json};

impl State {
    /// `GET /v1/reservations-v3?reservationIds[]=`: at most ten; unknown ones are omitted.
    pub(crate) fn get_by_ids(&self, call: &Call, now: Now) -> Answer {
        let keys = ["reservationIds[]", "reservationIds"];
        let values = call.request.query.iter().filter(|(key, _)| keys.contains(&key.as_str()));
        let ids: Vec<&str> = values.flat_map(|(_, v)| v.split(',')).filter(|id| !id.is_empty()).collect();
        if ids.is_empty() || ids.len() > 10 {
            return Answer::nest(400, "reservationIds must contain between 1 and 10 elements");
        }
        let found: Vec<Value> = ids.iter().filter_map(|id| self.read_one(id, now)).collect();
        Answer::json(200, &Value::Array(found))
    }

    fn read_one(&self, id: &str, now: Now) -> Option<Value> {
        let r = self.reservations.list.get(self.reservations.find(id)?)?;
        let f = r.visible(now.mono)?;
        let mut body = self.common_body(r, f);
        if let Some(map) = body.as_object_mut() {
            map.insert("_id".into(), json!(r.id));
            map.insert("notes".into(), f.notes.clone());
            map.insert("customFields".into(), f.custom_fields.clone());
            map.insert("numberOfGuests".into(), f.number_of_guests.clone());
            map.insert("creationFlow".into(), json!(if r.from_api { "OPEN_API" } else { "MANUAL" }));
            if let Some(cancellation) = f.cancellation.as_object() {
                map.extend(cancellation.clone());
            }
        }
        Some(body)
    }

    /// The fields that reads by id and search results share, without the id.
    pub(crate) fn common_body(&self, r: &Reservation, f: &Fields) -> Value {
        let mut body = json!({
            "status": f.status, "source": f.source, "confirmationCode": r.code, "guestId": r.guest_id,
            "origin": r.origin, "originId": r.origin_id, "guestsCount": f.guests_count,
            "checkIn": format!("{}T14:00:00.000Z", f.check_in), "checkOut": format!("{}T09:00:00.000Z", f.check_out),
            "checkInDateLocalized": f.check_in, "checkOutDateLocalized": f.check_out,
            "createdAt": iso(r.created), "lastUpdatedAt": iso(f.updated), "listingId": f.listing,
            "stay": [{"listingId": f.listing, "unitId": f.listing, "unitTypeId": f.listing, "parentListingId": null,
                "checkInDateLocalized": f.check_in, "checkOutDateLocalized": f.check_out}],
        });
        if let Some(map) = body.as_object_mut().filter(|_| self.knobs.money_in_reads) {
            map.insert("money".into(), self.money(r, f));
        }
        body
    }

    /// The `money` object with totals.
    pub(crate) fn money(&self, r: &Reservation, f: &Fields) -> Value {
        let Some(listing) = self.listings.get(&f.listing) else {
            return Value::Null;
        };
        let m = listing.price(f.nights(), f.fare, f.cleaning);
        let number = |cents| decimal(cents, self.knobs.money_as_text);
        json!({
            "currency": listing.currency, "fareAccommodation": number(m.fare),
            "fareAccommodationAdjusted": number(m.adjusted), "fareCleaning": number(m.cleaning),
            "subTotalPrice": number(m.subtotal), "totalTaxes": number(m.taxes), "totalPrice": number(m.total),
            "totalPaid": number(r.paid), "balanceDue": number(m.total - r.paid),
        })
    }

    /// `GET /v1/listings/{id}`.
    pub(crate) fn get_listing(&self, call: &Call) -> Answer {
        match self.listing(call.id.as_deref().unwrap_or("")) {
            Ok(listing) => Answer::json(200, &listing.body()),
            Err(answer) => answer,
        }
    }
}
