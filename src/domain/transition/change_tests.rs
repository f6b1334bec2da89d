//! Unit tests of `transition::change`: outcomes of changes and of read-backs.

use super::super::case::*;
use super::super::tests::*;
use super::super::{SnapshotUpdate, next_for_remote, snapshot_update};
use super::*;
use crate::domain::error::ErrorClass::*;
use crate::domain::field::{Field, Row};
use crate::domain::payment::{LEGACY_PATH, Payment, PaymentMethod};
use crate::domain::queue_row::QueueRow;
use crate::domain::reservation::Reservation;
use crate::domain::snapshot::{PaymentState, Snapshot};

pub(in crate::domain::transition) fn remote() -> RemoteReservation {
    RemoteReservation {
        reservation_id: "r1".to_owned(),
        code: "BK-0000123".to_owned(),
        snapshot: wanted().snapshot(),
        verified: true,
        ..RemoteReservation::default()
    }
}

/// The reservation as Guestly shows it.
pub(in crate::domain::transition) fn hit() -> Hit {
    let snapshot = wanted().snapshot();
    Hit {
        reservation_id: "r1".to_owned(),
        status: snapshot.status,
        confirmation_code: Some("BK-0000123".to_owned()),
        origin_id: Some("7".to_owned()),
        listing_ids: snapshot.listing_id.into_iter().collect(),
        check_in: snapshot.check_in,
        check_out: snapshot.check_out,
        guests: snapshot.guests,
        ..Hit::default()
    }
}

pub(in crate::domain::transition) fn other_day() -> Option<chrono::NaiveDate> {
    chrono::NaiveDate::from_ymd_opt(2027, 5, 9)
}

fn call(operation: Operation, attempts: u32, outcome: &Outcome) -> Transition {
    let work = QueueRow { operation, attempts, ..create() };
    next_for_remote(&Case { row: &work, outcome, wanted: &wanted(), policy: &policy(), moment: &moment(0) }, &remote())
}

fn back(remote: &RemoteReservation, look_ups: u32, hits: Vec<Hit>, wanted: &Reservation) -> Transition {
    let work = QueueRow { operation: Operation::ReadBack, look_ups, ..create() };
    next_for_remote(
        &Case { row: &work, outcome: &Outcome::Found(hits), wanted, policy: &policy(), moment: &moment(0) },
        remote,
    )
}

fn cancelled() -> Reservation {
    Reservation { status: "canceled".to_owned(), ..wanted() }
}

fn ended() -> RemoteReservation {
    let mut remote = RemoteReservation { ended: true, ..remote() };
    remote.snapshot.status = Some("canceled".to_owned());
    remote
}

#[test]
fn an_accepted_change_is_read_back_after_the_delay() {
    for operation in [Operation::Dates, Operation::Guests, Operation::Relocate, Operation::Status] {
        assert_eq!(
            call(operation, 1, &Outcome::Updated { total: None }),
            Transition::Changed { due: at(90), read_back: true }
        );
        let read_back_first = Transition::UncertainChange {
            due: at(90),
            counted: true,
            since: None,
            failed_reads: 0,
            problem: problem(UnknownOutcome),
        };
        assert_eq!(
            call(operation, 1, &Outcome::Unknown { sentence: said() }),
            read_back_first,
            "not created without a look-up"
        );
        assert_eq!(call(operation, 1, &refused(DatesTaken)), Transition::Failed(problem(DatesTaken)));
    }
}

#[test]
fn notes_are_not_read_back() {
    let next = call(Operation::Notes, 1, &Outcome::Updated { total: None });
    assert_eq!(next, Transition::Changed { due: at(90), read_back: false });
}

#[test]
fn only_changes_use_attempts() {
    let lost = Outcome::NotSent { sentence: said() };
    assert!(matches!(call(Operation::Dates, 1, &lost), Transition::Wait { counted: true, .. }));
    assert_eq!(call(Operation::Dates, 3, &lost), Transition::Failed(problem(Unavailable)));
    assert!(matches!(call(Operation::ReadBack, 9, &lost), Transition::Wait { counted: false, .. }));
    let throttled = Outcome::Throttled { retry_after: None, sentence: said() };
    let again = Transition::Wait { due: at(0), counted: false, problem: problem(Throttled) };
    assert_eq!(call(Operation::Dates, 9, &throttled), again, "the send gate waits, not the row");
}

