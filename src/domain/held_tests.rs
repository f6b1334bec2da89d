//! Unit tests of `domain::held`: what differs, in which order it is changed.

use std::collections::HashMap;

use super::*;
use crate::domain::booking::{self, Booking, Field, Labels, Row};
use crate::domain::outcome::Operation::*;
use crate::domain::payment::{LEGACY_PATH, Payment, Terms};
use crate::domain::reservation::Tables;

fn wanted(status: &str) -> Reservation {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let names = ["confirmed", "reserved", "inquiry", "canceled"];
    let tables = Tables {
        listings: HashMap::from([pair("flat-1", "L1")]),
        statuses: names.iter().map(|name| pair(name, name)).collect(),
    };
    let row = booking::tests::row(&[(Field::Status, Some(status))]);
    let booking = Booking::parse(&row, &Labels::default()).unwrap();
    Reservation::map(booking, &tables, "website").unwrap()
}

/// The same with its payment to be recorded.
fn wanted_paid(payment: &str) -> Reservation {
    let mut reservation = wanted("confirmed");
    let mut row = Row { booking_id: "7".to_owned(), values: vec![None; Field::ALL.len()], ..Row::default() };
    row.values[Field::PaymentStatus as usize] = Some(payment.to_owned());
    let (terms, _) = Terms::new("OTHER", LEGACY_PATH);
    reservation.payment = Payment::of(&reservation, &row, &terms, &["paid".to_owned()]);
    reservation
}

fn held(change: impl FnOnce(&mut Aspects)) -> Aspects {
    let mut aspects = wanted("confirmed").aspects();
    change(&mut aspects);
    aspects
}

#[test]
fn each_difference_has_its_call_and_a_cancellation_goes_first_and_alone() {
    let day = NaiveDate::from_ymd_opt(2027, 5, 12);
    let confirmed = wanted("confirmed");
    for (name, aspects, expected) in [
        ("nothing", held(|_| {}), None),
        ("listing", held(|a| a.listing_id = Some("L2".to_owned())), Some(Relocate)),
        ("arrival", held(|a| a.check_in = day), Some(Dates)),
        ("departure", held(|a| a.check_out = day), Some(Dates)),
        ("party", held(|a| a.party = Some(Party { adults: 2, ..Party::default() })), Some(Guests)),
        ("status", held(|a| a.status = Some("inquiry".to_owned())), Some(Status)),
        ("notes", held(|a| a.notes = Some("other".to_owned())), Some(Notes)),
        ("listing and dates", held(|a| (a.listing_id, a.check_in) = (Some("L2".to_owned()), day)), Some(Relocate)),
        ("over", held(|a| (a.status, a.check_in) = (Some("canceled".to_owned()), day)), None),
        ("not known", Aspects::default(), None),
    ] {
        assert_eq!(difference(&confirmed, &aspects), expected, "{name}");
        let over = aspects.is_over();
        assert_eq!(difference(&wanted("canceled"), &aspects), (!over).then_some(Status), "{name}, cancelled here");
    }
}

#[test]
fn a_status_goes_up_and_never_down() {
    let confirmed = held(|_| {});
    assert_eq!(difference(&wanted("inquiry"), &confirmed), None);
    assert_eq!(difference(&wanted("reserved"), &confirmed), None);
    assert_eq!(difference(&wanted("reserved"), &held(|a| a.status = Some("inquiry".to_owned()))), Some(Status));
}

#[test]
fn what_is_confirmed_is_cancelled_and_any_other_hold_is_closed() {
    let cancelled = wanted("canceled");
    for (held, asked) in
        [(Some("confirmed"), "canceled"), (None, "canceled"), (Some("reserved"), "closed"), (Some("inquiry"), "closed")]
    {
        assert_eq!(next_status(&cancelled, held), asked);
    }
}

#[test]
fn a_change_is_confirmed_for_its_aspect_only() {
    let (wanted, nothing) = (wanted("confirmed"), Aspects::default());
    for operation in [Status, Relocate, Dates, Guests] {
        let aspects = held(|a| {
            a.listing_id = Some("L2".to_owned());
            a.check_in = NaiveDate::from_ymd_opt(2027, 5, 1);
            a.party = Some(Party::default());
            a.status = Some("inquiry".to_owned());
        });
        let merged = changed(operation, &wanted, &nothing).over(&aspects);
        let same = [
            merged.listing_id == wanted.aspects().listing_id,
            merged.check_in == wanted.aspects().check_in,
            merged.party == wanted.aspects().party,
            merged.status == wanted.aspects().status,
        ];
        let expected = [Relocate, Dates, Guests, Status].map(|aspect| aspect == operation);
        assert_eq!(same, expected, "{operation:?}");
    }
}

