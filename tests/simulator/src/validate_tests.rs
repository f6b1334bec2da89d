//! Tests of the validation that need no server.

use super::*;
use crate::config::{Knobs, Profile};

fn check_in_on(today: &str) -> Result<(), u16> {
    let today = parse_date(today).unwrap();
    dates("2027-05-10", "2027-05-11", &Knobs::of(Profile::Observed), today).map_err(|answer| answer.status)
}

#[test]
fn unknown_fields_are_named() {
    let body = json!({"listingId": "x", "notes": "y", "money": {}});
    assert_eq!(unknown_fields(&body), ["money", "notes"]);
}

#[test]
fn check_in_yesterday_is_accepted() {
    assert_eq!(check_in_on("2027-05-11"), Ok(()));
}

#[test]
fn check_in_two_days_ago_is_refused() {
    assert_eq!(check_in_on("2027-05-12"), Err(422));
}
