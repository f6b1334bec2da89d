//! From a raw reply to its outcome, by status and operation. Part of `domain::outcome`; called on the worker's main thread
//! for every finished call; pure. A 429 is recognised here; refusals are told apart in `outcome/refusal.rs`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::error_text::error_text;
use super::hits::{parse_hits, reported_total, reservation_id, text, total};
use super::payments::parse_payments;
use super::refusal::classify_4xx;
use super::reply::{Answer, Reply};
use super::retry_after::parse_retry_after;
use super::sentence::sentence;
use super::types::Outcome;
use crate::domain::error::ErrorClass;
use crate::domain::operation::Operation;
use crate::domain::redact::Secret;
use crate::domain::token::{LONGEST_TOKEN, is_sendable};

/// Seconds a token lives when the answer does not say.
const USUAL_LIFETIME: f64 = 86_400.0;

/// Seconds beyond which a stated lifetime is not believed.
const LONGEST_LIFETIME: f64 = 31.0 * 86_400.0;

/// The outcome of a reply. Total: any status and any bytes have an outcome. `now` is only compared with an HTTP date in
/// `Retry-After`.
pub fn classify(operation: Operation, reply: &Reply, now: DateTime<Utc>) -> Outcome {
    match reply {
        Reply::NotSent { reason } => Outcome::NotSent { sentence: sentence(reason, None) },
        Reply::Unsendable { reason } => Outcome::Unsendable { sentence: sentence(reason, None) },
        Reply::Lost { reason } => Outcome::Unknown { sentence: sentence(reason, None) },
        Reply::Answer(answer) => answered(operation, answer, now),
    }
}

fn answered(operation: Operation, answer: &Answer, now: DateTime<Utc>) -> Outcome {
    let wait = || parse_retry_after(answer.retry_after.as_deref()?, operation, now);
    let say = |lead: &str| sentence(lead, error_text(&answer.body).as_deref());
    match answer.status {
        200..=299 => success(operation, answer),
        300..=399 => Outcome::Refused {
            class: ErrorClass::Refused,
            sentence: format!("Guestly answered with a redirect (HTTP {}), which is never followed", answer.status),
        },
        429 => Outcome::Throttled { retry_after: wait(), sentence: say("Guestly asked for a pause (HTTP 429)") },
        status @ (408 | 425 | 500..=599) => Outcome::Unavailable {
            retry_after: wait(),
            sentence: say(&format!("Guestly failed to answer the call (HTTP {status})")),
        },
        400..=499 => classify_4xx(operation, answer, wait()),
        status => Outcome::Unknown { sentence: format!("Guestly answered with an unexpected status (HTTP {status})") },
    }
}

fn success(operation: Operation, answer: &Answer) -> Outcome {
    let read = match operation {
        Operation::Token => token(&answer.body),
        Operation::Create => created(&answer.body),
        Operation::LookUp | Operation::ReadBack => parse_hits(&answer.body).map(Outcome::Found),
        Operation::Status | Operation::Dates | Operation::Guests | Operation::Relocate | Operation::Notes => {
            Some(Outcome::Updated { total: reported_total(&answer.body) })
        }
        Operation::ListPayments | Operation::RecordPayment => parse_payments(&answer.body).map(Outcome::Payments),
    };
    read.unwrap_or_else(|| Outcome::Unknown {
        sentence: format!("Guestly answered HTTP {} with a body that cannot be read", answer.status),
    })
}

fn created(body: &[u8]) -> Option<Outcome> {
    let value: Value = serde_json::from_slice(body).ok()?;
    Some(Outcome::Created {
        reservation_id: reservation_id(&value)?,
        confirmation_code: text(value.get("confirmationCode")),
        total: total(&value),
    })
}

fn token(body: &[u8]) -> Option<Outcome> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let access_token = value.get("access_token")?.as_str()?.trim();
    if access_token.is_empty() {
        return None;
    }
    if !is_sendable(access_token) {
        return Some(unusable(access_token));
    }
    let lifetime = value.get("expires_in").and_then(|v| match v {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    });
    let seconds = lifetime.filter(|s| (1.0..=LONGEST_LIFETIME).contains(s)).unwrap_or(USUAL_LIFETIME);
    Some(Outcome::Token {
        access_token: Secret::new(access_token.to_owned()),
        expires_in: Duration::from_secs_f64(seconds),
    })
}

/// The next token would be like this one, so fetching again does not help.
fn unusable(access_token: &str) -> Outcome {
    let sentence = if access_token.len() > LONGEST_TOKEN {
        let kilobytes = access_token.len().div_ceil(1024);
        format!(
            "Guestly issued an access token of {kilobytes} kB, and no more than 8 kB can be sent; check guestly_sync.token_url"
        )
    } else {
        "Guestly issued an access token with characters that cannot be sent; check guestly_sync.token_url".to_owned()
    };
    Outcome::Refused { class: ErrorClass::Credentials, sentence }
}
