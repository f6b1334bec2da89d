//! Answers made or modified by fault effects: error pages, redirects, garbage. Called by execute.rs under the state lock.

use crate::answer::{Answer, Delivery};
use crate::faults::{Disconnect, Effect, header_text};
use serde_json::{Value, json};

impl Disconnect {
    pub(crate) const fn delivery(self) -> Delivery {
        match self {
            Self::Rst => Delivery::Rst,
            Self::Fin => Delivery::Fin,
            Self::HalfBody => Delivery::HalfBody,
            Self::WrongLength => Delivery::WrongLength,
            Self::ShortLength => Delivery::ShortLength,
        }
    }
}

/// An answer with a status and one of the named bodies (`json`, `html`, `empty`, `string`), or any text.
pub(crate) fn status(code: u16, body: Option<&str>, retry_after: Option<&Value>) -> Answer {
    let answer = match body.unwrap_or("json") {
        "json" => Answer::nest(code, crate::answer::reason(code)),
        "html" => Answer::html(code),
        "empty" => Answer::empty(code),
        "string" => Answer::json(code, &json!(crate::answer::reason(code))),
        text => {
            let form = if text.starts_with(['{', '[', '"']) { "application/json" } else { "text/plain" };
            Answer { status: code, content_type: form, body: text.as_bytes().to_vec(), ..Answer::default() }
        }
    };
    match header_text(retry_after) {
        Some(value) => answer.with("Retry-After", value),
        None => answer,
    }
}

/// The answer of an effect that bypasses the business logic; `None` for the other effects.
pub(crate) fn replacement(effect: &Effect) -> Option<Answer> {
    match effect {
        Effect::RateLimit { retry_after } => {
            Some(status(429, Some(r#"{"message":"Too Many Requests"}"#), retry_after.as_ref()))
        }
        Effect::OauthDown { status: code } => Some(status(code.unwrap_or(503), Some("html"), None)),
        Effect::Redirect { to, code } => Some(Answer::empty(code.unwrap_or(307)).with("Location", to.clone())),
        Effect::Status { code, body, retry_after, committed: false } => {
            Some(status(*code, body.as_deref(), retry_after.as_ref()))
        }
        _ => None,
    }
}

/// Garbles a successful answer. Also returns whether the client can no longer read the id.
pub(crate) fn garbage(shape: &str, answer: &Answer) -> (Answer, bool) {
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let mut out = answer.clone();
    let garbled = !matches!(shape, "extra_fields" | "null_fields");
    if shape == "html" {
        out.content_type = "text/html";
    }
    out.body = match shape {
        "no_id" => without_id(value, None),
        "underscore_id" => without_id(value, Some("_id")),
        "nul_in_id" => nul_in_id(value),
        "invalid_utf8" => b"{\"reservationId\":\"64b1\xff\xfe\xc3\",\"x\":\"\xf0\x28\"}".to_vec(),
        "huge_20mb" => padded(&value, 20 * 1024 * 1024),
        "html" => Answer::html(answer.status).body,
        "extra_fields" => {
            let deep = json!({"deep": [1, "two", null, {"reservationId": "not this one"}]});
            with(value, "brandNew", deep)
        }
        "null_fields" => nulls(value),
        _ => b"{\"reservationId\": \"64b1f0aa11bb".to_vec(),
    };
    (out, garbled)
}

/// The answer with another value in one field.
pub(crate) fn rewritten(field: &str, value: &Value, body: &[u8]) -> Vec<u8> {
    with(serde_json::from_slice(body).unwrap_or_default(), field, value.clone())
}

/// Appends to the text: serializing 20 MB takes a second in a debug build.
fn padded(value: &Value, bytes: usize) -> Vec<u8> {
    let mut body = value.to_string().into_bytes();
    body.pop();
    body.extend_from_slice(b",\"padding\":\"");
    body.resize(body.len() + bytes, b'x');
    body.extend_from_slice(b"\"}");
    body
}

fn nul_in_id(value: Value) -> Vec<u8> {
    let id = value.get("reservationId").and_then(Value::as_str).unwrap_or("64b1").to_owned();
    let (left, right) = id.split_at(id.len() / 2);
    with(value, "reservationId", json!(format!("{left}\u{0}{right}")))
}

fn with(mut value: Value, key: &str, new: Value) -> Vec<u8> {
    match value.as_object_mut() {
        Some(map) => drop(map.insert(key.to_owned(), new)),
        None => value = json!({key: new}),
    }
    value.to_string().into_bytes()
}

fn without_id(mut value: Value, rename: Option<&str>) -> Vec<u8> {
    if let Some(map) = value.as_object_mut() {
        map.remove("access_token");
        let id = map.remove("reservationId");
        if let (Some(name), Some(id)) = (rename, id) {
            map.insert(name.to_owned(), id);
        }
    }
    value.to_string().into_bytes()
}

/// Sets everything but ids and the list of results to null.
fn nulls(mut value: Value) -> Vec<u8> {
    if let Some(map) = value.as_object_mut() {
        let keep = ["reservationId", "_id", "id", "results", "access_token"];
        map.iter_mut().filter(|(key, _)| !keep.contains(&key.as_str())).for_each(|(_, v)| *v = Value::Null);
    }
    value.to_string().into_bytes()
}
