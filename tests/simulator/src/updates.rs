//! `PUT /v1/reservations-v3/{id}/…`: one endpoint per kind of change. Called by state.rs under its lock.

use crate::answer::Answer;
use crate::call::Call;
use crate::clock::{Now, iso};
use crate::config::Profile;
use crate::reservations::{Fields, is_active};
use crate::state::State;
use crate::validate;
use serde_json::{Value, json};

impl State {
    /// Answers an update; `silent` answers 200 without changing anything.
    pub(crate) fn update(&mut self, call: &Call, now: Now, silent: bool) -> Answer {
        let Some(index) = self.visible_index(call, now) else {
            return self.not_found();
        };
        let body = match validate::object(call, &self.knobs) {
            Ok(body) => body.clone(),
            Err(answer) => return answer,
        };
        if call.action == "status" {
            self.check_canceled_by_client(index, &body, call);
        }
        if call.action == "confirmation-code" {
            return self.change_code(index, &body);
        }
        let change = match call.action.as_str() {
            "status" => self.change_status(index, &body),
            "dates" => self.change_dates(index, &body, now),
            "guests" => self.change_guests(index, &body),
            "relocate" => self.change_listing(index, &body),
            "source" => self.change_source(index, &body),
            "custom-fields" => self.change_custom_fields(index, &body),
            _ => self.change_notes(index, &body),
        };
        match change {
            Err(answer) => answer,
            Ok(Some(fields)) if !silent => {
                self.write(index, fields, call, now);
                self.updated_answer(index, &call.action, &body).committed()
            }
            Ok(_) => self.updated_answer(index, &call.action, &body),
        }
    }

    /// The reservation of the path, if reads by id show it.
    pub(crate) fn visible_index(&self, call: &Call, now: Now) -> Option<usize> {
        let index = self.reservations.find(call.id.as_deref()?)?;
        self.reservations.list.get(index)?.visible(now.mono).map(|_| index)
    }

    /// The answer to a reservation that is unknown or not yet visible.
    pub(crate) fn not_found(&self) -> Answer {
        if self.knobs.profile == Profile::Hostile {
            return Answer::html(404);
        }
        Answer::json(404, &json!("Reservation Not Found"))
    }

    fn check_canceled_by_client(&mut self, index: usize, body: &Value, call: &Call) {
        let status = body.get("status").and_then(Value::as_str).unwrap_or("confirmed");
        let from_api = self.reservations.list.get(index).is_some_and(|r| r.from_api);
        if !from_api && !is_active(status) {
            self.checker.report("I11", true, "the client cancels a reservation it did not make", call);
        }
    }

    fn change_code(&mut self, index: usize, body: &Value) -> Answer {
        let code = body.get("confirmationCode").and_then(Value::as_str).unwrap_or("").to_owned();
        if !(5..=30).contains(&code.chars().count()) {
            return Answer::nest(422, "VALIDATION_ERROR - confirmationCode must have 5 to 30 characters");
        }
        self.reservations.set_code(index, &code);
        let id = self.reservations.list.get(index).map(|r| r.id.clone());
        Answer::json(200, &json!({"reservationId": id, "confirmationCode": code})).committed()
    }

    /// Commits a write of the client: with the race within the settle gap, the lag of reads and the counts of the invariants.
    fn write(&mut self, index: usize, mut fields: Fields, call: &Call, now: Now) {
        let gap = self.knobs.scaled_us(self.knobs.settle_gap_ms);
        let visible_at = now.mono + self.lag(self.knobs.write_ms);
        let indexed_at = visible_at + self.lag(self.knobs.index_ms);
        let Some(r) = self.reservations.list.get_mut(index) else {
            return;
        };
        let was = r.current.clone();
        let racing = r.last_write.is_some_and(|at| now.mono < at + gap);
        if let Some(base) = r.before_last.clone().filter(|_| racing && self.knobs.lost_writes) {
            fields = only_changed(&base, &was, fields);
        }
        fields.updated = now.sim_wall;
        r.before_last = Some(Box::new(was.clone()));
        r.last_write = Some(now.mono);
        let listing = fields.listing.clone();
        let active = i32::from(is_active(&fields.status)) - i32::from(is_active(&was.status));
        let (code, origin_id, from_api) = (r.code.clone(), r.origin_id.clone(), r.from_api);
        r.write(fields, now.mono, visible_at, indexed_at);
        self.reservations.moved(index, &listing);
        if active != 0 && from_api {
            self.checker.count_active(Some(&code), origin_id.as_deref(), active, Some(call));
        }
    }

    fn updated_answer(&self, index: usize, action: &str, body: &Value) -> Answer {
        let Some(r) = self.reservations.list.get(index) else {
            return Answer::empty(500);
        };
        let mut answer = json!({"reservationId": r.id});
        let Some(map) = answer.as_object_mut() else {
            return Answer::empty(500);
        };
        match action {
            // The answer repeats the request, whether it was applied or not: only a read shows that.
            "status" => drop(map.insert("status".into(), body.get("status").cloned().unwrap_or_default())),
            "notes" => drop(map.insert("notes".into(), body.get("notes").cloned().unwrap_or_default())),
            "custom-fields" => drop(map.insert("customFields".into(), r.current.custom_fields.clone())),
            _ => {
                map.insert("money".into(), self.money(r, &r.current));
                map.insert("creationTime".into(), json!(iso(r.created)));
                map.insert("checkInDate".into(), json!(format!("{}T14:00:00.000Z", r.current.check_in)));
                map.insert("checkOutDate".into(), json!(format!("{}T09:00:00.000Z", r.current.check_out)));
            }
        }
        Answer::json(200, &answer)
    }
}

/// Applies only the second write to the state before the first: the first is lost.
fn only_changed(base: &Fields, was: &Fields, new: Fields) -> Fields {
    let pick = |b: &String, w: &String, n: String| if *w == n { b.clone() } else { n };
    Fields {
        status: pick(&base.status, &was.status, new.status),
        listing: pick(&base.listing, &was.listing, new.listing),
        check_in: pick(&base.check_in, &was.check_in, new.check_in),
        check_out: pick(&base.check_out, &was.check_out, new.check_out),
        source: pick(&base.source, &was.source, new.source),
        guests_count: if was.guests_count == new.guests_count { base.guests_count } else { new.guests_count },
        notes: if was.notes == new.notes { base.notes.clone() } else { new.notes },
        ..new
    }
}
