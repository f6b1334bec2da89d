//! Unit tests of `transition::look_up`: outcomes of look-ups.

use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};

use super::super::case::{Moment, Policy};
use super::super::tests::*;
use super::*;
use crate::domain::error::ErrorClass::*;
use crate::domain::operation::Operation;
use crate::domain::transition::next;

/// A look-up without an uncertain create: of a copied booking, or of the reservation that has the dates.
fn look_up() -> QueueRow {
    QueueRow { operation: Operation::LookUp, problem: Some(problem(UnknownOutcome)), ..create() }
}

/// A create that is uncertain since second 0, at the look-up due at the end of the propagation delay.
fn last_look() -> QueueRow {
    QueueRow { uncertain_since: Some(at(0)), look_ups: 6, unconfirmed_creates: 1, ..look_up() }
}

/// A create that was rejected with 401 or 403.
fn token_refusal() -> QueueRow {
    QueueRow { pending_refusal: Some(Refused), problem: Some(problem(Credentials)), ..look_up() }
}

fn ours() -> Hit {
    Hit {
        reservation_id: "r1".to_owned(),
        status: Some("confirmed".to_owned()),
        confirmation_code: Some("BK-0000123".to_owned()),
        origin_id: Some("7".to_owned()),
        listing_ids: vec!["L1".to_owned()],
        check_in: NaiveDate::from_ymd_opt(2027, 5, 10),
        check_out: NaiveDate::from_ymd_opt(2027, 5, 14),
        created_at: None,
        total: None,
        ..Hit::default()
    }
}

fn hit(id: &str, created_at: Option<i64>) -> Hit {
    Hit { reservation_id: id.to_owned(), created_at: created_at.map(at), ..ours() }
}

/// Other dates, and no sign that it was made for this booking.
fn moved(id: &str) -> Hit {
    Hit { check_in: NaiveDate::from_ymd_opt(2027, 5, 9), origin_id: None, ..hit(id, None) }
}

fn decide(work: &QueueRow, outcome: &Outcome, moment: &Moment) -> Transition {
    next(&Case { row: work, outcome, wanted: &wanted(), policy: &policy(), moment })
}

fn nothing(work: &QueueRow, seconds: i64) -> Transition {
    decide(work, &Outcome::Found(vec![]), &moment(seconds))
}

fn adopted(hit: &Hit, warning: Option<&str>) -> Transition {
    let found = Some(Box::new(hit.clone()));
    Transition::Synced {
        reservation_id: hit.reservation_id.clone(),
        adopted: true,
        warning: warning.map(str::to_owned),
        found,
    }
}

/// The transition after an inconclusive look-up of `work`: nothing else changes.
fn uncertain(work: &QueueRow, due: DateTime<Utc>, look_ups: u32) -> Transition {
    doubt_after(work, due, look_ups, 0)
}

fn doubt_after(work: &QueueRow, due: DateTime<Utc>, look_ups: u32, failed_reads: u32) -> Transition {
    Transition::UncertainCreate {
        due,
        since: work.uncertain_since,
        look_ups,
        failed_reads,
        unconfirmed_creates: work.unconfirmed_creates,
        counted: true,
        problem: work.problem.clone().unwrap(),
        pending_refusal: work.pending_refusal,
    }
}