#[test]
fn a_matching_read_back_confirms() {
    assert_eq!(back(&remote(), 0, vec![hit()], &wanted()), Transition::Confirmed);
    let gone = Hit { status: Some("canceled".to_owned()), ..hit() };
    assert_eq!(back(&ended(), 0, vec![gone.clone()], &cancelled()), Transition::Confirmed);
    let silent = Hit { guests: None, check_in: None, listing_ids: vec![], ..hit() };
    assert_eq!(back(&remote(), 0, vec![silent], &wanted()), Transition::Confirmed, "an omitted field is no difference");
    assert_eq!(back(&remote(), 0, vec![gone.clone()], &cancelled()), Transition::Confirmed, "cancelled on both sides");
    let told = snapshot_update(Operation::ReadBack, &remote(), &Outcome::Found(vec![gone]), &cancelled());
    assert_eq!((told.ended, told.verified, told.changed), (Some(true), true, false));
}

#[test]
fn an_ignored_change_is_reported_after_three_tries() {
    let moved = Hit { check_in: other_day(), ..hit() };
    for times in 1..3 {
        let next = back(&remote(), times - 1, vec![moved.clone()], &wanted());
        let Transition::Differs { look_ups, problem: Some(said), .. } = next else { panic!("{next:?}") };
        assert_eq!((look_ups, said.class), (times, Refused));
        assert!(said.sentence.contains("dates"), "{said}");
    }
    assert!(matches!(back(&remote(), 2, vec![moved], &wanted()), Transition::Failed(_)));
}

#[test]
fn a_new_change_meanwhile_does_not_count_as_ignored() {
    let mut before = remote();
    before.snapshot.check_in = other_day();
    let moved = Hit { check_in: other_day(), ..hit() };
    let differs = Transition::Differs { due: at(0), look_ups: 2, problem: None };
    assert_eq!(back(&before, 2, vec![moved], &wanted()), differs);
}

#[test]
fn foreign_or_ended_reservations_are_left_alone() {
    let foreign = Hit { origin_id: Some("8".to_owned()), ..hit() };
    let nameless = Hit { origin_id: None, confirmation_code: Some("HM-1".to_owned()), ..hit() };
    let taken_over = RemoteReservation { verified: false, code: String::new(), ..remote() };
    for (name, hits) in [("another origin", vec![foreign]), ("another code", vec![nameless])] {
        let next = back(&taken_over, 0, hits.clone(), &cancelled());
        assert!(matches!(&next, Transition::Failed(problem) if problem.class == Refused), "{name}: {next:?}");
        let told = snapshot_update(Operation::ReadBack, &taken_over, &Outcome::Found(hits), &cancelled());
        assert_eq!(told, SnapshotUpdate::default(), "{name}");
    }
    let gone = Hit { status: Some("closed".to_owned()), ..hit() };
    let Transition::Failed(problem) = back(&remote(), 0, vec![gone], &wanted()) else { panic!() };
    assert!(problem.sentence.contains("r1 as closed"), "{problem}");
}

#[test]
fn a_cancellation_that_was_ignored_is_no_end() {
    let remote = ended();
    assert!(matches!(back(&remote, 0, vec![hit()], &cancelled()), Transition::Differs { look_ups: 1, .. }));
    assert_eq!(back(&remote, 0, vec![hit()], &wanted()), Transition::Confirmed, "the booking was rebooked");
    let told = snapshot_update(Operation::ReadBack, &remote, &Outcome::Found(vec![hit()]), &cancelled());
    assert_eq!((told.ended, told.snapshot.status.as_deref()), (Some(false), Some("confirmed")));
    let gone = Hit { status: Some("canceled".to_owned()), ..hit() };
    let revived = Transition::Differs { due: at(0), look_ups: 0, problem: None };
    assert_eq!(back(&remote, 0, vec![gone.clone()], &wanted()), revived, "it is replaced by a new one");
    let told = snapshot_update(Operation::ReadBack, &remote, &Outcome::Found(vec![gone]), &wanted());
    assert_eq!(told.ended, None, "as it was");
}

#[test]
fn a_cancellation_with_a_lost_answer_counts_as_ours() {
    for outcome in [Outcome::Unknown { sentence: said() }, Outcome::Unavailable { retry_after: None, sentence: said() }]
    {
        let told = snapshot_update(Operation::Status, &remote(), &outcome, &cancelled());
        assert_eq!((told.ended, told.snapshot.status), (Some(true), None));
        let gone = Hit { status: Some("canceled".to_owned()), ..hit() };
        let asked = RemoteReservation { ended: true, ..remote() };
        let revived = Transition::Differs { due: at(0), look_ups: 0, problem: None };
        assert_eq!(back(&asked, 0, vec![gone], &wanted()), revived, "the booking was rebooked meanwhile");
        assert_eq!(back(&asked, 0, vec![hit()], &wanted()), Transition::Confirmed, "it had no effect");
    }
    for operation in [Operation::Status, Operation::Dates] {
        let told = snapshot_update(operation, &remote(), &Outcome::Unknown { sentence: said() }, &wanted());
        assert_eq!(told.ended, None, "it would not have ended the reservation");
    }
}

