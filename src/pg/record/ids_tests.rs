//! Unit tests of `record::ids`: reservations that are named for two bookings.

use super::*;
use crate::pg::queue::Held;

fn change(booking: &str, operation: &'static str, reservation: &str) -> Change {
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
    let held = Held { reservation_id: reservation.to_owned(), code: format!("C-{booking}"), ..Held::default() };
    Change {
        booking_id: booking.to_owned(),
        reference: None,
        claim: Some(1),
        kept: None,
        held: Some(held),
        write: Some(WriteBack::synced(booking, reservation, 2)),
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
    let kept = refused.kept.unwrap();
    assert_eq!((kept.state, kept.attempts, kept.unconfirmed_creates, kept.verify_first), ("unknown", 2, 1, true));
    assert!(kept.uncertain_since.is_some() && kept.due.is_some());
    assert_eq!((refused.held, refused.price, refused.mismatch), (None, None, true), "nothing of it is stored");
    assert_eq!(refused.write.unwrap().status, "pending");
    let attempt = refused.attempt.unwrap();
    let said = attempt.problem.unwrap();
    assert_eq!((attempt.outcome, said.class), ("unknown", ErrorClass::UnknownOutcome));
    let words = "Guestly answered the create with reservation r1, which belongs to booking 3; the booking is looked up by its code C-7";
    assert_eq!(said.sentence, words);
}

#[test]
fn a_look_up_that_names_it_again_fails_and_names_both() {
    let refused = refuse(vec![change("7", "look_up", "r1")], &taken("7", "3")).remove(0);
    let kept = refused.kept.unwrap();
    let said = kept.problem.unwrap();
    assert_eq!((kept.state, said.class, refused.held), ("failed", ErrorClass::Refused, None));
    assert!(kept.verify_first, "a retry asks before it unconfirmed_creates");
    let words =
        "Guestly returned reservation r1, which belongs to booking 3; search Guestly for the confirmation code C-7";
    assert_eq!(said.sentence, words);
    assert_eq!(refused.write.unwrap().status, "failed");
}

#[test]
fn of_two_in_one_transaction_the_first_keeps_it() {
    let both = vec![change("7", "create", "r1"), change("8", "create", "r1"), change("9", "create", "r2")];
    let states: Vec<_> =
        refuse(both, &HashMap::new()).into_iter().map(|c| (c.held.is_some(), c.kept.is_some())).collect();
    assert_eq!(states, [(true, false), (false, true), (true, false)]);
}

#[test]
fn what_is_its_own_or_made_up_or_read_back_is_left_alone() {
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
