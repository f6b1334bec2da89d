//! Tests of the reading side: decoding and heads.

use super::*;

#[test]
fn percent_decoding() {
    assert_eq!(decode("filter%5Bx%5D", true), "filter[x]");
    assert_eq!(decode("a+b%2", true), "a b%2");
    assert_eq!(decode("a+b", false), "a+b");
    assert_eq!(parse_pairs("a=1&b=%C3%A9&&c"), [("a", "1"), ("b", "é"), ("c", "")].map(|(k, v)| (k.into(), v.into())));
}

#[test]
fn heads() {
    assert!(parse_head(b"GET / HTTP/1.1\r\n").unwrap().is_none());
    let (request, length, _) = parse_head(b"GET /a?b=c HTTP/1.1\r\nX-Y: z\r\n\r\nrest").unwrap().unwrap();
    assert_eq!((request.path.as_str(), request.query("b"), request.header("x-y")), ("/a", Some("c"), Some("z")));
    assert!(request.keep_alive);
    assert_eq!(length, 31, "the rest stays for the next request");
    assert!(parse_head(b"\x00\x01\r\n\r\n").is_err());
}
