//! The `Retry-After` header. Part of `domain::outcome`; pure.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::domain::operation::Operation;
use crate::domain::retry::{MAX_RETRY_AFTER, MAX_TOKEN_RETRY_AFTER};

/// The pause that a `Retry-After` header asks for: seconds (decimals allowed, a negative number counts as zero) or an HTTP
/// date, which is compared with `now`. At most an hour, for a token request a day. `None` for anything else.
pub fn parse_retry_after(value: &str, operation: Operation, now: DateTime<Utc>) -> Option<Duration> {
    let longest = if operation == Operation::Token { MAX_TOKEN_RETRY_AFTER } else { MAX_RETRY_AFTER };
    let value = value.trim();
    match value.parse::<f64>() {
        Ok(seconds) if seconds.is_nan() => None,
        Ok(seconds) => Some(Duration::from_secs_f64(seconds.clamp(0.0, longest.as_secs_f64()))),
        Err(_) => {
            let wait = http_date(value)?.signed_duration_since(now);
            Some(wait.to_std().unwrap_or(Duration::ZERO).min(longest))
        }
    }
}

/// The three forms of RFC 9110, section 5.6.7; the zone is GMT in each.
fn http_date(value: &str) -> Option<DateTime<Utc>> {
    if let Ok(at) = DateTime::parse_from_rfc2822(value) {
        return Some(at.with_timezone(&Utc));
    }
    let forms = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    forms.iter().find_map(|form| NaiveDateTime::parse_from_str(value, form).ok()).map(|at| at.and_utc())
}

#[cfg(test)]
mod tests {
    use super::super::tests::now;
    use super::*;

    #[test]
    fn every_form_of_retry_after_is_read() {
        for (value, seconds) in [
            ("0", Some(0.0)),
            ("7", Some(7.0)),
            (" 2.5 ", Some(2.5)),
            ("-3", Some(0.0)),
            ("86400", Some(3600.0)),
            ("inf", Some(3600.0)),
            ("99999999999999999999999", Some(3600.0)),
            ("Sun, 03 Jan 2027 10:00:30 GMT", Some(30.0)),
            ("Sunday, 03-Jan-27 10:00:30 GMT", Some(30.0)),
            ("Sun Jan  3 10:00:30 2027", Some(30.0)),
            ("Sun, 03 Jan 2027 09:00:00 GMT", Some(0.0)),
            ("Sun, 03 Jan 2028 09:00:00 GMT", None),
            ("NaN", None),
            ("", None),
            ("soon", None),
            ("\u{0}", None),
        ] {
            let wait = parse_retry_after(value, Operation::Create, now());
            assert_eq!(wait, seconds.map(Duration::from_secs_f64), "{value}");
        }
        let distant = "Mon, 03 Jan 2028 09:00:00 GMT";
        assert_eq!(parse_retry_after(distant, Operation::LookUp, now()), Some(Duration::from_secs(3600)));
        for (value, seconds) in [("36000", 36_000), ("inf", 86_400), (distant, 86_400)] {
            let wait = parse_retry_after(value, Operation::Token, now());
            assert_eq!(wait, Some(Duration::from_secs(seconds)), "{value}");
        }
    }
}