#[test]
fn what_is_found_is_adopted_whatever_the_row_says() {
    let cases = [
        ("certain", look_up()),
        ("uncertain", QueueRow { uncertain_since: Some(at(0)), ..look_up() }),
        ("window over, tries used up", QueueRow { attempts: 9, ..last_look() }),
        ("dates taken by ourselves", QueueRow { pending_refusal: Some(DatesTaken), ..look_up() }),
        ("token refusal", token_refusal()),
    ];
    for (name, work) in cases {
        assert_eq!(decide(&work, &Outcome::Found(vec![ours()]), &moment(100)), adopted(&ours(), None), "{name}");
    }
    let bare = Hit { confirmation_code: None, status: None, origin_id: None, listing_ids: vec![], ..ours() };
    let bare = Hit { check_in: None, check_out: None, ..bare };
    let next = decide(&look_up(), &Outcome::Found(vec![bare.clone()]), &moment(0));
    assert_eq!(next, adopted(&bare, None), "the filter's text");
    let foreign = Hit { confirmation_code: Some("BK-0000124".to_owned()), ..ours() };
    assert_eq!(decide(&look_up(), &Outcome::Found(vec![foreign]), &moment(0)), Transition::CreateAgain, "another code");
}

#[test]
fn our_reservation_is_adopted_although_the_booking_changed() {
    let before = [
        Hit { check_in: NaiveDate::from_ymd_opt(2027, 5, 9), ..ours() },
        Hit { listing_ids: vec!["L2".to_owned()], ..ours() },
    ];
    for hit in before {
        assert_eq!(decide(&look_up(), &Outcome::Found(vec![hit.clone()]), &moment(0)), adopted(&hit, None));
    }
}

#[test]
fn another_booking_under_our_code_is_not_adopted() {
    let cases = [
        (moved("r1"), "check-in 2027-05-09 there, 2027-05-10 here"),
        (Hit { listing_ids: vec!["L2".to_owned()], origin_id: None, ..ours() }, "listing L2 there, L1 here"),
        (Hit { status: Some("canceled".to_owned()), ..ours() }, "status canceled there, confirmed here"),
    ];
    for (hit, sides) in cases {
        let said = format!("Guestly has reservation r1 under our code BK-0000123, but not this booking: {sides}");
        let next = decide(&last_look(), &Outcome::Found(vec![hit]), &moment(100));
        assert_eq!(next, Transition::Failed(Problem::new(Refused, said)));
    }
}

#[test]
fn of_several_the_oldest_is_kept_with_a_warning() {
    let moved = Hit { created_at: Some(at(0)), ..moved("r0") };
    let cases = [
        ("by time", vec![hit("r1", Some(9)), hit("r2", Some(5)), hit("r3", Some(7))], "r2", 3),
        ("by id", vec![hit("r2", None), hit("r1", None)], "r1", 2),
        ("same time, by id", vec![hit("r2", Some(5)), hit("r1", Some(5))], "r1", 2),
        ("only one has a time: by id", vec![hit("r2", None), hit("r1", Some(5))], "r1", 2),
        ("an older one that is another booking", vec![moved, hit("r1", Some(5))], "r1", 2),
    ];
    for (name, hits, kept, number) in cases {
        let words = format!(
            "Guestly has {number} reservations with the code BK-0000123; {kept} was kept; cancel the duplicates in Guestly"
        );
        let next = decide(&look_up(), &Outcome::Found(hits.clone()), &moment(0));
        let hit = hits.iter().find(|hit| hit.reservation_id == kept).unwrap();
        assert_eq!(next, adopted(hit, Some(&words)), "{name}");
    }
}

#[test]
fn empty_look_ups_end_in_another_create() {
    let mut work = QueueRow { look_ups: 0, ..last_look() };
    for (now, due) in [(2, 5), (5, 10), (10, 20), (20, 40), (40, 60), (60, 90)] {
        let next = nothing(&work, now);
        work.look_ups += 1;
        assert_eq!(next, uncertain(&work, at(due), work.look_ups), "at {now}");
    }
    assert_eq!(nothing(&work, 90), Transition::CreateAgain);
    let late = QueueRow { look_ups: 1, ..work };
    assert_eq!(nothing(&late, 50), uncertain(&late, at(50), 2), "no look-up is due in the past");
    assert_eq!(nothing(&look_up(), 0), Transition::CreateAgain, "without an uncertain create one look-up is enough");
}

