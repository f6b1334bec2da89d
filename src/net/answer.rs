//! Turns an HTTP response into a plain value.
//!
//! Called by `net::client` and `net::mail` on sender threads. Must not import: pgrx.

use std::io::Read;

use ureq::http::header::{DATE, HeaderName, RETRY_AFTER};
use ureq::http::{HeaderMap, Response};
use ureq::{Body, Error};

use crate::domain::outcome::{Answer, RateLimitHeaders, Window};
use crate::domain::redact::clean;

/// Longest body that is kept, in bytes.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// Reads the body up to 1 MiB. An error means that the answer is incomplete.
pub(super) fn read(response: Response<Body>) -> Result<Answer, Error> {
    read_at_most(response, MAX_BODY)
}

/// Like [`read`], with another limit in bytes.
pub(super) fn read_at_most(mut response: Response<Body>, limit: usize) -> Result<Answer, Error> {
    let mut answer = head(response.status().as_u16(), response.headers());
    let reader = response.body_mut().as_reader();
    let ended = reader.take(limit as u64 + 1).read_to_end(&mut answer.body);
    answer.whole = ended.is_ok() && answer.body.len() <= limit;
    answer.body.truncate(limit);
    match ended {
        // The status is enough here: the Retry-After of a 429 must not be lost with its body.
        Err(_) if answer.status == 429 || answer.status >= 500 => Ok(answer),
        Err(error) => Err(error.into()),
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

/// A number of calls. Servers that compute it from a clock may send `-1` or `3.5`.
fn count(headers: &HeaderMap, name: &'static str) -> Option<u32> {
    let value: f64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
    value.is_finite().then_some(value.max(0.0) as u32)
}
