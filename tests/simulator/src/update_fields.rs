//! The new fields of each kind of update, validated. Called by updates.rs under the state lock; commits nothing.

use crate::answer::Answer;
use crate::clock::Now;
use crate::config::Profile;
use crate::create::Stay;
use crate::reservations::{Fields, is_active};
use crate::state::State;
use crate::validate::{self, STATUSES, flag, invalid};
use serde_json::{Value, json};

/// The new fields or the refusal; `None` is answered with 200 and changes nothing.
pub(crate) type Change = Result<Option<Fields>, Answer>;

impl State {
    pub(crate) fn fields(&self, index: usize) -> Fields {
        self.reservations.list.get(index).map(|r| r.current.clone()).unwrap_or_default()
    }

    pub(crate) fn change_status(&self, index: usize, body: &Value) -> Change {
        let mut fields = self.fields(index);
        let hostile = self.knobs.profile == Profile::Hostile;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let Some(wanted) = text("status").filter(|status| STATUSES.contains(status)) else {
            return Err(invalid(&self.knobs, &[format!("status must be one of: {}", STATUSES.join(", "))]));
        };
        let by = text("canceledBy");
        if by.is_some_and(|by| !["OWNER", "GUEST", "TEAM_MEMBER", "HOST"].contains(&by)) {
            return Err(invalid(&self.knobs, &["canceledBy is not one of the allowed values".into()]));
        }
        if wanted == "canceled" {
            self.check_cancel(&fields, body)?;
            fields.cancellation = json!({"canceledBy": by.unwrap_or("TEAM_MEMBER"),
                "cancellationReason": text("cancellationReason"), "cancellationNote": text("cancellationNote")});
        }
        let revived = !is_active(&fields.status) && fields.status != "inquiry" && is_active(wanted);
        let back = fields.status == "confirmed" && matches!(wanted, "reserved" | "inquiry" | "awaiting_payment");
        if revived || back {
            let refusal = Answer::nest(422, "VALIDATION_ERROR - status change is not allowed");
            return if hostile { Ok(None) } else { Err(refusal) };
        }
        wanted.clone_into(&mut fields.status);
        Ok(Some(fields))
    }

    fn check_cancel(&self, fields: &Fields, body: &Value) -> Result<(), Answer> {
        let hostile = self.knobs.profile == Profile::Hostile;
        if fields.status != "confirmed" {
            return Err(Answer::nest(if hostile { 422 } else { 400 }, "Reservation not cancellable"));
        }
        let reason = body.get("cancellationReason").and_then(Value::as_str);
        let listed = reason.is_some_and(|r| self.knobs.cancel_reasons.iter().any(|c| c == r));
        if self.knobs.strict_cancel_reason && !listed {
            return Err(Answer::nest(400, "VALIDATION_ERROR - cancellationReason is not valid"));
        }
        Ok(())
    }

    pub(crate) fn change_dates(&self, index: usize, body: &Value, now: Now) -> Change {
        let mut fields = self.fields(index);
        for (name, field) in
            [("checkInDateLocalized", &mut fields.check_in), ("checkOutDateLocalized", &mut fields.check_out)]
        {
            if let Some(value) = body.get(name) {
                value.as_str().unwrap_or("").clone_into(field);
            }
        }
        validate::dates(&fields.check_in, &fields.check_out, &self.knobs, now.sim_wall / 86_400_000_000)?;
        self.check_change(index, &fields, body)?;
        // A change of dates recalculates the price, so the override of the create is dropped.
        fields.fare = None;
        Ok(Some(fields))
    }

    pub(crate) fn change_guests(&self, index: usize, body: &Value) -> Change {
        let mut fields = self.fields(index);
        let Some(count) = body.get("guestsCount").and_then(Value::as_u64).filter(|n| *n > 0) else {
            return Err(invalid(&self.knobs, &["guestsCount must be a positive number".into()]));
        };
        fields.guests_count = count;
        if let Some(party) = body.get("numberOfGuests") {
            fields.number_of_guests = party.clone();
        }
        self.check_change(index, &fields, body)?;
        Ok(Some(fields))
    }

    pub(crate) fn change_listing(&self, index: usize, body: &Value) -> Change {
        let mut fields = self.fields(index);
        body.get("listingId").and_then(Value::as_str).unwrap_or("").clone_into(&mut fields.listing);
        self.check_change(index, &fields, body)?;
        Ok(Some(fields))
    }

    fn check_change(&self, index: usize, fields: &Fields, body: &Value) -> Result<(), Answer> {
        let listing = self.listing(&fields.listing)?;
        let stay = Stay {
            check_in: &fields.check_in,
            check_out: &fields.check_out,
            guests: fields.guests_count,
            ignore_calendar: flag(body, "ignoreCalendar") || !is_active(&fields.status),
            ignore_terms: flag(body, "ignoreTerms"),
            index: Some(index),
        };
        self.check_stay(listing, &stay)
    }

    pub(crate) fn change_notes(&self, index: usize, body: &Value) -> Change {
        let mut fields = self.fields(index);
        let Some(notes) = body.get("notes").and_then(Value::as_object) else {
            return Err(invalid(&self.knobs, &["notes must be an object".into()]));
        };
        let mut merged = fields.notes.as_object().cloned().unwrap_or_default();
        merged.extend(notes.clone());
        fields.notes = Value::Object(merged);
        Ok(Some(fields))
    }

    pub(crate) fn change_source(&self, index: usize, body: &Value) -> Change {
        let mut fields = self.fields(index);
        let Some(source) = body.get("source").and_then(Value::as_str) else {
            return Err(invalid(&self.knobs, &["source should not be empty".into()]));
        };
        source.clone_into(&mut fields.source);
        Ok(Some(fields))
    }

    pub(crate) fn change_custom_fields(&self, index: usize, body: &Value) -> Change {
        let mut fields = self.fields(index);
        let list = body.get("customFields").filter(|v| v.as_array().is_some_and(|l| !l.is_empty()));
        let Some(list) = list else {
            return Err(invalid(&self.knobs, &["customFields should not be empty".into()]));
        };
        fields.custom_fields = list.clone();
        Ok(Some(fields))
    }
}
