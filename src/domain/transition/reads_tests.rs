//! Unit tests of `transition::reads`: failed reads, and reservations that are not found. The fixtures are those of
//! `change_tests.rs`.

use super::super::case::Moment;
use super::super::change::tests::*;
use super::super::tests::*;
use super::*;
use crate::domain::error::ErrorClass::*;
use crate::domain::operation::Operation;
use crate::domain::outcome::Hit;
use crate::domain::transition::next_for_remote;

fn read(operation: Operation, work: &QueueRow, outcome: &Outcome, moment: &Moment) -> Transition {
    let work = QueueRow { operation, ..work.clone() };
    next_for_remote(&Case { row: &work, outcome, wanted: &paying(), policy: &policy(), moment }, &remote())
}

/// A row with this number of failed reads.
fn failed(times: u32) -> QueueRow {
    QueueRow { attempts: 1, look_ups: 2, failed_reads: times, ..create() }
}

#[test]
fn a_read_that_always_fails_ends_with_a_failed_change() {
    for operation in [Operation::ReadBack, Operation::ListPayments] {
        for (class, outcome) in [(UnknownOutcome, lost()), (Unavailable, unavailable())] {
            for (times, pause) in [(0, 500), (1, 1_000)] {
                let expected = Transition::UncertainChange {
                    due: at(9) + chrono::TimeDelta::milliseconds(pause),
                    counted: false,
                    since: None,
                    failed_reads: times + 1,
                    problem: problem(class),
                };
                assert_eq!(read(operation, &failed(times), &outcome, &moment(9)), expected, "{operation:?} {times}");
            }
            let next = read(operation, &failed(2), &outcome, &moment(9));
            let Transition::Failed(problem) = next else { panic!("{operation:?}: {next:?}") };
            assert_eq!(problem.class, class);
            for part in ["Guestly has reservation r1", "3 tries", "to try again: SELECT guestly_sync('7');", "said"] {
                assert!(problem.sentence.contains(part), "{part}: {problem}");
            }
        }
    }
}

#[test]
fn an_outage_or_what_never_left_uses_up_no_read() {
    let outage = Moment { outage: true, ..moment(9) };
    for operation in [Operation::ReadBack, Operation::ListPayments] {
        let next = read(operation, &failed(9), &unavailable(), &outage);
        assert!(matches!(next, Transition::UncertainChange { failed_reads: 9, .. }), "{next:?}");
        for outcome in [not_sent(), throttled()] {
            let next = read(operation, &failed(9), &outcome, &moment(9));
            assert!(matches!(next, Transition::Wait { counted: false, .. }), "{outcome:?}: {next:?}");
        }
    }
}

#[test]
fn a_read_rejected_with_a_good_token_is_about_the_booking() {
    let new = Moment { token_is_new: true, ..moment(9) };
    let next = read(Operation::ReadBack, &failed(0), &rejected(), &new);
    assert!(matches!(next, Transition::UncertainChange { failed_reads: 1, .. }), "{next:?}");
    let next = read(Operation::ReadBack, &failed(2), &rejected(), &new);
    assert!(matches!(&next, Transition::Failed(problem) if problem.class == Refused), "{next:?}");
    let next = read(Operation::ReadBack, &failed(9), &rejected(), &moment(9));
    assert!(matches!(next, Transition::Wait { counted: false, .. }), "a new token first: {next:?}");
}

#[test]
fn a_successful_read_resets_the_failed_reads() {
    let moved = Hit { check_in: other_day(), ..hit() };
    let ignored = QueueRow { look_ups: 1, failed_reads: 2, ..create() };
    let next = read(Operation::ReadBack, &ignored, &Outcome::Found(vec![moved]), &moment(9));
    assert!(matches!(next, Transition::Differs { look_ups: 2, .. }), "{next:?}");
    let next = read(Operation::ListPayments, &ignored, &Outcome::Payments(vec![]), &moment(9));
    assert!(matches!(next, Transition::Differs { look_ups: 1, .. }), "{next:?}");
}

