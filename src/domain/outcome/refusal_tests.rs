//! Unit tests of `outcome::refusal`: each kind of body with every status that it may have.

use super::super::tests::{GATEWAY, TAKEN, answer, create, now, refused};
use super::super::{Outcome, classify};
use super::*;
use crate::domain::operation::Operation;

#[test]
fn taken_dates_whatever_the_status() {
    for status in [400, 401, 403, 404, 409, 410, 422, 499] {
        let (class, sentence) = refused(create(status, TAKEN));
        assert_eq!(class, ErrorClass::DatesTaken, "{status}");
        assert_eq!(sentence, "Guestly refused the dates: Date/unit is not available");
    }
}

#[test]
fn taken_dates_in_other_words() {
    for body in [
        r#"{"message":"Listing is not available","code":"LISTING_IS_NOT_AVAILABLE","data":{}}"#,
        r#"{"error":{"code":"LISTING_IS_NOT_AVAILABLE","message":"Bad dates"}}"#,
        r#"{"message":"LISTING_CALENDAR_BLOCKED"}"#,
        r#"{"message":["The stay overlaps another reservation"]}"#,
        r#""Dates are unavailable""#,
        r#"{"code":"NOT_AVAILABLE"}"#,
        "The unit is already booked",
    ] {
        for status in [400, 401, 409, 422] {
            assert_eq!(refused(create(status, body)).0, ErrorClass::DatesTaken, "{status} {body}");
        }
    }
    // Without a text the status decides for a create.
    assert_eq!(refused(create(409, "")).0, ErrorClass::DatesTaken);
}

#[test]
fn something_else_that_is_away_is_no_conflict() {
    let feature = r#"{"message":"This feature is not available for your account"}"#;
    assert!(matches!(create(403, feature), Outcome::TokenRejected { status: 403, .. }));
    let service = r#"{"message":"Service temporarily unavailable"}"#;
    assert_eq!(refused(create(400, service)).0, ErrorClass::Refused);
    // Only an operation on a booking can conflict.
    let search = classify(Operation::LookUp, &answer(401, TAKEN), now());
    assert!(matches!(search, Outcome::TokenRejected { status: 401, .. }));
}

#[test]
fn the_body_selects_the_class_of_a_refusal() {
    for (body, class) in [
        (r#"{"message":"VALIDATION_ERROR - terms"}"#, ErrorClass::Refused),
        (r#"{"message":"MIN_NIGHT_MISMATCH"}"#, ErrorClass::Refused),
        (r#"{"code":"NOT_APPLICABLE","message":"minNights"}"#, ErrorClass::Refused),
        (
            r#"{"message":"Listing not found","code":"LISTING_NOT_FOUND","data":{"listingId":"64b1"},"requestId":"Root=1"}"#,
            ErrorClass::UnknownListing,
        ),
        (r#"{"message":"VALIDATION_ERROR - listing"}"#, ErrorClass::UnknownListing),
    ] {
        for status in [400, 401, 404, 422] {
            assert_eq!(refused(create(status, body)).0, class, "{status} {body}");
        }
    }
    let (_, sentence) = refused(create(401, r#"{"message":"VALIDATION_ERROR - terms"}"#));
    assert_eq!(sentence, "The stay breaks the listing's terms: terms");
}

#[test]
fn a_rejected_token() {
    for (status, body) in [
        (401, r#"{"error":{"code":"UNAUTHORIZED","message":"Unauthorized"}}"#),
        (403, GATEWAY),
        (403, r#""Forbidden""#),
        (401, ""),
        (401, "<html><title>401</title></html>"),
        (403, "\u{0}\u{1}"),
    ] {
        match create(status, body) {
            Outcome::TokenRejected { status: seen, .. } => assert_eq!(seen, status),
            other => panic!("{status} {body}: {other:?}"),
        }
    }
}

#[test]
fn an_answer_that_was_cut_is_still_read_for_its_subject() {
    let (class, sentence) = refused(create(401, &TAKEN[..60]));
    assert_eq!((class, sentence.as_str()), (ErrorClass::DatesTaken, "Guestly refused the dates"));
}

#[test]
fn other_refusals() {
    for status in [400, 402, 404, 405, 406, 410, 413, 422, 431, 451] {
        let body = r#"{"message":"Reservation not cancellable"}"#;
        let (class, sentence) = refused(create(status, body));
        assert_eq!(class, ErrorClass::Refused);
        assert_eq!(sentence, format!("Guestly refused the request (HTTP {status}): Reservation not cancellable"));
    }
}

#[test]
fn token_refusals() {
    for (status, body) in [
        (400, r#"{"error":"invalid_client"}"#),
        (401, r#"{"error":"invalid_client","error_description":"Client authentication failed"}"#),
        (403, GATEWAY),
        // A text about dates means nothing for these operations.
        (401, TAKEN),
    ] {
        let outcome = classify(Operation::Token, &answer(status, body), now());
        assert!(matches!(outcome, Outcome::TokenRejected { status: seen, .. } if seen == status), "{outcome:?}");
    }
    let capped = answer(403, r#"{"message":"Too many tokens requested"}"#);
    assert!(matches!(classify(Operation::Token, &capped, now()), Outcome::Throttled { .. }));
    let wrong_url = classify(Operation::Token, &answer(404, "Not Found"), now());
    assert_eq!(refused(wrong_url).0, ErrorClass::Refused);
}
