//! What an answer of the API means for a booking.
//!
//! Called by the worker's main thread for every finished call. Total: any status and any bytes
//! give an outcome, and nothing here can panic.
//! Must not import: pgrx, ureq, clocks, threads.
//!
//! | file | what is in it |
//! |---|---|
//! | `outcome/reply.rs` | operations and raw replies |
//! | `outcome/hits.rs` | rows of a look-up |
//! | `outcome/payments.rs` | the payments of a reservation |
//! | `outcome/error_text.rs` | plain words out of an error body |
//! | `outcome/refusal.rs` | what a 4xx means |
//! | `outcome/retry_after.rs` | the `Retry-After` header |
//! | `outcome/sentence.rs` | sentences without personal data |

mod error_text;
mod hits;
mod payments;
mod refusal;
mod reply;
mod retry_after;
mod sentence;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use self::sentence::sentence;
use super::error::ErrorClass;
use super::redact::Secret;
use super::token::{LONGEST_TOKEN, is_sendable};

pub use error_text::error_text;
pub use hits::{Hit, is_usable_id};
pub use refusal::speaks_of_code;
pub use reply::{Answer, Operation, RateLimitHeaders, Reply, Window};
pub use retry_after::parse_retry_after;
pub use sentence::scrub;

/// Seconds a token lives when the answer does not say.
const USUAL_LIFETIME: f64 = 86_400.0;

/// Seconds beyond which a stated lifetime is not believed.
const LONGEST_LIFETIME: f64 = 31.0 * 86_400.0;

/// What a call came to. Sentences are plain words for the owner: no control characters, no
/// personal data, at most some 400 characters.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The reservation exists.
    Created {
        /// Guesty's id.
        reservation_id: String,
        /// The code Guesty echoed.
        confirmation_code: Option<String>,
        /// The total as Guesty shows it, where the answer has it.
        total: Option<String>,
    },
    /// Guestly said yes to a change; whether it made it, only reading back tells.
    Updated {
        /// The total as Guesty shows it, where the answer has it.
        total: Option<String>,
    },
    /// The notes of all payments that Guestly lists for a reservation.
    Payments(Vec<String>),
    /// The look-up was answered; the list may be empty.
    Found(Vec<Hit>),
    /// An access token.
    Token {
        /// The token.
        access_token: Secret,
        /// Its lifetime; 86 400 s when the answer names none or an absurd one.
        expires_in: Duration,
    },
    /// Permanent: the same request will be refused again.
    Refused {
        /// Why, for the `error_class` column.
        class: ErrorClass,
        /// Why, in words.
        sentence: String,
    },
    /// 401 or 403 that speaks neither of dates nor of terms; for a token request also a 400 that
    /// names the client or the grant.
    TokenRejected {
        /// The status code.
        status: u16,
        /// What was said.
        sentence: String,
    },
    /// 429. Nothing was done.
    Throttled {
        /// The wait asked for, at most 3600 s.
        retry_after: Option<Duration>,
        /// What was said.
        sentence: String,
    },
    /// Nothing reached the API.
    NotSent {
        /// Why not.
        sentence: String,
    },
    /// Nothing was sent because the request itself cannot be sent: the booking's own fault, whatever the API does.
    Unsendable {
        /// Why not.
        sentence: String,
    },
    /// 408 or 5xx: it reached the API and may have taken effect.
    Unavailable {
        /// The wait asked for, at most 3600 s.
        retry_after: Option<Duration>,
        /// What was said.
        sentence: String,
    },
    /// The effect is unknown: no whole answer, or a success that cannot be read.
    Unknown {
        /// What happened.
        sentence: String,
    },
}

impl Outcome {
    /// True where Guestly did what was asked for, as far as its answer goes.
    #[must_use]
    pub const fn is_yes(&self) -> bool {
        matches!(
            self,
            Self::Created { .. } | Self::Updated { .. } | Self::Payments(_) | Self::Found(_) | Self::Token { .. }
        )
    }
}

/// Judges a reply. `now` is only compared with an HTTP date in `Retry-After`.
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
        400..=499 => refusal::judge(operation, answer, wait()),
        status => {
            Outcome::Unknown { sentence: format!("Guestly answered with HTTP {status}, which means nothing here") }
        }
    }
}

fn success(operation: Operation, answer: &Answer) -> Outcome {
    let read = match operation {
        Operation::Token => token(&answer.body),
        Operation::Create => created(&answer.body),
        Operation::LookUp | Operation::ReadBack => hits::parse(&answer.body).map(Outcome::Found),
        Operation::Status | Operation::Dates | Operation::Guests | Operation::Relocate | Operation::Notes => {
            Some(Outcome::Updated { total: hits::reported_total(&answer.body) })
        }
        Operation::ListPayments | Operation::RecordPayment => payments::parse(&answer.body).map(Outcome::Payments),
    };
    read.unwrap_or_else(|| Outcome::Unknown {
        sentence: format!("Guestly said yes (HTTP {}) in words that cannot be read", answer.status),
    })
}

fn created(body: &[u8]) -> Option<Outcome> {
    let value: Value = serde_json::from_slice(body).ok()?;
    Some(Outcome::Created {
        reservation_id: hits::reservation_id(&value)?,
        confirmation_code: hits::text(value.get("confirmationCode")),
        total: hits::total(&value),
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

/// No call could be made with it, and another one would be like it: that is for a person.
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

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