#[test]
fn only_a_look_up_after_the_delay_decides() {
    let began = Moment { started: at(89), ..moment(95) };
    assert_eq!(decide(&last_look(), &Outcome::Found(vec![]), &began), uncertain(&last_look(), at(120), 7));
}

#[test]
fn the_delay_restarts_after_fewer_than_three_look_ups() {
    for (look_ups, next_look) in [(0, 5), (1, 10), (2, 20)] {
        let anew = QueueRow { uncertain_since: Some(at(4_000)), ..last_look() };
        let next = nothing(&QueueRow { look_ups, ..last_look() }, 4_000);
        assert_eq!(next, uncertain(&anew, at(4_000 + next_look), look_ups + 1), "after {look_ups} looks");
        let pending_refusal = QueueRow { look_ups, pending_refusal: Some(DatesTaken), ..last_look() };
        assert!(
            matches!(nothing(&pending_refusal, 4_000), Transition::UncertainCreate { .. }),
            "a pending refusal waits too"
        );
    }
    assert_eq!(nothing(&QueueRow { look_ups: 3, ..last_look() }, 4_000), Transition::CreateAgain);
}

#[test]
fn a_clock_that_went_back_is_not_waited_out() {
    let ahead = QueueRow { uncertain_since: Some(at(3_600)), look_ups: 2, ..last_look() };
    let now = QueueRow { uncertain_since: Some(at(0)), ..ahead.clone() };
    assert_eq!(nothing(&ahead, 0), uncertain(&now, at(20), 3));
    let next = decide(&ahead, &lost(), &moment(0));
    assert_eq!(next, doubt_after(&now, at(0) + TimeDelta::milliseconds(500), 2, 1), "the first of the pauses");
}

#[test]
fn a_refusal_is_confirmed_by_one_look_up_or_the_delay() {
    let failed = Transition::Failed(Problem::new(DatesTaken, "said"));
    let at_once = QueueRow { pending_refusal: Some(DatesTaken), ..look_up() };
    assert_eq!(nothing(&at_once, 0), failed, "no create uncertain");
    let window = QueueRow { pending_refusal: Some(DatesTaken), ..last_look() };
    assert_eq!(nothing(&window, 89), uncertain(&window, at(120), 7), "an earlier create may still appear");
    assert_eq!(nothing(&window, 90), failed);
}

#[test]
fn a_token_refusal_holds_only_for_the_rejected_token() {
    let new = Moment { token_is_new: true, ..moment(0) };
    let failed = Transition::Failed(Problem::new(Refused, "said"));
    let empty = Outcome::Found(vec![]);
    assert_eq!(
        decide(&token_refusal(), &empty, &new),
        failed,
        "the token is good, so the rejection is about the booking"
    );
    assert_eq!(
        decide(&token_refusal(), &empty, &moment(0)),
        Transition::CreateAgain,
        "another token: the old one may have been the reason"
    );
    let again = Transition::UncertainCreate {
        due: at(0) + TimeDelta::seconds(4),
        since: None,
        look_ups: 0,
        failed_reads: 0,
        unconfirmed_creates: 0,
        counted: true,
        problem: problem(Credentials),
        pending_refusal: None,
    };
    assert_eq!(
        decide(&token_refusal(), &rejected(), &new),
        again,
        "rejected too: no pending refusal, and looked up again"
    );
}

