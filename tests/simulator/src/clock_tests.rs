//! Tests of dates and times, parsed and formatted.

use super::*;

#[test]
fn dates_survive_a_round_trip() {
    let dates = ["1970-01-01", "2000-02-29", "2027-05-10", "2100-12-31"];
    assert_eq!(dates.map(|text| format_date(parse_date(text).unwrap())), dates);
}

#[test]
fn impossible_dates_are_refused() {
    assert_eq!(["2027-02-29", "2027-1-01"].map(parse_date), [None, None]);
}

#[test]
fn days_count_from_1970() {
    assert_eq!(parse_date("1970-01-02"), Some(1));
}

#[test]
fn iso_times_survive_a_round_trip() {
    assert_eq!(parse_iso("2027-01-03T10:00:00Z").map(iso).as_deref(), Some("2027-01-03T10:00:00.000Z"));
}

#[test]
fn zones_of_iso_times_are_applied() {
    assert_eq!(parse_iso("2027-01-03T12:00:00+02:00"), parse_iso("2027-01-03T10:00:00Z"));
}

#[test]
fn fractions_of_iso_times_are_kept() {
    let base = parse_iso("2027-01-03T10:00:00Z").unwrap();
    assert_eq!(parse_iso("2027-01-03T10:00:00.250Z"), Some(base + 250_000));
}

#[test]
fn other_text_is_no_time() {
    assert_eq!(parse_iso("rubbish"), None);
}

#[test]
fn http_date_is_formatted() {
    assert_eq!(http_date(parse_iso("2027-01-03T10:11:12Z").unwrap()), "Sun, 03 Jan 2027 10:11:12 GMT");
}

#[test]
fn http_dates_survive_a_round_trip() {
    let micros = parse_iso("2027-01-03T10:11:12Z").unwrap();
    assert_eq!(parse_http_date(&http_date(micros)), Some(micros));
}
