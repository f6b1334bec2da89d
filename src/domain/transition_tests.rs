//! Unit tests of `transition`: outcomes of creates. Look-ups are in `transition/look_up_tests.rs`, which also uses the
//! fixtures here; whole lives of a booking are in `tests/transition_props.rs`.

use std::collections::HashMap;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::domain::booking::{Booking, Labels};
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::field::Row;
use crate::domain::outcome::Outcome;
use crate::domain::queue_row::QueueRow;
use crate::domain::redact::Secret;
use crate::domain::reservation::{Reservation, Tables};
use crate::domain::retry::Backoff;

pub(super) const SETTLE: Duration = Duration::from_secs(90);

/// Seconds since the start of the test.
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
}

pub(super) fn wanted() -> Reservation {
    let values = "BK-0000123|flat-1||Ada|Example|ada@example.org||2027-05-10|2027-05-14|2||||640.00|confirmed|paid";
    let values = values.split('|').map(|text| Some(text.to_owned())).collect();
    let row = Row { booking_id: "7".to_owned(), values, ..Row::default() };
    let pair = |key: &str, value: &str| HashMap::from([(key.to_owned(), value.to_owned())]);
    let tables = Tables { listings: pair("flat-1", "L1"), statuses: pair("confirmed", "confirmed") };
    Reservation::map(Booking::parse(&row, &Labels::default()).unwrap(), &tables, "website").unwrap()
}

/// The first attempt of a create.
pub(super) fn create() -> QueueRow {
    QueueRow {
        operation: Operation::Create,
        attempts: 1,
        uncertain_since: None,
        look_ups: 0,
        failed_reads: 0,
        unconfirmed_creates: 0,
        problem: None,
        pending_refusal: None,
        missing_reservation: None,
        ..QueueRow::default()
    }
}

pub(super) fn policy() -> Policy {
    let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(300) };
    Policy { backoff, max_attempts: 3, propagation_delay: SETTLE }
}

/// A call that was answered at once, while the breaker is closed.
pub(super) fn moment(seconds: i64) -> Moment {
    Moment { started: at(seconds), now: at(seconds), jitter: 0.5, outage: false, token_is_new: false }
}

pub(super) fn problem(class: ErrorClass) -> Problem {
    Problem::new(class, "said")
}

pub(super) fn said() -> String {
    "said".to_owned()
}

pub(super) fn refused(class: ErrorClass) -> Outcome {
    Outcome::Refused { class, sentence: said() }
}

pub(super) fn rejected() -> Outcome {
    Outcome::TokenRejected { status: 401, sentence: said() }
}

pub(super) fn throttled() -> Outcome {
    Outcome::Throttled { retry_after: None, sentence: said() }
}

pub(super) fn not_sent() -> Outcome {
    Outcome::NotSent { sentence: said() }
}

pub(super) fn unavailable() -> Outcome {
    Outcome::Unavailable { retry_after: None, sentence: said() }
}

pub(super) fn lost() -> Outcome {
    Outcome::Unknown { sentence: said() }
}

pub(super) fn created() -> Outcome {
    Outcome::Created { reservation_id: "r1".to_owned(), confirmation_code: None, total: None }
}

pub(super) fn token() -> Outcome {
    Outcome::Token { access_token: Secret::new("t".to_owned()), expires_in: Duration::from_secs(86_400) }
}

/// The next step after a create whose answer came at second 100.
fn decide(work: &QueueRow, outcome: &Outcome, moment: Moment) -> Transition {
    next(&Case { row: work, outcome, wanted: &wanted(), policy: &policy(), moment: &moment })
}

/// A create of unknown outcome, counted in `unconfirmed_creates`.
fn uncertain_create(class: ErrorClass, sentence: &str, unconfirmed_creates: u32, counted: bool) -> Transition {
    Transition::UncertainCreate {
        due: at(102),
        since: Some(at(100)),
        look_ups: 0,
        failed_reads: 0,
        unconfirmed_creates,
        counted,
        problem: Problem::new(class, sentence),
        pending_refusal: None,
    }
}

/// A refusal that waits for one look-up, or for several if an earlier create is uncertain.
fn to_be_confirmed(pending_refusal: ErrorClass, class: ErrorClass, unconfirmed_creates: u32) -> Transition {
    Transition::UncertainCreate {
        due: if unconfirmed_creates > 0 { at(102) } else { at(100) },
        since: (unconfirmed_creates > 0).then(|| at(100)),
        look_ups: 0,
        failed_reads: 0,
        unconfirmed_creates,
        counted: true,
        problem: problem(class),
        pending_refusal: Some(pending_refusal),
    }
}

