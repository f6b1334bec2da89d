//! Unit tests of `domain::diff`: differences between booking and snapshot, and the order of the calls.

use std::collections::HashMap;

use super::*;
use crate::domain::booking::{self, Booking, Labels};
use crate::domain::field::{Field, Row};
use crate::domain::operation::Operation::*;
use crate::domain::payment::{LEGACY_PATH, Payment, PaymentMethod};
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

/// The same with a payment to record.
fn wanted_paid(payment: &str) -> Reservation {
    let mut reservation = wanted("confirmed");
    let mut row = Row { booking_id: "7".to_owned(), values: vec![None; Field::ALL.len()], ..Row::default() };
    row.values[Field::PaymentStatus as usize] = Some(payment.to_owned());
    let (terms, _) = PaymentMethod::new("OTHER", LEGACY_PATH);
    reservation.payment =
        Payment::of(&reservation.origin_id, reservation.booking.total, &row, &terms, &["paid".to_owned()]);
    reservation
}

fn remote(change: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let mut snapshot = wanted("confirmed").snapshot();
    change(&mut snapshot);
    snapshot
}

#[test]
fn each_difference_has_its_call() {
    let day = NaiveDate::from_ymd_opt(2027, 5, 12);
    let confirmed = wanted("confirmed");
    for (name, snapshot, expected) in [
        ("nothing", remote(|_| {}), None),
        ("listing", remote(|a| a.listing_id = Some("L2".to_owned())), Some(Relocate)),
        ("arrival", remote(|a| a.check_in = day), Some(Dates)),
        ("departure", remote(|a| a.check_out = day), Some(Dates)),
        ("guests", remote(|a| a.guests = Some(GuestCount { adults: 2, ..GuestCount::default() })), Some(Guests)),
        ("status", remote(|a| a.status = Some("inquiry".to_owned())), Some(Status)),
        ("notes", remote(|a| a.notes = Some("other".to_owned())), Some(Notes)),
        ("listing and dates", remote(|a| (a.listing_id, a.check_in) = (Some("L2".to_owned()), day)), Some(Relocate)),
        ("over", remote(|a| (a.status, a.check_in) = (Some("canceled".to_owned()), day)), None),
        ("unknown", Snapshot::default(), None),
    ] {
        assert_eq!(next_change(&confirmed, &snapshot), expected, "{name}");
        let over = snapshot.is_over();
        assert_eq!(next_change(&wanted("canceled"), &snapshot), (!over).then_some(Status), "{name}, cancelled here");
    }
}

#[test]
fn a_status_never_goes_down() {
    let confirmed = remote(|_| {});
    assert_eq!(next_change(&wanted("inquiry"), &confirmed), None);
    assert_eq!(next_change(&wanted("reserved"), &confirmed), None);
    assert_eq!(next_change(&wanted("reserved"), &remote(|a| a.status = Some("inquiry".to_owned()))), Some(Status));
}

#[test]
fn only_a_confirmed_reservation_is_cancelled() {
    let cancelled = wanted("canceled");
    for (remote, asked) in
        [(Some("confirmed"), "canceled"), (None, "canceled"), (Some("reserved"), "closed"), (Some("inquiry"), "closed")]
    {
        assert_eq!(next_status(&cancelled, remote), asked);
    }
}

#[test]
fn a_change_is_confirmed_for_its_aspect_only() {
    let (wanted, nothing) = (wanted("confirmed"), Snapshot::default());
    for operation in [Status, Relocate, Dates, Guests] {
        let snapshot = remote(|a| {
            a.listing_id = Some("L2".to_owned());
            a.check_in = NaiveDate::from_ymd_opt(2027, 5, 1);
            a.guests = Some(GuestCount::default());
            a.status = Some("inquiry".to_owned());
        });
        let merged = changed_by(operation, &wanted, &nothing).over(&snapshot);
        let same = [
            merged.listing_id == wanted.snapshot().listing_id,
            merged.check_in == wanted.snapshot().check_in,
            merged.guests == wanted.snapshot().guests,
            merged.status == wanted.snapshot().status,
        ];
        let expected = [Relocate, Dates, Guests, Status].map(|aspect| aspect == operation);
        assert_eq!(same, expected, "{operation:?}");
    }
}

#[test]
fn a_count_that_is_ours_says_nothing_else_about_who_comes() {
    let wanted = wanted("confirmed");
    let ours = Hit { guests_count: Some(3), ..Hit::default() };
    assert_eq!(snapshot_of_hit(&ours, &wanted), Snapshot::default());
    let fewer = Hit { guests_count: Some(2), ..Hit::default() };
    assert_eq!(snapshot_of_hit(&fewer, &wanted).guests, Some(GuestCount { adults: 2, ..GuestCount::default() }));
    let units = Hit { listing_ids: vec!["type".to_owned(), "L1".to_owned()], ..Hit::default() };
    assert_eq!(snapshot_of_hit(&units, &wanted).listing_id.as_deref(), Some("L1"));
}

#[test]
fn a_payment_is_listed_before_it_is_recorded() {
    let paid = wanted_paid("paid");
    for (recording, expected) in [
        (None, None),
        (Some(PaymentState::ToRecord), Some(ListPayments)),
        (Some(PaymentState::MaybeRecorded), Some(ListPayments)),
        (Some(PaymentState::NotListed), Some(RecordPayment)),
        (Some(PaymentState::Recorded), None),
    ] {
        assert_eq!(next_change(&paid, &remote(|a| a.payment = recording)), expected, "{recording:?}");
        let noted = remote(|a| (a.payment, a.notes) = (recording, Some("other".to_owned())));
        assert_eq!(next_change(&paid, &noted), Some(Notes), "notes go first");
    }
    let due = remote(|a| a.payment = Some(PaymentState::ToRecord));
    assert_eq!(next_change(&wanted_paid("processing"), &due), None, "not paid yet");
    assert_eq!(next_change(&wanted("confirmed"), &due), None, "payments are no longer recorded");
    let over = remote(|a| (a.payment, a.status) = (Some(PaymentState::ToRecord), Some("canceled".to_owned())));
    assert_eq!(next_change(&paid, &over), None, "nothing is recorded for an ended reservation");
}

/// Guestly's reservation of the confirmed booking.
fn hit() -> Hit {
    let ours = wanted("confirmed");
    Hit {
        reservation_id: "r1".to_owned(),
        status: Some("confirmed".to_owned()),
        confirmation_code: Some(ours.code),
        origin_id: Some(ours.origin_id),
        listing_ids: vec![ours.listing_id],
        check_in: Some(ours.booking.check_in),
        check_out: Some(ours.booking.check_out),
        ..Hit::default()
    }
}

#[test]
fn a_mismatch_names_both_sides() {
    let ours = wanted("confirmed");
    assert_eq!(mismatch(&ours, &hit()), None);
    let sparse = Hit { status: None, origin_id: None, listing_ids: vec![], check_in: None, check_out: None, ..hit() };
    assert_eq!(mismatch(&ours, &sparse), None);
    let other = Hit { check_in: NaiveDate::from_ymd_opt(2027, 6, 1), listing_ids: vec!["x".to_owned()], ..hit() };
    let words = mismatch(&ours, &other).unwrap();
    assert_eq!(words, "check-in 2027-06-01 there, 2027-05-10 here; listing x there, L1 here");
    let gone = Hit { status: Some("canceled".to_owned()), ..hit() };
    assert_eq!(mismatch(&ours, &gone).unwrap(), "status canceled there, confirmed here");
}
