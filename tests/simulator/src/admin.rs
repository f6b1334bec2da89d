//! The calls under `/__sim`, through which tests control the simulator and read its results.
//! Called by server.rs on the connection's thread; never counted, checked or limited.

use crate::answer::Answer;
use crate::config::{Knobs, Profile};
use crate::http::Request;
use crate::listings::Listing;
use crate::metrics;
use crate::reservations::Reservation;
use crate::server::Shared;
use crate::state::State;
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers one admin call: 200, 400 with `{"error": …}`, or 404.
pub(crate) fn handle(shared: &Shared, request: &Request) -> Answer {
    let empty = request.body.is_empty();
    let body = if empty { Ok(json!({})) } else { serde_json::from_slice(&request.body) };
    let Ok(body) = body else {
        return failed("the body is not JSON");
    };
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').skip(1).collect();
    if (request.method.as_str(), parts.as_slice()) == ("POST", &["connections", "close"]) {
        return Answer::json(200, &json!({"closed": shared.close_connections()}));
    }
    let mut state = shared.lock();
    state.commit_due();
    let done = match (request.method.as_str(), parts.as_slice()) {
        ("GET", what) => report(&state, what, request),
        ("POST", ["reset"]) => Some(reset(&mut state, shared, &body)),
        (method, what) => change(&mut state, method, what, &body),
    };
    match done {
        Some(Ok(value)) => Answer::json(200, &value),
        Some(Err(message)) => failed(&message),
        None => Answer::json(404, &json!({"error": "no such admin call"})),
    }
}

/// Runs a call that changes something; `None` if there is no such call.
fn change(state: &mut State, method: &str, what: &[&str], body: &Value) -> Option<Result<Value, String>> {
    let now = state.now();
    let reservation = |id: String| json!({"reservationId": id});
    let done = match (method, what) {
        ("POST", ["knobs"]) => set_knobs(state, body),
        ("POST", ["faults"]) => {
            let installed = state.fault_plan.install(body, now);
            installed.map(|()| json!({"rules": state.fault_plan.rules.len()}))
        }
        ("POST", ["release"]) => {
            state.fault_plan.remove_holds();
            state.releases += 1;
            Ok(json!({"rules": state.fault_plan.rules.len()}))
        }
        ("DELETE", ["faults"]) => {
            state.fault_plan.rules.clear();
            Ok(json!({"rules": 0}))
        }
        ("POST", ["listings"]) => add_listings(state, body),
        ("POST", ["foreign-reservation"]) => state.add_foreign(body, now).map(reservation),
        ("POST", ["reservations", id]) => state.owner_edit(id, body, now).map(reservation),
        ("POST", ["tokens", "revoke"]) => {
            state.tokens.revoke_all();
            Ok(json!({"revoked": true}))
        }
        ("POST", ["clock", "advance"]) => advance(state, body),
        _ => return None,
    };
    Some(done)
}

fn failed(message: &str) -> Answer {
    Answer::json(400, &json!({"error": message}))
}

fn report(state: &State, what: &[&str], request: &Request) -> Option<Result<Value, String>> {
    let number = |name: &str| request.query(name).and_then(|v| v.parse::<u64>().ok());
    let value = match what {
        ["calls"] => {
            let limit = number("limit").and_then(|n| usize::try_from(n).ok());
            let (operation, code) = (request.query("operation"), request.query("code"));
            let (since, limit) = (number("since").unwrap_or(0), limit.unwrap_or(usize::MAX));
            state.call_log.json(since, operation, code, limit)
        }
        ["state"] => state_json(state, request.query("code")),
        ["violations"] => {
            json!({"violations": state.checker.violations, "counts": state.checker.counts_json()})
        }
        ["metrics"] => metrics::json(state, request.query("brief").is_some()),
        ["health"] => json!({"ok": true}),
        ["knobs"] => return Some(serde_json::to_value(&state.knobs).map_err(|e| e.to_string())),
        ["faults"] => {
            return Some(serde_json::to_value(&state.fault_plan.rules).map_err(|e| e.to_string()));
        }
        _ => return None,
    };
    Some(Ok(value))
}

/// Discards all state. Knobs are those of the profile (default: the current one), overridden by those in the body.
fn reset(state: &mut State, shared: &Shared, body: &Value) -> Result<Value, String> {
    let profile = match body.get("profile") {
        Some(name) => serde_json::from_value::<Profile>(name.clone()).map_err(|e| e.to_string())?,
        None => state.knobs.profile,
    };
    let knobs = Knobs::of(profile).overlay(body)?;
    let releases = state.releases + 1;
    *state = State::new(knobs, Arc::clone(&shared.clock), state.epoch + 1);
    state.releases = releases;
    Ok(json!({"epoch": state.epoch}))
}

fn set_knobs(state: &mut State, body: &Value) -> Result<Value, String> {
    let knobs = state.knobs.overlay(body)?;
    state.set_knobs(knobs);
    serde_json::to_value(&state.knobs).map_err(|e| e.to_string())
}

fn add_listings(state: &mut State, body: &Value) -> Result<Value, String> {
    let list = body.as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
    for entry in list {
        let listing: Listing = serde_json::from_value(entry).map_err(|e| e.to_string())?;
        state.listings.insert(listing.id.clone(), listing);
    }
    let mut all: Vec<&Listing> = state.listings.values().collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    serde_json::to_value(all).map_err(|e| e.to_string())
}

fn advance(state: &mut State, body: &Value) -> Result<Value, String> {
    let seconds = body.get("seconds").and_then(Value::as_f64).ok_or("seconds is required")?;
    #[allow(clippy::cast_possible_truncation)]
    let micros = (seconds * 1_000_000.0) as i64;
    state.offset = state.offset.saturating_add(micros);
    Ok(json!({"offset_s": state.offset / 1_000_000}))
}

fn state_json(state: &State, code: Option<&str>) -> Value {
    let now = state.now();
    let wanted = state.reservations.list.iter().filter(|r| code.is_none_or(|c| c == r.code));
    let rows: Vec<Value> = wanted.map(|r| reservation_json(state, r, now.mono)).collect();
    json!({
        "reservations": rows, "now": crate::clock::iso(now.sim_wall), "epoch": state.epoch,
        "tokens": state.tokens.fingerprints(), "late_commits_pending": state.pending_commits.len(),
    })
}

fn reservation_json(state: &State, r: &Reservation, mono: u64) -> Value {
    let f = &r.current;
    let received: Value = serde_json::from_str(&r.received).unwrap_or(Value::Null);
    json!({
        "reservationId": r.id, "confirmationCode": r.code, "origin": r.origin, "originId": r.origin_id,
        "fromApi": r.from_api, "status": f.status, "listingId": f.listing, "checkInDateLocalized": f.check_in,
        "checkOutDateLocalized": f.check_out, "guestsCount": f.guests_count, "numberOfGuests": f.number_of_guests,
        "source": f.source, "notes": f.notes, "customFields": f.custom_fields, "cancellation": f.cancellation,
        "guestId": r.guest_id, "guest": received.get("guest"), "accommodationFare": received.get("accommodationFare"),
        "cleaningFee": received.get("cleaningFee"), "money": state.money(r, f), "payments": r.payments,
        "createdAt": crate::clock::iso(r.created), "visible": r.visible_at <= mono, "indexed": r.indexed_at <= mono,
        "received": received,
    })
}
