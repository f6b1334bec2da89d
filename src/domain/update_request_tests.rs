//! Unit tests of `domain::update_request`: the exact requests.

use super::*;
use crate::domain::booking::Booking;
use crate::domain::snapshot::Snapshot;

fn wanted(status: &str) -> Reservation {
    let booking = Booking {
        reference: Some("BK-0000123".to_owned()),
        check_in: chrono::NaiveDate::from_ymd_opt(2027, 5, 10).unwrap(),
        check_out: chrono::NaiveDate::from_ymd_opt(2027, 5, 14).unwrap(),
        adults: 2,
        children: 1,
        pets: 1,
        ..Booking::default()
    };
    let remote = remote("confirmed");
    Reservation { booking, listing_id: "L2".to_owned(), status: status.to_owned(), ..Reservation::ending("7", &remote) }
}

fn remote(status: &str) -> RemoteReservation {
    let snapshot = Snapshot { status: Some(status.to_owned()), ..Snapshot::default() };
    RemoteReservation { reservation_id: "64b1/9".to_owned(), snapshot, ..RemoteReservation::default() }
}

#[test]
fn each_aspect_has_its_endpoint() {
    let flags = |mut body: Value| {
        for flag in ["ignoreCalendar", "ignoreTerms", "ignoreBlocks"] {
            body[flag] = json!(false);
        }
        body
    };
    let dates = json!({"checkInDateLocalized": "2027-05-10", "checkOutDateLocalized": "2027-05-14"});
    let guests = json!({"numberOfAdults": 2, "numberOfChildren": 1, "numberOfInfants": 0, "numberOfPets": 1});
    for (operation, action, body) in [
        (Operation::Relocate, "relocate", flags(json!({"listingId": "L2"}))),
        (Operation::Dates, "dates", flags(dates)),
        (Operation::Guests, "guests", flags(json!({"guestsCount": 3, "numberOfGuests": guests}))),
        (Operation::Status, "status", json!({"status": "confirmed"})),
    ] {
        let request = build(operation, &wanted("confirmed"), &remote("inquiry"));
        let path = format!("/reservations-v3/64b1%2F9/{action}");
        assert_eq!(request, ApiRequest { method: Method::Put, path, body: Some(body) });
    }
}

#[test]
fn a_cancellation_has_a_reason() {
    let cancelled = build(Operation::Status, &wanted("canceled"), &remote("confirmed")).body.unwrap();
    assert_eq!((&cancelled["status"], &cancelled["canceledBy"]), (&json!("canceled"), &json!("GUEST")));
    assert!(cancelled["cancellationReason"].is_string());
    assert_eq!(cancelled["cancellationNote"], "cancelled on the website, booking BK-0000123");
    let closed = build(Operation::Status, &wanted("canceled"), &remote("reserved")).body;
    assert_eq!(closed, Some(json!({"status": "closed"})));
}

#[test]
fn it_is_read_back_by_id() {
    let request = build(Operation::ReadBack, &wanted("confirmed"), &remote("confirmed"));
    assert_eq!((request.method, request.body), (Method::Get, None));
    assert_eq!(request.path, "/reservations-v3?reservationIds%5B%5D=64b1%2F9");
}

#[test]
fn look_ups_encode_brackets_and_odd_codes() {
    assert_eq!(look_up("GS-1").path, "/reservations-v3/search?filter%5BconfirmationCode%5D=GS-1&limit=10");
    assert!(look_up("a&b=c").path.contains("=a%26b%3Dc&"));
}
