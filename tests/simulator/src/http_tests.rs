//! Tests of decoding and of request heads.

use super::*;

#[test]
fn percent_encoding_is_decoded() {
    assert_eq!(decode("filter%5Bx%5D", true), "filter[x]");
}

#[test]
fn incomplete_percent_encoding_is_kept() {
    assert_eq!(decode("a+b%2", true), "a b%2");
}

#[test]
fn plus_is_kept_in_paths() {
    assert_eq!(decode("a+b", false), "a+b");
}

#[test]
fn pairs_are_split_and_decoded() {
    let pairs = [("a", "1"), ("b", "é"), ("c", "")].map(|(key, value)| (key.into(), value.into()));
    assert_eq!(parse_pairs("a=1&b=%C3%A9&&c"), pairs);
}

#[test]
fn incomplete_head_waits_for_more() {
    assert!(parse_head(b"GET / HTTP/1.1\r\n").unwrap().is_none());
}

#[test]
fn head_is_parsed() {
    let (request, ..) = parse_head(b"GET /a?b=c HTTP/1.1\r\nX-Y: z\r\n\r\n").unwrap().unwrap();
    let found = (request.path.as_str(), request.query("b"), request.header("x-y"), request.keep_alive);
    assert_eq!(found, ("/a", Some("c"), Some("z"), true));
}

#[test]
fn bytes_after_the_head_are_left() {
    let (_, length, _) = parse_head(b"GET /a?b=c HTTP/1.1\r\nX-Y: z\r\n\r\nrest").unwrap().unwrap();
    assert_eq!(length, 31);
}

#[test]
fn binary_head_is_refused() {
    assert!(parse_head(b"\x00\x01\r\n\r\n").is_err());
}
