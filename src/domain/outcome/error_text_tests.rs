//! Unit tests of `outcome::error_text`: every shape of error body observed at Guesty.

use super::super::tests::{GATEWAY, TAKEN};
use super::error_text;

#[test]
fn every_shape_in_plain_words() {
    for (shape, body, words) in [
        ("a", TAKEN, "Date/unit is not available"),
        (
            "a",
            r#"{"statusCode":400,"message":"VALIDATION_ERROR - No rate plans found for the new stay","error":"Bad Request"}"#,
            "No rate plans found for the new stay",
        ),
        ("b", r#""Reservation Not Found""#, "Reservation Not Found"),
        ("c", r#"{"error":{"code":"UNAUTHORIZED","message":"Unauthorized"}}"#, "Unauthorized"),
        (
            "d",
            r#"{"message":"Listing not found","code":"LISTING_NOT_FOUND","data":{"listingId":"64b1"},"requestId":"Root=1"}"#,
            "Listing not found",
        ),
        (
            "e",
            r#"{"message":"child \"endDate\" fails because [\"endDate\" is required]","code":"ValidationError","details":[{"message":"\"endDate\" is required","path":["endDate"],"type":"any.required"}],"requestId":"Root=1"}"#,
            r#"child "endDate" fails because ["endDate" is required]"#,
        ),
        ("f", GATEWAY, "You don't have permission to access, please contact Guesty support."),
        ("g", r#"{"message":"bad id","type":"error","code":"VALIDATION_ERROR"}"#, "bad id"),
        (
            "h",
            r#"{"statusCode":400,"message":["listingId should not be empty","guestsCount must be a number"],"error":"Bad Request"}"#,
            "listingId should not be empty; guestsCount must be a number",
        ),
    ] {
        assert_eq!(error_text(body.as_bytes()).as_deref(), Some(words), "{shape}");
    }
}

#[test]
fn what_is_no_api_error_in_plain_words() {
    for (shape, body, words) in [
        (
            "oauth",
            r#"{"error":"invalid_client","error_description":"Client authentication failed"}"#,
            "Client authentication failed",
        ),
        ("oauth", r#"{"error":"invalid_client"}"#, "invalid_client"),
        ("code only", r#"{"code":"LISTING_NOT_FOUND"}"#, "LISTING_NOT_FOUND"),
        (
            "html",
            "<!DOCTYPE html>\n<html><head><title>502 Bad&nbsp;Gateway</title></head><body>x</body></html>",
            "502 Bad Gateway",
        ),
        ("html", "<h1>Not\n here</h1><p>sorry</p>", "Not here sorry"),
        ("text", "upstream\tconnect error\u{0}", "upstream connect error"),
        ("bom", "\u{feff}\"Forbidden\"", "Forbidden"),
    ] {
        assert_eq!(error_text(body.as_bytes()).as_deref(), Some(words), "{shape}");
    }
}

#[test]
fn bodies_that_say_nothing() {
    let deep = "[".repeat(100_000);
    for body in [
        "",
        "  ",
        "{}",
        "[]",
        "null",
        "12",
        "true",
        r#"{"message":""}"#,
        r#"{"message":null}"#,
        "{\"message\":\"cut of",
        deep.as_str(),
        "<html></html>",
    ] {
        assert_eq!(error_text(body.as_bytes()), None, "{body:.40}");
    }
    let long = error_text("word ".repeat(100_000).as_bytes()).unwrap();
    assert!(long.chars().count() <= 300);
    assert!(error_text(&[0xff, 0xfe, b'o', b'h']).is_some());
}
