//! The message in an error body. Guesty's services use at least eight shapes: a string, an object, a list of strings, an
//! OAuth error, a proxy's HTML page and more. Part of `domain::outcome`; pure.

use std::borrow::Cow;

use serde_json::Value;

use crate::domain::redact::clean;

/// Longest error text, in characters.
const MAX_TEXT: usize = 300;

/// Bytes read of a body that is not JSON: enough for any message, and a bound on the work for a hostile page.
const MAX_RAW: usize = 64 * 1024;

/// Depth to which nested objects are followed. Real answers nest two deep.
const MAX_DEPTH: u32 = 4;

/// Keys of messages for people, best first.
const MESSAGES: [&str; 9] =
    ["message", "error_description", "details", "errors", "detail", "title", "description", "reason", "error"];

/// Keys of error codes.
const CODES: [&str; 2] = ["code", "name"];

/// The message of an error body, cleaned and at most 300 characters; `None` if there is none. It may contain personal data
/// that the API quoted: see `redact::scrub`.
pub fn error_text(body: &[u8]) -> Option<String> {
    let text = match parse(body) {
        Body::Json(value) => message(&value, 0)?,
        Body::Text(text) => page_text(&text),
        Body::Broken(_) => return None,
    };
    let text = clean(strip_code(&text), MAX_TEXT);
    (!text.is_empty()).then_some(text)
}

/// The text of a body for keyword search: lower case, everything but letters and digits turned into single spaces, with a
/// space at both ends, so that ` terms ` matches a whole word.
pub(super) fn key_words(body: &[u8]) -> String {
    let mut parts = Vec::new();
    match parse(body) {
        Body::Json(value) => collect_text(&value, 0, &mut parts),
        Body::Text(text) => parts.push(page_text(&text)),
        Body::Broken(text) => parts.push(text.into_owned()),
    }
    let mut words = String::from(" ");
    for part in &parts {
        for c in part.chars().take(MAX_RAW) {
            match c.is_alphanumeric() {
                true => words.extend(c.to_lowercase()),
                false if words.ends_with(' ') => {}
                false => words.push(' '),
            }
        }
        if !words.ends_with(' ') {
            words.push(' ');
        }
    }
    words
}

enum Body<'a> {
    Json(Value),
    Text(Cow<'a, str>),
    /// Begins like JSON but is invalid: quoting it could reveal the guest's data.
    Broken(Cow<'a, str>),
}

fn parse(body: &[u8]) -> Body<'_> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if let Ok(value) = serde_json::from_slice(body) {
        return Body::Json(value);
    }
    let text = String::from_utf8_lossy(body.get(..MAX_RAW).unwrap_or(body));
    match text.trim_start().starts_with(['{', '[', '"']) {
        true => Body::Broken(text),
        false => Body::Text(text),
    }
}

/// The first message; without one, the first code.
fn message(value: &Value, depth: u32) -> Option<String> {
    match value {
        Value::String(text) => (!text.trim().is_empty()).then(|| text.trim().to_owned()),
        Value::Array(items) => {
            let texts: Vec<_> = items.iter().take(20).filter_map(|v| message(v, depth + 1)).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        }
        Value::Object(map) if depth < MAX_DEPTH => {
            MESSAGES.iter().chain(&CODES).find_map(|key| message(map.get(*key)?, depth + 1))
        }
        _ => None,
    }
}

fn collect_text(value: &Value, depth: u32, parts: &mut Vec<String>) {
    match value {
        Value::String(text) => parts.push(text.clone()),
        Value::Array(items) => items.iter().take(20).for_each(|v| collect_text(v, depth + 1, parts)),
        Value::Object(map) if depth < MAX_DEPTH => MESSAGES
            .iter()
            .chain(&CODES)
            .filter_map(|key| map.get(*key))
            .for_each(|v| collect_text(v, depth + 1, parts)),
        _ => {}
    }
}

/// `AVAILABILITY_ERROR - Date/unit is not available` without the code, which the error class repeats.
fn strip_code(text: &str) -> &str {
    match text.split_once(" - ") {
        Some((code, rest))
            if code.contains('_')
                && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
                && !rest.trim().is_empty() =>
        {
            rest
        }
        _ => text,
    }
}

/// The title of an HTML page or, without one, its text; other text is unchanged.
fn page_text(text: &str) -> String {
    let start = text.trim_start();
    if !start.starts_with('<') {
        return text.to_owned();
    }
    let lower = start.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|at| {
        let from = at + lower.get(at..)?.find('>')? + 1;
        let to = from + lower.get(from..)?.find("</title")?;
        start.get(from..to)
    });
    let words = title.filter(|t| !t.trim().is_empty()).map_or_else(|| without_tags(start), str::to_owned);
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&")]
        .iter()
        .fold(words, |text, (from, to)| text.replace(from, to))
}

fn without_tags(page: &str) -> String {
    let mut words = String::new();
    let mut inside = false;
    for c in page.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                words.push(' ');
            }
            c if !inside => words.push(c),
            _ => {}
        }
    }
    words
}

#[cfg(test)]
#[path = "error_text_tests.rs"]
mod tests;