#[test]
fn failed_look_ups_leave_the_uncertainty_unchanged() {
    let other = Problem::new(Internal, "an answer of another kind of call");
    let cases = [
        ("token rejected", rejected(), problem(Credentials)),
        ("429", throttled(), problem(Throttled)),
        ("never left", not_sent(), problem(Unavailable)),
        ("5xx", unavailable(), problem(Unavailable)),
        ("refused", refused(DatesTaken), problem(UnknownOutcome)),
        ("answer lost", lost(), problem(UnknownOutcome)),
        ("a create's answer", created(), other.clone()),
        ("a token's answer", token(), other),
    ];
    let taken = Some(problem(DatesTaken));
    for (name, outcome, said) in cases {
        // Uncertain for 64 s, that is base * 2^6.
        let due = at(64) + TimeDelta::seconds(if name == "refused" { 150 } else { 32 });
        let work = QueueRow { attempts: 9, ..last_look() };
        let failed = u32::from(["5xx", "refused", "answer lost"].contains(&name));
        let expected = doubt_after(&QueueRow { problem: Some(said), ..work.clone() }, due, 6, failed);
        assert_eq!(decide(&work, &outcome, &moment(64)), expected, "{name}");
        let pending_refusal = QueueRow { pending_refusal: Some(DatesTaken), problem: taken.clone(), ..work };
        let expected = doubt_after(&pending_refusal, due, 6, failed);
        assert_eq!(
            decide(&pending_refusal, &outcome, &moment(64)),
            expected,
            "{name}: a pending refusal keeps its sentence"
        );
    }
}

#[test]
fn pauses_of_failed_look_ups_grow_with_age() {
    for (age, millis) in [(0, 500), (1, 500), (2, 1_000), (255, 64_000), (256, 128_000), (86_399, 150_000)] {
        let due = at(age) + TimeDelta::milliseconds(millis);
        let expected = doubt_after(&QueueRow { problem: Some(problem(Unavailable)), ..last_look() }, due, 6, 1);
        assert_eq!(decide(&last_look(), &unavailable(), &moment(age)), expected, "after {age} s");
    }
    let hasty =
        Policy { backoff: crate::domain::retry::Backoff { base: Duration::ZERO, ..policy().backoff }, ..policy() };
    let next = next(&Case {
        row: &last_look(),
        outcome: &unavailable(),
        wanted: &wanted(),
        policy: &hasty,
        moment: &moment(9),
    });
    assert_eq!(
        next,
        doubt_after(&QueueRow { problem: Some(problem(Unavailable)), ..last_look() }, at(9), 6, 1),
        "no base, no pause"
    );
}

#[test]
fn attempts_are_exhausted_only_after_the_delay() {
    let words = |tries: u32| format!("given up after {tries} tries, and Guestly does not hold it; the last one: said");
    for (attempts, fails) in [(0, false), (2, false), (3, true), (4, true)] {
        let work = QueueRow { attempts, ..last_look() };
        assert_eq!(nothing(&work, 60), uncertain(&work, at(120), 7), "try {attempts}, window open");
        let failed = Transition::Failed(Problem::new(UnknownOutcome, words(attempts)));
        assert_eq!(nothing(&work, 90), if fails { failed } else { Transition::CreateAgain }, "try {attempts}");
        let copy = QueueRow { attempts, ..look_up() };
        assert_eq!(nothing(&copy, 0) == Transition::CreateAgain, !fails, "try {attempts} without an uncertain create");
    }
    let silent = QueueRow { problem: None, attempts: 3, ..last_look() };
    let Transition::Failed(problem) = nothing(&silent, 90) else { panic!("not failed") };
    assert!(problem.class == UnknownOutcome && problem.sentence.ends_with("its reservation is looked up"), "{problem}");
}

