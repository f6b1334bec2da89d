//! The cause of an alert, and the pause after a mail that could not be sent. Part of `domain::alert`; pure, any thread.

use std::time::Duration;

use crate::domain::error::ErrorClass;
use crate::domain::retry::{MAIL_BACKOFF, MAIL_REFUSED_BACKOFF};

/// The key by which repeated alerts are recognized: class and sentence, without the numbers in it (times, counts, ids).
/// Stored in `guestly.alerts.cause`.
#[must_use]
pub fn cause(class: Option<ErrorClass>, sentence: &str) -> String {
    let mut cause = class.map_or("", ErrorClass::as_str).to_owned();
    cause.push(':');
    for char in sentence.chars().take(300) {
        match char.is_numeric() {
            true if cause.ends_with('#') => {}
            true => cause.push('#'),
            false => cause.push(char),
        }
    }
    cause
}

/// The pause after `failures` mails in a row that could not be sent (counted from 1): 2 s growing to 5 min or, after a
/// `permanent` refusal, 1 min growing to 1 h. `jitter` in [0, 1).
#[must_use]
pub fn mail_pause(failures: u32, permanent: bool, jitter: f64) -> Duration {
    let backoff = if permanent { MAIL_REFUSED_BACKOFF } else { MAIL_BACKOFF };
    // The upper half: jitter must not turn a pause into none.
    backoff.delay(failures, 0.5 + jitter.clamp(0.0, 1.0) / 2.0, None)
}
