use super::*;
use crate::domain::booking::Labels;
use crate::domain::field::Row;

fn tables() -> Tables {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Tables {
        listings: HashMap::from([pair("flat-1", "64b1f0aa11bb22cc33dd44e1")]),
        statuses: HashMap::from([pair("confirmed", "confirmed"), pair("cancelled", "canceled")]),
    }
}

pub(crate) fn reservation() -> Reservation {
    let values = [
        "BK-0000123",
        "flat-1",
        "6f1d",
        "Ada",
        "Example",
        "ada@example.org",
        "+49 (30) 555-0100",
        "2027-05-10",
        "2027-05-14",
        "2",
        "1",
        "1",
        "0",
        "640.00",
        "confirmed",
        "completed",
    ];
    let row =
        Row { booking_id: "7".to_owned(), values: values.map(|text| Some(text.to_owned())).to_vec(), ..Row::default() };
    Reservation::map(Booking::parse(&row, &Labels::default()).unwrap(), &tables(), "website").unwrap()
}

#[test]
fn a_status_is_found_whatever_its_case() {
    let tables = tables();
    for name in ["confirmed", "Confirmed", "CONFIRMED"] {
        assert_eq!(tables.status(name).map(String::as_str), Some("confirmed"), "{name}");
    }
    assert_eq!(tables.status("confirm"), None);
}

#[test]
fn the_create_has_every_field() {
    let request = reservation().create();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/reservations-v3"));
    let expected = json!({
        "listingId": "64b1f0aa11bb22cc33dd44e1",
        "checkInDateLocalized": "2027-05-10", "checkOutDateLocalized": "2027-05-14",
        "source": "website", "status": "confirmed", "guestsCount": 3,
        "numberOfGuests": {"numberOfAdults": 2, "numberOfChildren": 1, "numberOfInfants": 1, "numberOfPets": 0},
        "guest": {"firstName": "Ada", "lastName": "Example", "email": "ada@example.org", "phones": ["+49305550100"]},
        "accommodationFare": 640.0, "cleaningFee": 0, "applyPromotions": false,
        "ignoreCalendar": false, "ignoreTerms": false, "ignoreBlocks": false,
        "confirmationCode": "BK-0000123", "origin": "guestly_sync", "originId": "7",
    });
    assert_eq!(request.body, Some(expected));
}

#[test]
fn the_create_names_a_known_language() {
    let mut reservation = reservation();
    reservation.booking.language = Some("de".to_owned());
    assert_eq!(reservation.create().body.unwrap()["guest"]["preferredLanguage"], "de");
}

#[test]
fn missing_rows_say_which_table_to_fill() {
    let mut booking = reservation().booking;
    booking.properties = vec!["flat-9".to_owned()];
    let problem = Reservation::map(booking.clone(), &tables(), "website").unwrap_err();
    assert_eq!(problem.to_string(), "unknown_listing: property 'flat-9' has no row in guestly.listings");
    booking.properties = vec!["flat-1".to_owned()];
    booking.status = "odd".to_owned();
    let problem = Reservation::map(booking, &tables(), "website").unwrap_err();
    assert_eq!(problem.to_string(), "unknown_status: status 'odd' has no row in guestly.status_map");
}

#[test]
fn the_property_id_finds_a_listing_when_the_slug_does_not() {
    let mut booking = reservation().booking;
    booking.properties = vec!["renamed".to_owned(), "flat-1".to_owned()];
    assert_eq!(Reservation::map(booking, &tables(), "w").unwrap().listing_id, "64b1f0aa11bb22cc33dd44e1");
}

#[test]
fn phones_become_e164_only_where_that_is_certain() {
    let cases = [
        ("+49 (30) 555-0100", "+49305550100"),
        ("0049 30 5550100", "+49305550100"),
        ("030 5550100", "030 5550100"),
        ("call me", "call me"),
        ("+", "+"),
    ];
    for (given, sent) in cases {
        assert_eq!(e164(given), sent);
    }
}

#[test]
fn the_code_of_an_earlier_create_outlives_a_changed_reference() {
    let mut ours = reservation();
    ours.use_earlier_code(None);
    assert_eq!(ours.code, "BK-0000123");
    ours.use_earlier_code(Some("BK-0000100"));
    assert_eq!(ours.create().body.unwrap()["confirmationCode"], "BK-0000100");
}