#[test]
fn a_count_that_is_ours_says_nothing_else_about_who_comes() {
    let wanted = wanted("confirmed");
    let ours = Hit { guests: Some(3), ..Hit::default() };
    assert_eq!(read(&ours, &wanted), Aspects::default());
    let fewer = Hit { guests: Some(2), ..Hit::default() };
    assert_eq!(read(&fewer, &wanted).party, Some(Party { adults: 2, ..Party::default() }));
    let units = Hit { listing_ids: vec!["type".to_owned(), "L1".to_owned()], ..Hit::default() };
    assert_eq!(read(&units, &wanted).listing_id.as_deref(), Some("L1"));
}

#[test]
fn a_reservation_rests_after_a_change_and_a_clock_that_went_back_holds_nothing_up() {
    let at = |seconds| DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds);
    let known = Known { changed_at: Some(at(100)), ..Known::default() };
    let settle = Duration::from_secs(90);
    assert_eq!(known.rests_until(settle, at(150)), Some(at(190)));
    assert_eq!(known.rests_until(settle, at(190)), None);
    assert_eq!(known.rests_until(settle, at(99)), Some(at(190)), "written a moment after now was asked for");
    assert_eq!(known.rests_until(settle, at(9)), None);
    assert_eq!(Known::default().rests_until(settle, at(150)), None);
}

#[test]
fn a_payment_is_listed_before_it_is_recorded_and_comes_last() {
    let paid = wanted_paid("paid");
    for (recording, expected) in [
        (None, None),
        (Some(Recording::Due), Some(ListPayments)),
        (Some(Recording::Sent), Some(ListPayments)),
        (Some(Recording::Absent), Some(RecordPayment)),
        (Some(Recording::Recorded), None),
    ] {
        assert_eq!(difference(&paid, &held(|a| a.payment = recording)), expected, "{recording:?}");
        let noted = held(|a| (a.payment, a.notes) = (recording, Some("other".to_owned())));
        assert_eq!(difference(&paid, &noted), Some(Notes), "notes go first");
    }
    let due = held(|a| a.payment = Some(Recording::Due));
    assert_eq!(difference(&wanted_paid("processing"), &due), None, "not paid yet");
    assert_eq!(difference(&wanted("confirmed"), &due), None, "payments are not recorded any more");
    let over = held(|a| (a.payment, a.status) = (Some(Recording::Due), Some("canceled".to_owned())));
    assert_eq!(difference(&paid, &over), None, "nothing is recorded for what is over");
}

#[test]
fn a_row_that_names_a_reservation_is_believed_where_the_tables_know_none() {
    let named = |id: &str| Row { reservation_id: Some(id.to_owned()), ..Row::default() };
    let known = |id: &str| Some(Known { reservation_id: id.to_owned(), verified: true, ..Known::default() });
    let found = known_or_named(None, &named(" 64c0 ")).unwrap().unwrap();
    assert_eq!((found.reservation_id.as_str(), found.verified), ("64c0", false));
    assert_eq!(known_or_named(known("64c1"), &named("64c0")), Ok(known("64c1")), "our own tables know more");
    assert_eq!(known_or_named(known("test-7"), &named("64c0")).unwrap().unwrap().reservation_id, "64c0");
    for nothing in ["", "  ", "test-7"] {
        assert_eq!(known_or_named(None, &named(nothing)), Ok(None), "{nothing:?}");
        assert_eq!(known_or_named(known("test-7"), &named(nothing)), Ok(known("test-7")), "{nothing:?}");
    }
    assert_eq!(known_or_named(None, &Row::default()), Ok(None));
}

#[test]
fn an_id_that_guestly_cannot_have_given_fails_the_booking() {
    let named = |id: &str| Row { reservation_id: Some(id.to_owned()), ..Row::default() };
    for unusable in ["x".repeat(13_000), "64c0 64c1".to_owned(), "64c0\u{1}".to_owned(), "r\u{e9}s".to_owned()] {
        let problem = known_or_named(None, &named(&unusable)).unwrap_err();
        assert_eq!(problem.class, ErrorClass::InvalidBooking);
        assert!(problem.sentence.contains("the column guestly_reservation_id") && problem.sentence.contains("NULL"));
        assert!(!problem.sentence.contains(&unusable), "never quoted");
        let known = Known { reservation_id: unusable, ..Known::default() };
        let problem = known_or_named(Some(known), &Row::default()).unwrap_err();
        assert!(problem.sentence.contains("guestly.reservations.reservation_id"), "{problem}");
    }
}
