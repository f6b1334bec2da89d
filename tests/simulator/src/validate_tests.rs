//! Tests of the validation that need no server.

use super::*;
use crate::config::{Knobs, Profile};

#[test]
fn unknown_fields_are_named() {
    let body = json!({"listingId": "x", "notes": "y", "money": {}});
    assert_eq!(unknown_fields(&body), ["money", "notes"]);
}

#[test]
fn dates_may_be_of_yesterday() {
    let knobs = Knobs::of(Profile::Observed);
    assert!(dates("2027-05-10", "2027-05-11", &knobs, parse_date("2027-05-11").unwrap()).is_ok());
    let refused = dates("2027-05-10", "2027-05-11", &knobs, parse_date("2027-05-12").unwrap());
    assert_eq!(refused.unwrap_err().status, 422);
}