#[test]
fn every_outcome_of_a_create() {
    use ErrorClass::*;
    let other = "an answer of another kind of call";
    let failed = |class| Transition::Failed(problem(class));
    let waits =
        Transition::Wait { due: at(100) + TimeDelta::milliseconds(500), counted: true, problem: problem(Unavailable) };
    let synced = Transition::Synced { reservation_id: "r1".to_owned(), adopted: false, warning: None, found: None };
    let cases = [
        ("created", created(), synced),
        ("dates taken: ours, perhaps", refused(DatesTaken), to_be_confirmed(DatesTaken, DatesTaken, 0)),
        ("refused for good", refused(Refused), failed(Refused)),
        ("listing unknown there", refused(UnknownListing), failed(UnknownListing)),
        ("invalid there", refused(InvalidBooking), failed(InvalidBooking)),
        ("a good token rejected", rejected(), Transition::Ready(problem(Credentials))),
        ("429", throttled(), Transition::Ready(problem(Throttled))),
        ("never left", not_sent(), waits),
        ("5xx", unavailable(), uncertain_create(Unavailable, "said", 1, true)),
        ("answer lost", lost(), uncertain_create(UnknownOutcome, "said", 1, true)),
        ("a look-up's answer", Outcome::Found(vec![]), uncertain_create(Internal, other, 1, true)),
        ("a token's answer", token(), uncertain_create(Internal, other, 1, true)),
    ];
    for (name, outcome, expected) in cases {
        assert_eq!(decide(&create(), &outcome, moment(100)), expected, "{name}");
        let as_token = QueueRow { operation: Operation::Token, ..create() };
        assert_eq!(decide(&as_token, &outcome, moment(100)), expected, "{name}, as a token request");
    }
}

#[test]
fn a_refusal_that_speaks_of_the_code_is_confirmed() {
    for words in ["confirmationCode already exists", "This confirmation code is in use", "CONFIRMATION_CODE_TAKEN"] {
        let outcome = Outcome::Refused { class: ErrorClass::Refused, sentence: words.to_owned() };
        let Transition::UncertainCreate { due, since, pending_refusal, problem, .. } =
            decide(&create(), &outcome, moment(100))
        else {
            panic!("{words}: final without a look-up");
        };
        assert_eq!((due, since, pending_refusal), (at(100), None, Some(ErrorClass::Refused)), "{words}");
        assert_eq!(problem.sentence, words);
    }
}

#[test]
fn an_outage_uses_no_attempt() {
    let work = QueueRow { attempts: 3, ..create() };
    let outage = Moment { outage: true, ..moment(100) };
    assert_eq!(decide(&work, &not_sent(), outage), Transition::Ready(problem(ErrorClass::Unavailable)), "never left");
    let uncertain = uncertain_create(ErrorClass::Unavailable, "said", 1, false);
    assert_eq!(decide(&work, &unavailable(), outage), uncertain, "5xx: it is looked up first");
    let uncertain = uncertain_create(ErrorClass::UnknownOutcome, "said", 1, false);
    assert_eq!(decide(&work, &lost(), outage), uncertain, "a lost answer is looked up first");
    let pauses = [1, 4, 7, 20].map(|unconfirmed_creates| {
        let next = decide(&QueueRow { unconfirmed_creates, ..work.clone() }, &unavailable(), outage);
        let Transition::UncertainCreate { due, .. } = next else { panic!("{next:?}") };
        (due - at(100)).num_seconds()
    });
    assert_eq!(pauses, [2, 8, 64, 150], "pauses grow with the unconfirmed creates");
}

#[test]
fn a_create_that_cannot_be_sent_fails_after_the_usual_tries() {
    let outcome = Outcome::Unsendable { sentence: "said".to_owned() };
    for outage in [false, true] {
        let moment = Moment { outage, ..moment(100) };
        let next = decide(&QueueRow { attempts: 2, ..create() }, &outcome, moment);
        assert!(matches!(next, Transition::Wait { counted: true, .. }), "{next:?}");
        let next = decide(&QueueRow { attempts: 3, ..create() }, &outcome, moment);
        assert_eq!(next, Transition::Failed(problem(ErrorClass::InvalidBooking)));
    }
}

#[test]
fn the_last_unsent_attempt_fails() {
    for (attempts, fails) in [(1, false), (2, false), (3, true), (4, true), (u32::MAX, true)] {
        let next = decide(&QueueRow { attempts, ..create() }, &not_sent(), moment(100));
        assert_eq!(next == Transition::Failed(problem(ErrorClass::Unavailable)), fails, "try {attempts}: {next:?}");
    }
}

