//! Unit tests of `domain::update`: the requests, word for word.

use super::*;
use crate::domain::booking::Booking;
use crate::domain::held::Aspects;

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
    let known = known("confirmed");
    Reservation { booking, listing_id: "L2".to_owned(), status: status.to_owned(), ..Reservation::ending("7", &known) }
}

fn known(status: &str) -> Known {
    let aspects = Aspects { status: Some(status.to_owned()), ..Aspects::default() };
    Known { reservation_id: "64b1/9".to_owned(), aspects, ..Known::default() }
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
    let party = json!({"numberOfAdults": 2, "numberOfChildren": 1, "numberOfInfants": 0, "numberOfPets": 1});
    for (operation, action, body) in [
        (Operation::Relocate, "relocate", flags(json!({"listingId": "L2"}))),
        (Operation::Dates, "dates", flags(dates)),
        (Operation::Guests, "guests", flags(json!({"guestsCount": 3, "numberOfGuests": party}))),
        (Operation::Status, "status", json!({"status": "confirmed"})),
    ] {
        let request = request(operation, &wanted("confirmed"), &known("inquiry"));
        let path = format!("/reservations-v3/64b1%2F9/{action}");
        assert_eq!(request, ApiRequest { method: Method::Put, path, body: Some(body) });
    }
}

#[test]
fn a_cancellation_names_who_and_why_and_a_hold_is_closed_without() {
    let cancelled = request(Operation::Status, &wanted("canceled"), &known("confirmed")).body.unwrap();
    assert_eq!((&cancelled["status"], &cancelled["canceledBy"]), (&json!("canceled"), &json!("GUEST")));
    assert!(cancelled["cancellationReason"].is_string());
    assert_eq!(cancelled["cancellationNote"], "cancelled on the website, booking BK-0000123");
    let closed = request(Operation::Status, &wanted("canceled"), &known("reserved")).body;
    assert_eq!(closed, Some(json!({"status": "closed"})));
}

#[test]
fn it_is_read_back_by_id() {
    let request = request(Operation::ReadBack, &wanted("confirmed"), &known("confirmed"));
    assert_eq!((request.method, request.body), (Method::Get, None));
    assert_eq!(request.path, "/reservations-v3?reservationIds%5B%5D=64b1%2F9");
}
