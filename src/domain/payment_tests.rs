//! Unit tests of `domain::payment`: the request that records a payment, and its recognition in a list.

use std::collections::HashMap;

use super::*;
use crate::domain::booking::{self, Booking, Labels};
use crate::domain::reservation::{Reservation, Tables};

fn method() -> PaymentMethod {
    PaymentMethod::new("OTHER", LEGACY_PATH).0
}

fn row(id: &str, values: &[(Field, &str)]) -> Row {
    let usual = [(Field::Reference, "FLAT-000001"), (Field::Total, "420.50"), (Field::PaymentStatus, "paid")];
    let given: Vec<_> = usual.iter().chain(values).map(|(field, value)| (*field, Some(*value))).collect();
    Row { booking_id: id.to_owned(), ..booking::tests::row(&given) }
}

fn payment(row: &Row) -> Option<Payment> {
    let pair = |key: &str, value: &str| HashMap::from([(key.to_owned(), value.to_owned())]);
    let tables = Tables { listings: pair("flat-1", "L1"), statuses: pair("confirmed", "confirmed") };
    let booking = Booking::parse(row, &Labels::default()).unwrap();
    let reservation = Reservation::map(booking, &tables, "website").unwrap();
    Payment::of(&reservation.origin_id, reservation.booking.total, row, &method(), &["paid".to_owned()])
}

#[test]
fn a_recorded_payment_is_found_by_its_note() {
    let ours = payment(&row("7", &[(Field::PaymentReference, "pi_example")])).unwrap();
    let body = ours.body();
    assert_eq!(body["note"], "Payment pi_example, booking FLAT-000001, (guestly_sync 7)");
    assert_eq!((&body["amount"], &body["paymentMethod"]["method"]), (&json!(420.5), &json!("OTHER")));
    assert!(
        body.get("paidAt").is_none() && body.get("shouldBePaidAt").is_none(),
        "it has a time, which could be in the future"
    );
    assert_eq!(ours.path("a/b"), "/reservations/a%2Fb/payments");
    let listed = |note: &str| vec!["paid in cash".to_owned(), note.to_owned()];
    assert!(ours.is_among(&listed(body["note"].as_str().unwrap())));
    let seventy = payment(&row("77", &[])).unwrap();
    assert!(!ours.is_among(&listed(seventy.body()["note"].as_str().unwrap())), "it matches another booking's payment");
    assert!(!ours.is_among(&[]));
}

#[test]
fn a_note_fits_whatever_the_host_calls_the_payment() {
    let long = "x".repeat(2_000);
    let body = payment(&row("7", &[(Field::PaymentReference, &long), (Field::Reference, &long)])).unwrap().body();
    assert!(body["note"].as_str().unwrap().chars().count() <= 500);
}

#[test]
fn a_booking_without_a_total_has_no_payment() {
    assert_eq!(payment(&row("7", &[(Field::Total, "0.00")])), None);
    assert!(!payment(&row("7", &[(Field::PaymentStatus, "processing")])).unwrap().paid);
}

#[test]
fn a_method_that_can_charge_a_card_is_never_used() {
    for method in ["STRIPE", " credit ", "Cash", "DEBIT", "ECHECK", "AMARYLLIS"] {
        let (settings, wrong) = PaymentMethod::new(method, LEGACY_PATH);
        assert_eq!(settings.method, "OTHER", "{method}");
        assert!(wrong.unwrap().contains("can charge a card"), "{method}");
    }
    assert_eq!(PaymentMethod::new("bank_transfer", LEGACY_PATH).0.method, "BANK_TRANSFER");
    assert_eq!(PaymentMethod::new("", LEGACY_PATH), (method(), None));
}

#[test]
fn a_path_without_the_reservation_is_not_used() {
    for path in ["", "/payments", "https://elsewhere.example/{id}"] {
        let (settings, wrong) = PaymentMethod::new("OTHER", path);
        assert_eq!(settings.path, LEGACY_PATH, "{path}");
        assert!(wrong.is_some());
    }
    assert_eq!(PaymentMethod::new("OTHER", "/payments/recorded/{id}").0.path, "/payments/recorded/{id}");
}