#[test]
fn a_call_that_may_have_changed_it_starts_the_delay() {
    for (outcome, changed) in [
        (Outcome::Updated { total: None }, true),
        (Outcome::Unknown { sentence: said() }, true),
        (Outcome::Unavailable { retry_after: None, sentence: said() }, true),
        (Outcome::NotSent { sentence: said() }, false),
        (refused(Refused), false),
    ] {
        assert_eq!(snapshot_update(Operation::Dates, &remote(), &outcome, &wanted()).changed, changed, "{outcome:?}");
    }
    let told = snapshot_update(Operation::Status, &remote(), &Outcome::Updated { total: None }, &cancelled());
    assert_eq!((told.ended, told.snapshot.status.as_deref()), (Some(true), Some("canceled")));
}

pub(in crate::domain::transition) fn paying() -> Reservation {
    let mut reservation = wanted();
    let row = Row { booking_id: "7".to_owned(), values: vec![None; Field::ALL.len()], ..Row::default() };
    reservation.payment = Payment::of(
        &reservation.origin_id,
        reservation.booking.total,
        &row,
        &PaymentMethod::new("OTHER", LEGACY_PATH).0,
        &[],
    );
    reservation
}

fn pay(operation: Operation, attempts: u32, outcome: &Outcome) -> (Transition, SnapshotUpdate) {
    let work = QueueRow { operation, attempts, ..create() };
    let next = next_for_remote(
        &Case { row: &work, outcome, wanted: &paying(), policy: &policy(), moment: &moment(0) },
        &remote(),
    );
    (next, snapshot_update(operation, &remote(), outcome, &paying()))
}

#[test]
fn a_payment_is_recorded_only_after_a_list_without_it() {
    use Operation::{ListPayments, RecordPayment};
    let ours = Outcome::Payments(vec![
        "paid in cash".to_owned(),
        paying().payment.unwrap().body()["note"].as_str().unwrap().to_owned(),
    ]);
    let others = Outcome::Payments(vec!["paid in cash".to_owned()]);
    let told = |recording, changed| SnapshotUpdate {
        snapshot: Snapshot { payment: Some(recording), ..Snapshot::default() },
        changed,
        ..SnapshotUpdate::default()
    };
    let done = |due| Transition::Changed { due: at(due), read_back: false };
    assert_eq!(pay(ListPayments, 1, &ours), (done(0), told(PaymentState::Recorded, false)));
    let absent = Transition::Differs { due: at(0), look_ups: create().look_ups, problem: None };
    assert_eq!(pay(ListPayments, 1, &others), (absent, told(PaymentState::NotListed, false)));
    assert_eq!(pay(RecordPayment, 1, &ours), (done(90), told(PaymentState::Recorded, true)));
    let dropped = pay(RecordPayment, 1, &others);
    assert!(
        matches!(&dropped.0, Transition::UncertainChange { due, .. } if *due == at(90)),
        "an answer without the change proves nothing: {dropped:?}"
    );
    assert_eq!(dropped.1, SnapshotUpdate { changed: true, ..SnapshotUpdate::default() });
}

#[test]
fn a_lost_payment_record_is_listed_before_it_is_repeated() {
    let lost = pay(Operation::RecordPayment, 1, &Outcome::Unknown { sentence: said() });
    assert!(matches!(lost.0, Transition::UncertainChange { .. }), "{lost:?}");
    assert_eq!(lost.1.snapshot.payment, None, "it still counts as sent, as recorded before the call");
    for outcome in [Outcome::NotSent { sentence: said() }, Outcome::Throttled { retry_after: None, sentence: said() }] {
        assert_eq!(
            pay(Operation::RecordPayment, 1, &outcome).1.snapshot.payment,
            Some(PaymentState::NotListed),
            "{outcome:?}"
        );
    }
    let (Transition::Failed(problem), _) = pay(Operation::RecordPayment, 1, &refused(Refused)) else { panic!() };
    assert!(
        problem.sentence.contains("payment was not recorded") && problem.sentence.contains("payment_path"),
        "{problem}"
    );
}

#[test]
fn the_total_is_learned_from_every_answer_that_has_it() {
    let total = || Some("452.00".to_owned());
    let updated = snapshot_update(Operation::Dates, &remote(), &Outcome::Updated { total: total() }, &wanted());
    assert_eq!(updated.total, total());
    let found = Outcome::Found(vec![Hit { total: total(), ..hit() }]);
    assert_eq!(snapshot_update(Operation::ReadBack, &remote(), &found, &wanted()).total, total());
}
