//! The schema of a create, as the messages it yields. Called by validate.rs; pure.

use crate::config::{Knobs, Profile};
use crate::validate::{STATUSES, text};
use serde_json::Value;

/// Everything that is wrong with the fields of a create.
pub(crate) fn problems(body: &Value, knobs: &Knobs) -> Vec<String> {
    let hostile = knobs.profile == Profile::Hostile;
    let mut problems = Vec::new();
    for name in ["listingId", "checkInDateLocalized", "checkOutDateLocalized", "source", "status"] {
        if text(body, name).is_none_or(|t| t.is_empty()) {
            problems.push(format!("{name} should not be empty"));
        }
    }
    if text(body, "status").is_some_and(|status| !STATUSES.contains(&status.as_str())) {
        problems.push(format!("status must be one of the following values: {}", STATUSES.join(", ")));
    }
    if body.get("guestsCount").and_then(Value::as_u64).is_none_or(|n| n == 0) {
        problems.push("guestsCount must be a number conforming to the specified constraints".into());
    }
    type_problems(body, hostile, &mut problems);
    party_problems(body, &mut problems);
    if !hostile {
        guest_problems(body, knobs, &mut problems);
    }
    problems
}

fn party_problems(body: &Value, problems: &mut Vec<String>) {
    let Some(party) = body.get("numberOfGuests") else {
        return;
    };
    for (name, least) in [("numberOfAdults", 1), ("numberOfChildren", 0), ("numberOfInfants", 0), ("numberOfPets", 0)] {
        let value = party.get(name);
        let missing = value.is_none() && least == 1;
        if missing || value.is_some_and(|v| v.as_u64().is_none_or(|n| n < least)) {
            problems.push(format!("numberOfGuests.{name} must not be less than {least}"));
        }
    }
}

fn guest_problems(body: &Value, knobs: &Knobs, problems: &mut Vec<String>) {
    let Some(guest) = body.get("guest").filter(|guest| !guest.is_null()) else {
        if text(body, "guestId").is_none() {
            problems.push("guest or guestId should not be empty".into());
        }
        return;
    };
    for name in ["firstName", "lastName", "email"] {
        if text(guest, name).is_none_or(|t| t.is_empty()) {
            problems.push(format!("guest.{name} should not be empty"));
        }
    }
    let phones = guest.get("phones");
    let as_list = phones.and_then(Value::as_array);
    if knobs.require_phones && as_list.is_none_or(Vec::is_empty) {
        problems.push("guest.phones should not be empty".into());
    }
    if phones.is_some() && as_list.is_none_or(|list| list.iter().any(|p| !p.is_string())) {
        problems.push("guest.phones must be an array of strings".into());
    }
    if guest.get("preferredLanguage").is_some_and(|language| !language.is_string()) {
        problems.push("guest.preferredLanguage must be a string".into());
    }
}

fn type_problems(body: &Value, hostile: bool, problems: &mut Vec<String>) {
    for name in ["accommodationFare", "cleaningFee"] {
        if body.get(name).is_some_and(|v| v.as_f64().is_none_or(|n| n < 0.0)) {
            problems.push(format!("{name} must not be less than 0"));
        }
    }
    for name in ["ignoreCalendar", "ignoreTerms", "ignoreBlocks", "applyPromotions"] {
        if body.get(name).is_some_and(|v| !v.is_boolean()) {
            problems.push(format!("{name} must be a boolean value"));
        }
    }
    for name in ["confirmationCode", "origin", "originId"] {
        match body.get(name) {
            Some(Value::String(t)) if t.chars().count() > 50 && !hostile => {
                problems.push(format!("{name} must be shorter than or equal to 50 characters"));
            }
            Some(value) if !value.is_string() => problems.push(format!("{name} must be a string")),
            _ => {}
        }
    }
}