/// A read at second 200 does not find the reservation, whose last known write was at `changed`.
fn absent(uncertain_since: Option<i64>, changed: Option<i64>, began: i64) -> Transition {
    let work = QueueRow { operation: Operation::ReadBack, uncertain_since: uncertain_since.map(at), ..create() };
    let remote = RemoteReservation { changed_at: changed.map(at), ..remote() };
    let moment = Moment { started: at(began), ..moment(200) };
    next_for_remote(
        &Case { row: &work, outcome: &Outcome::Found(vec![]), wanted: &wanted(), policy: &policy(), moment: &moment },
        &remote,
    )
}

#[test]
fn a_reservation_is_not_missing_before_the_delay_has_passed() {
    let look = |since: i64, due: i64| Transition::UncertainChange {
        due: at(due),
        counted: false,
        since: Some(at(since)),
        failed_reads: 0,
        problem: Problem::new(UnknownOutcome, "Guestly does not show reservation r1 yet; it is read again"),
    };
    for (name, next, expected) in [
        ("the time of the last write is unknown", absent(None, None, 200), look(200, 202)),
        ("an old write, and another one may be forgotten", absent(None, Some(-9_000), 200), look(200, 202)),
        ("looked for since a while", absent(Some(150), None, 200), look(150, 210)),
        ("written after the first look", absent(Some(20), Some(199), 200), look(199, 201)),
        ("the look began too early", absent(Some(111), None, 200), look(111, 201)),
        ("the clock went back", absent(Some(5_000), Some(6_000), 200), look(200, 202)),
    ] {
        assert_eq!(next, expected, "{name}");
    }
    for (name, next) in [
        ("looked for all the time", absent(Some(110), None, 200)),
        ("written before that", absent(Some(20), Some(110), 200)),
    ] {
        let said = "Guestly no longer holds reservation r1";
        assert_eq!(next, Transition::Failed(Problem::new(Refused, said)), "{name}");
    }
}

#[test]
fn reads_of_a_missing_reservation_end_with_the_delay() {
    let (mut work, mut now, mut looks) = (QueueRow { operation: Operation::ReadBack, ..create() }, 0, vec![]);
    loop {
        match next_for_remote(
            &Case {
                row: &work,
                outcome: &Outcome::Found(vec![]),
                wanted: &wanted(),
                policy: &policy(),
                moment: &moment(now),
            },
            &remote(),
        ) {
            Transition::UncertainChange { due, since, .. } => {
                (work.uncertain_since, now) = (since, (due - at(0)).num_seconds());
                looks.push(now);
            }
            Transition::Failed(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(looks, [2, 5, 10, 20, 40, 60, 90]);
}

#[test]
fn a_reservation_named_only_by_the_row_is_looked_up() {
    let work = QueueRow { operation: Operation::ReadBack, uncertain_since: Some(at(0)), ..create() };
    let named = RemoteReservation { reservation_id: "r1".to_owned(), ..RemoteReservation::default() };
    for (name, remote, looks) in [
        ("named by the row", named, true),
        ("never seen to be ours", RemoteReservation { verified: false, ..remote() }, true),
        ("made by us", remote(), false),
    ] {
        let next = next_for_remote(
            &Case {
                row: &work,
                outcome: &Outcome::Found(vec![]),
                wanted: &wanted(),
                policy: &policy(),
                moment: &moment(100),
            },
            &remote,
        );
        let looked =
            matches!(&next, Transition::LookUp { due, problem } if *due == at(100) && problem.class == UnknownOutcome);
        assert_eq!((looked, matches!(next, Transition::Failed(_))), (looks, !looks), "{name}: {next:?}");
    }
}

#[test]
fn a_read_that_cannot_be_sent_fails_after_the_usual_tries() {
    let outcome = Outcome::Unsendable { sentence: "said".to_owned() };
    let next = read(Operation::ReadBack, &failed(1), &outcome, &moment(9));
    assert!(matches!(next, Transition::UncertainChange { failed_reads: 2, counted: false, .. }), "{next:?}");
    let next = read(Operation::ReadBack, &failed(2), &outcome, &moment(9));
    assert!(matches!(&next, Transition::Failed(problem) if problem.class == InvalidBooking), "{next:?}");
}