#[test]
fn the_last_uncertain_attempt_is_still_looked_up() {
    for (outcome, class) in [(unavailable(), ErrorClass::Unavailable), (lost(), ErrorClass::UnknownOutcome)] {
        let next = decide(&QueueRow { attempts: 3, ..create() }, &outcome, moment(100));
        assert_eq!(next, uncertain_create(class, "said", 1, true));
    }
}

#[test]
fn pauses_grow_with_the_tries() {
    let patient = Policy { max_attempts: u32::MAX, ..policy() };
    for (attempts, millis) in [(1, 500), (2, 1_000), (3, 2_000), (9, 128_000), (10, 150_000), (u32::MAX - 1, 150_000)] {
        let next = next(&Case {
            row: &QueueRow { attempts, ..create() },
            outcome: &not_sent(),
            wanted: &wanted(),
            policy: &patient,
            moment: &moment(100),
        });
        let due = at(100) + TimeDelta::milliseconds(millis);
        assert_eq!(
            next,
            Transition::Wait { due, counted: true, problem: problem(ErrorClass::Unavailable) },
            "{attempts}"
        );
    }
}

#[test]
fn a_refusal_after_an_unconfirmed_create_waits_for_the_delay() {
    let again = QueueRow { attempts: 2, unconfirmed_creates: 1, ..create() };
    for class in [ErrorClass::DatesTaken, ErrorClass::Refused, ErrorClass::UnknownListing] {
        assert_eq!(decide(&again, &refused(class), moment(100)), to_be_confirmed(class, class, 1));
    }
    let new = Moment { token_is_new: true, ..moment(100) };
    let token = to_be_confirmed(ErrorClass::Refused, ErrorClass::Credentials, 1);
    assert_eq!(decide(&again, &rejected(), new), token);
}

#[test]
fn a_new_token_rejected_is_a_refusal_to_be_confirmed() {
    let new = Moment { token_is_new: true, ..moment(100) };
    let expected = to_be_confirmed(ErrorClass::Refused, ErrorClass::Credentials, 0);
    assert_eq!(decide(&create(), &rejected(), new), expected);
    let synced = Transition::Synced { reservation_id: "r1".to_owned(), adopted: false, warning: None, found: None };
    assert_eq!(decide(&create(), &created(), new), synced, "a new token accepted");
    assert_eq!(decide(&create(), &throttled(), new), Transition::Ready(problem(ErrorClass::Throttled)));
}

#[test]
fn each_unconfirmed_create_restarts_the_delay() {
    let again = QueueRow { attempts: 2, unconfirmed_creates: 1, look_ups: 7, ..create() };
    assert_eq!(decide(&again, &lost(), moment(100)), uncertain_create(ErrorClass::UnknownOutcome, "said", 2, true));
    let slow = Moment { started: at(70), ..moment(100) };
    let uncertain = uncertain_create(ErrorClass::UnknownOutcome, "said", 2, true);
    assert_eq!(decide(&again, &lost(), slow), uncertain, "the delay begins at the end of the call");
    let many = QueueRow { unconfirmed_creates: u32::MAX, ..create() };
    assert_eq!(
        decide(&many, &lost(), moment(100)),
        uncertain_create(ErrorClass::UnknownOutcome, "said", u32::MAX, true)
    );
}

#[test]
fn settings_without_measure_do_not_overflow() {
    let backoff = Backoff { base: Duration::MAX, max: Duration::MAX };
    let endless = Policy { backoff, max_attempts: u32::MAX, propagation_delay: Duration::MAX };
    let next =
        next(&Case { row: &create(), outcome: &not_sent(), wanted: &wanted(), policy: &endless, moment: &moment(100) });
    let due = DateTime::<Utc>::MAX_UTC;
    assert_eq!(next, Transition::Wait { due, counted: true, problem: problem(ErrorClass::Unavailable) });
}

#[test]
fn a_create_confirmed_with_another_code_is_uncertain() {
    let created = |code: Option<&str>| Outcome::Created {
        reservation_id: "r1".to_owned(),
        confirmation_code: code.map(str::to_owned),
        total: None,
    };
    for code in [None, Some("BK-0000123"), Some("bk-0000123 ")] {
        assert!(matches!(decide(&create(), &created(code), moment(100)), Transition::Synced { .. }), "{code:?}");
    }
    for code in ["BK-0000124", "BK-000012", "HM-1"] {
        let said = "Guestly answered the create with another confirmation code";
        let expected = uncertain_create(ErrorClass::UnknownOutcome, said, 1, true);
        assert_eq!(decide(&create(), &created(Some(code)), moment(100)), expected, "{code}");
    }
}