#[test]
fn a_look_up_unanswered_for_a_day_is_given_up() {
    let day = 24 * 3_600;
    let often = QueueRow { failed_reads: 19, ..last_look() };
    for (name, outcome, fails) in [
        ("5xx", unavailable(), true),
        ("answer lost or unreadable", lost(), true),
        ("refused", refused(Refused), true),
        ("never left", not_sent(), false),
        ("429", throttled(), false),
        ("token rejected", rejected(), false),
    ] {
        assert!(
            matches!(decide(&often, &outcome, &moment(day - 1)), Transition::UncertainCreate { .. }),
            "{name}: not yet"
        );
        let outage = Moment { outage: true, ..moment(day) };
        assert!(matches!(decide(&often, &outcome, &outage), Transition::UncertainCreate { .. }), "{name}: an outage");
        let next = decide(&often, &outcome, &moment(day));
        let Transition::Failed(problem) = next else {
            assert!(!fails, "{name}: {next:?}");
            continue;
        };
        let seldom = QueueRow { failed_reads: 18, ..last_look() };
        assert!(
            matches!(decide(&seldom, &outcome, &moment(day)), Transition::UncertainCreate { failed_reads: 19, .. }),
            "{name}: too few"
        );
        assert!(fails && problem.class == UnknownOutcome, "{name}: {problem}");
        for part in ["may have this booking", "BK-0000123", "SELECT guestly_sync('7')", "Do not create it manually"] {
            assert!(problem.sentence.contains(part), "{part}: {problem}");
        }
    }
}

#[test]
fn the_first_unanswered_look_up_starts_the_uncertainty() {
    for (name, outcome, since) in
        [("unreadable", lost(), Some(at(5))), ("5xx", unavailable(), Some(at(5))), ("never left", not_sent(), None)]
    {
        let Transition::UncertainCreate { since: begun, .. } = decide(&look_up(), &outcome, &moment(5)) else {
            panic!("{name}")
        };
        assert_eq!(begun, since, "{name}");
    }
    let outage = Moment { outage: true, ..moment(5) };
    let next = decide(&look_up(), &unavailable(), &outage);
    assert!(matches!(next, Transition::UncertainCreate { since: None, .. }), "an outage: {next:?}");
}

#[test]
fn a_code_in_another_case_is_ours() {
    let lower = Hit { confirmation_code: Some(" bk-0000123".to_owned()), ..ours() };
    assert_eq!(decide(&look_up(), &Outcome::Found(vec![lower.clone()]), &moment(0)), adopted(&lower, None));
}

#[test]
fn one_failed_look_up_after_a_long_stop_does_not_decide() {
    let next = decide(&last_look(), &unavailable(), &moment(30 * 24 * 3_600));
    assert!(matches!(next, Transition::UncertainCreate { failed_reads: 1, .. }), "{next:?}");
    let outage = Moment { outage: true, ..moment(9) };
    let often = QueueRow { failed_reads: 7, ..last_look() };
    let next = decide(&often, &unavailable(), &outage);
    assert!(matches!(next, Transition::UncertainCreate { failed_reads: 7, .. }), "an outage: {next:?}");
    let next = nothing(&often, 9);
    assert!(matches!(next, Transition::UncertainCreate { failed_reads: 0, .. }), "in a row: {next:?}");
}

#[test]
fn a_look_up_that_cannot_be_sent_ends_after_the_usual_tries() {
    let outcome = Outcome::Unsendable { sentence: "said".to_owned() };
    let next = decide(&QueueRow { failed_reads: 1, ..last_look() }, &outcome, &moment(9));
    assert!(matches!(next, Transition::UncertainCreate { failed_reads: 2, .. }), "{next:?}");
    let next = decide(&QueueRow { failed_reads: 2, ..last_look() }, &outcome, &moment(9));
    assert!(matches!(&next, Transition::Failed(problem) if problem.class == UnknownOutcome), "{next:?}");
}

#[test]
fn a_named_but_missing_reservation_is_never_created() {
    let work = QueueRow { pending_refusal: Some(Refused), missing_reservation: Some("r9".to_owned()), ..look_up() };
    assert_eq!(decide(&work, &Outcome::Found(vec![ours()]), &moment(0)), adopted(&ours(), None), "under our code");
    let Transition::Failed(problem) = nothing(&work, 0) else { panic!("not failed") };
    assert_eq!(problem.class, Refused);
    for part in ["neither reservation r9", "BK-0000123", "guestly_reservation_id", "SELECT guestly_sync('7')"] {
        assert!(problem.sentence.contains(part), "{part}: {problem}");
    }
}
