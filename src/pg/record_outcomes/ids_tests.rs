//! Unit tests of `record_outcomes::ids`: reservation ids that two bookings claim.

use super::*;
use crate::pg::store::reservations::ReservationUpdate;

fn change(booking: &str, operation: &'static str, reservation: &str) -> OutcomeRows {
    let attempt = Attempt {
        booking_id: Some(booking.to_owned()),
        attempt: 2,
        operation,
        started: Utc::now(),
        duration_ms: 1,
        http_status: Some(201),
        outcome: "created",
        problem: None,
        request_id: None,
    };
    let reservation_update = ReservationUpdate {
        reservation_id: reservation.to_owned(),
        code: format!("C-{booking}"),
        ..ReservationUpdate::default()
    };
    OutcomeRows {
        booking_id: booking.to_owned(),
        reference: None,
        code: None,
        claim_id: Some(1),
        queue_update: None,
        reservation_update: Some(reservation_update),
        write_back: Some(WriteBack::synced(booking, reservation, 2)),
        attempt: Some(attempt),
        withdrawn: false,
        deleted: None,
        price: Some("apart".to_owned()),
        mismatch: false,
    }
}

fn taken(booking: &str, other: &str) -> HashMap<String, String> {
    HashMap::from([(booking.to_owned(), other.to_owned())])
}

#[test]
fn a_create_with_the_reservation_of_another_is_in_doubt() {
    let refused = refuse(vec![change("7", "create", "r1")], &taken("7", "3")).remove(0);
    let queue_update = refused.queue_update.unwrap();
    assert_eq!(
        (queue_update.state, queue_update.attempts, queue_update.unconfirmed_creates, queue_update.verify_first),
        (QueueState::Unknown, 2, 1, true)
    );
    assert!(queue_update.uncertain_since.is_some() && queue_update.due_at.is_some());
    assert_eq!(
        (refused.reservation_update, refused.price, refused.mismatch),
        (None, None, true),
        "the reservation was stored"
    );
    assert_eq!(refused.write_back.unwrap().status, "pending");
    let attempt = refused.attempt.unwrap();
    let said = attempt.problem.unwrap();
    assert_eq!((attempt.outcome, said.class), ("unknown", ErrorClass::UnknownOutcome));
    let words = "Guestly answered the create with reservation r1, which belongs to booking 3; the booking is looked up by its code C-7";
    assert_eq!(said.sentence, words);
}

#[test]
fn a_look_up_of_another_bookings_reservation_fails() {
    let refused = refuse(vec![change("7", "look_up", "r1")], &taken("7", "3")).remove(0);
    let queue_update = refused.queue_update.unwrap();
    let said = queue_update.problem.unwrap();
    assert_eq!(
        (queue_update.state, said.class, refused.reservation_update),
        (QueueState::Failed, ErrorClass::Refused, None)
    );
    assert!(queue_update.verify_first, "a retry looks up before it creates");
    let words =
        "Guestly returned reservation r1, which belongs to booking 3; search Guestly for the confirmation code C-7";
    assert_eq!(said.sentence, words);
    assert_eq!(refused.write_back.unwrap().status, "failed");
}

#[test]
fn of_two_in_one_transaction_the_first_keeps_it() {
    let both = vec![change("7", "create", "r1"), change("8", "create", "r1"), change("9", "create", "r2")];
    let states: Vec<_> = refuse(both, &HashMap::new())
        .into_iter()
        .map(|c| (c.reservation_update.is_some(), c.queue_update.is_some()))
        .collect();
    assert_eq!(states, [(true, false), (false, true), (true, false)]);
}

#[test]
fn ids_that_conflict_with_no_booking_are_kept() {
    let cases = [
        (change("7", "create", "r1"), taken("8", "3")),
        (change("7", "create", "test-1"), taken("7", "3")),
        (change("7", "read_back", "r1"), taken("7", "3")),
    ];
    for (change, known) in cases {
        let same = change.clone();
        assert_eq!(refuse(vec![change], &known), [same]);
    }
}
