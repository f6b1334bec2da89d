//! Actions of others in the account: bookings of channels, edits in the UI.
//! Called by admin.rs and by the fault `calendar_conflict`, under the state lock.

use crate::call::Call;
use crate::clock::Now;
use crate::reservations::{Fields, Reservation, is_active};
use crate::state::State;
use serde_json::Value;

impl State {
    /// Adds a booking that the client did not make, visible at once. Returns its id.
    pub(crate) fn add_foreign(&mut self, body: &Value, now: Now) -> Result<String, String> {
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let id = self.new_id();
        let fields = Fields {
            status: text("status").unwrap_or_else(|| "confirmed".into()),
            listing: text("listingId").ok_or("listingId is required")?,
            check_in: text("checkInDateLocalized").ok_or("checkInDateLocalized is required")?,
            check_out: text("checkOutDateLocalized").ok_or("checkOutDateLocalized is required")?,
            guests_count: body.get("guestsCount").and_then(Value::as_u64).unwrap_or(2),
            source: text("source").unwrap_or_else(|| "channel".into()),
            updated: now.sim_wall,
            ..Fields::default()
        };
        let reservation = Reservation {
            guest_id: self.new_id(),
            code: text("confirmationCode").unwrap_or_else(|| format!("CH-{}", &id[16..])),
            origin: text("origin"),
            origin_id: text("originId"),
            from_api: false,
            created: now.sim_wall,
            visible_at: now.mono,
            indexed_at: now.mono,
            current: fields,
            older: Vec::new(),
            payments: Vec::new(),
            paid: 0,
            received: String::new(),
            last_write: None,
            before_last: None,
            id: id.clone(),
        };
        self.reservations.add(reservation);
        Ok(id)
    }

    /// Books the nights of this create for a third party.
    pub(crate) fn block_for(&mut self, call: &Call, now: Now) {
        if let Some(body) = call.json.clone() {
            let keys = ["listingId", "checkInDateLocalized", "checkOutDateLocalized"];
            let part = body.as_object().into_iter().flatten().filter(|(k, _)| keys.contains(&k.as_str()));
            let foreign = Value::Object(part.map(|(k, v)| (k.clone(), v.clone())).collect());
            // An update has no such fields: then only its answer is a conflict.
            let _ = self.add_foreign(&foreign, now);
        }
    }

    /// Edits a reservation as its owner does in the UI; reads show it at once.
    pub(crate) fn owner_edit(&mut self, id: &str, body: &Value, now: Now) -> Result<String, String> {
        let by_code = || self.reservations.with_code(id).first().copied();
        let index = self.reservations.find(id).or_else(by_code).ok_or("no such reservation")?;
        if let Some(code) = body.get("confirmationCode").and_then(Value::as_str) {
            self.reservations.set_code(index, code);
        }
        let r = self.reservations.list.get_mut(index).ok_or("no such reservation")?;
        let mut fields = edited(r.current.clone(), body);
        fields.updated = now.sim_wall;
        let change = i32::from(is_active(&fields.status)) - i32::from(is_active(&r.current.status));
        let (listing, code, origin_id) = (fields.listing.clone(), r.code.clone(), r.origin_id.clone());
        let (from_api, full_id) = (r.from_api, r.id.clone());
        r.older.clear();
        r.current = fields;
        r.visible_at = r.visible_at.min(now.mono);
        r.indexed_at = r.indexed_at.min(now.mono);
        self.reservations.moved(index, &listing);
        if from_api && change != 0 {
            self.checker.count_active(Some(&code), origin_id.as_deref(), change, None);
        }
        Ok(full_id)
    }
}

/// The fields, overridden by those in the body.
fn edited(mut fields: Fields, body: &Value) -> Fields {
    let targets = [
        ("status", &mut fields.status),
        ("listingId", &mut fields.listing),
        ("checkInDateLocalized", &mut fields.check_in),
        ("checkOutDateLocalized", &mut fields.check_out),
        ("source", &mut fields.source),
    ];
    for (name, field) in targets {
        if let Some(value) = body.get(name).and_then(Value::as_str) {
            value.clone_into(field);
        }
    }
    if let Some(count) = body.get("guestsCount").and_then(Value::as_u64) {
        fields.guests_count = count;
    }
    if let Some(notes) = body.get("notes") {
        fields.notes = notes.clone();
    }
    fields
}
