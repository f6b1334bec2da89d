//! Unit tests of `alert`: kinds, urgency, causes and pauses.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use super::*;
use crate::domain::error::ErrorClass;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn day(text: &str) -> Option<NaiveDate> {
    Some(text.parse().unwrap())
}

#[test]
fn names_come_back() {
    for kind in AlertKind::ALL {
        assert_eq!(AlertKind::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(AlertKind::parse("rain"), None);
    assert_eq!(AlertKind::of_failure(ErrorClass::DatesTaken), AlertKind::DatesTaken);
    assert_eq!(AlertKind::of_failure(ErrorClass::UnknownListing), AlertKind::BookingFailed);
}

#[test]
fn arrivals_within_48_hours_or_overdue_are_urgent() {
    let now = at("2027-05-08T10:00:00Z");
    let booking = |first: &str, last: &str| AlertBooking {
        check_in: day(first),
        check_out: day(last),
        ..AlertBooking::default()
    };
    assert!(booking("2027-05-08", "2027-05-12").is_urgent(now));
    assert!(booking("2027-05-10", "2027-05-12").is_urgent(now));
    assert!(!booking("2027-05-11", "2027-05-12").is_urgent(now));
    assert!(booking("2027-05-01", "2027-05-08").is_urgent(now), "leaves today");
    assert!(!booking("2027-05-01", "2027-05-07").is_urgent(now), "has left");
    assert!(!AlertBooking::default().is_urgent(now));
    assert!(!is_urgent(day("2027-05-11"), now) && is_urgent(day("2027-05-10"), now));
    assert_eq!(last_arrival_of_list(now), "2027-05-10".parse().unwrap());
}

#[test]
fn nights_need_two_days_in_order() {
    let booking = |first, last| AlertBooking { check_in: first, check_out: last, ..AlertBooking::default() }.nights();
    assert_eq!(booking(day("2027-05-10"), day("2027-05-14")), Some(4));
    assert_eq!(booking(day("2027-05-14"), day("2027-05-10")), None);
    assert_eq!(booking(day("2027-05-14"), None), None);
}

#[test]
fn a_cause_ignores_the_numbers_of_its_sentence() {
    let unavailable = Some(ErrorClass::Unavailable);
    assert_eq!(cause(unavailable, "waits since 14:05, try 3"), cause(unavailable, "waits since 9:17, try 12"));
    assert_ne!(cause(unavailable, "waits"), cause(None, "waits"));
    assert_ne!(cause(None, "no listing"), cause(None, "no status"));
}

#[test]
fn pauses_between_mail_attempts_are_bounded() {
    for jitter in [0.0, 0.5, 0.999, f64::NAN] {
        let pauses: Vec<Duration> = (1..40).map(|failures| mail_pause(failures, false, jitter)).collect();
        assert!(pauses.is_sorted() && pauses[0] >= Duration::from_secs(1), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(300)));
        assert!(mail_pause(1, true, jitter) >= Duration::from_secs(30));
        assert!(mail_pause(u32::MAX, true, jitter) <= Duration::from_secs(3600));
    }
}
