//! Reads an HTTP answer into a plain value.
//!
//! Called by `net::client` on sender threads. Must not import: pgrx.

use std::io::Read;

use ureq::http::header::{DATE, HeaderName, RETRY_AFTER};
use ureq::http::{HeaderMap, Response};
use ureq::{Body, Error};

use crate::domain::outcome::{Answer, RateLimitHeaders, Window};
use crate::domain::redact::clean;

/// Bytes of a body that are kept.
pub(super) const BODY_CAP: usize = 1024 * 1024;

/// Reads the body to its end or to the cap. An error means that the answer is not whole.
pub(super) fn read(response: Response<Body>) -> Result<Answer, Error> {
    read_at_most(response, BODY_CAP)
}

/// The same with another cap, in bytes.
pub(super) fn read_at_most(mut response: Response<Body>, cap: usize) -> Result<Answer, Error> {
    let mut answer = head(response.status().as_u16(), response.headers());
    let reader = response.body_mut().as_reader();
    let ended = reader.take(cap as u64 + 1).read_to_end(&mut answer.body);
    answer.whole = ended.is_ok() && answer.body.len() <= cap;
    answer.body.truncate(cap);
    match ended {
        // Of these the status alone says all: the wait of a 429 must not get lost with its body.
        Err(_) if answer.status == 429 || answer.status >= 500 => Ok(answer),
        Err(cut) => Err(cut.into()),
        Ok(_) => Ok(answer),
    }
}

fn head(status: u16, headers: &HeaderMap) -> Answer {
    let window = |limit, remaining| Window { limit: count(headers, limit), remaining: count(headers, remaining) };
    Answer {
        status,
        body: Vec::new(),
        retry_after: text(headers, &RETRY_AFTER),
        request_id: text(headers, &HeaderName::from_static("x-request-id")),
        date: text(headers, &DATE),
        rate_limit: RateLimitHeaders {
            second: window("x-ratelimit-limit-second", "x-ratelimit-remaining-second"),
            minute: window("x-ratelimit-limit-minute", "x-ratelimit-remaining-minute"),
            hour: window("x-ratelimit-limit-hour", "x-ratelimit-remaining-hour"),
        },
        whole: true,
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = clean(&String::from_utf8_lossy(headers.get(name)?.as_bytes()), 100);
    (!value.is_empty()).then_some(value)
}

/// A count of calls; servers that compute it from a clock may say `-1` or `3.5`.
fn count(headers: &HeaderMap, name: &'static str) -> Option<u32> {
    let value: f64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
    value.is_finite().then_some(value.max(0.0) as u32)
}
