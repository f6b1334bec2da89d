//! Tests of the clock: dates there and back.

use super::*;

#[test]
fn dates_go_there_and_back() {
    for text in ["1970-01-01", "2000-02-29", "2027-05-10", "2100-12-31"] {
        assert_eq!(format_date(parse_date(text).unwrap()), text);
    }
    assert_eq!(parse_date("2027-02-29"), None);
    assert_eq!(parse_date("2027-1-01"), None);
    assert_eq!(parse_date("1970-01-02"), Some(1));
}

#[test]
fn iso_times_with_zones() {
    let base = parse_iso("2027-01-03T10:00:00Z").unwrap();
    assert_eq!(iso(base), "2027-01-03T10:00:00.000Z");
    assert_eq!(parse_iso("2027-01-03T12:00:00+02:00"), Some(base));
    assert_eq!(parse_iso("2027-01-03T10:00:00.250Z"), Some(base + 250_000));
    assert_eq!(parse_iso("rubbish"), None);
}

#[test]
fn http_dates_go_there_and_back() {
    let micros = parse_iso("2027-01-03T10:11:12Z").unwrap();
    assert_eq!(http_date(micros), "Sun, 03 Jan 2027 10:11:12 GMT");
    assert_eq!(parse_http_date(&http_date(micros)), Some(micros));
}
