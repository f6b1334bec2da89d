//! Unit tests of `breaker`: failures by booking and kind of call, and the next probe. Its states are in `breaker_tests.rs`.

use std::time::Duration;

use super::super::*;
use crate::domain::retry::OUTAGE_CONFIRMED_AFTER;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn source(booking: &str, kind: CallKind) -> CallSource {
    CallSource { booking: Some(booking.to_owned()), kind }
}

/// The look-up of a booking that does not exist.
fn probe() -> CallSource {
    CallSource { booking: None, kind: CallKind::LookUp }
}

fn fail(breaker: &mut Breaker, source: &CallSource, seconds: u64) {
    breaker.failed(Some(source), at(seconds), at(seconds), 0.0);
}

/// A breaker that was opened at 0 by failures of these sources in turn.
fn opened_by(sources: &[CallSource]) -> Breaker {
    let mut breaker = Breaker::new();
    sources.iter().cycle().take(5).for_each(|source| fail(&mut breaker, source, 0));
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker
}

fn claim(not_booking: Option<&str>, skip_kind: Option<CallKind>) -> NextCall {
    NextCall::Claim { skip_bookings: not_booking.map(str::to_owned).into_iter().collect(), skip_kind }
}

#[test]
fn after_one_bookings_failures_something_else_goes_at_once() {
    let follow_up = source("7", CallKind::FollowUp);
    let mut breaker = opened_by(std::slice::from_ref(&follow_up));
    assert_eq!((breaker.permits(at(0), 0), breaker.permits(at(0), 1)), (1, 0), "one at a time");
    assert_eq!(breaker.next_probe(at(0)), None);
    assert!(!breaker.is_confirmed(), "the cause is not known yet");
    let other_kind = claim(Some("7"), Some(CallKind::FollowUp));
    assert_eq!(breaker.next_calls(at(0)), [other_kind, claim(Some("7"), None), NextCall::Probe]);
    breaker.succeeded(Some(&source("8", CallKind::Create)), at(0));
    assert_eq!(breaker.state(), BreakerState::Closed);
    (0..20).for_each(|second| fail(&mut breaker, &follow_up, second));
    assert_eq!(breaker.state(), BreakerState::Closed, "its failures no longer count");
    breaker.succeeded(Some(&follow_up), at(20));
    (0..5).for_each(|_| fail(&mut breaker, &follow_up, 21));
    assert_eq!(breaker.state(), BreakerState::Open, "its failures count again after a success");
}

#[test]
fn after_one_kinds_failures_another_kind_goes_at_once() {
    let sources = [source("7", CallKind::FollowUp), source("8", CallKind::FollowUp)];
    let mut breaker = opened_by(&sources);
    assert_eq!(
        (breaker.permits(at(0), 0), breaker.next_calls(at(0))),
        (1, vec![claim(None, Some(CallKind::FollowUp))])
    );
    breaker.mark_exhausted();
    assert_eq!(
        (breaker.permits(at(0), 0), breaker.next_probe(at(0))),
        (0, Some(at(1))),
        "a pause, since no other kind can be tried"
    );
    breaker.work_arrived();
    assert_eq!(breaker.permits(at(0), 0), 1);
    breaker.succeeded(Some(&source("9", CallKind::Create)), at(0));
    for number in 0..20 {
        fail(&mut breaker, &source(&number.to_string(), CallKind::FollowUp), 1);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    (0..5).for_each(|number| fail(&mut breaker, &source(&number.to_string(), CallKind::Create), 2));
    assert_eq!(breaker.state(), BreakerState::Open, "other kinds count");
}

#[test]
fn a_suspicion_of_a_kind_ends_by_itself() {
    let mut breaker = opened_by(&[source("7", CallKind::FollowUp), source("8", CallKind::FollowUp)]);
    breaker.succeeded(Some(&source("9", CallKind::Create)), at(0));
    (0..5).for_each(|_| fail(&mut breaker, &source("8", CallKind::FollowUp), 901));
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn if_the_others_fail_too_it_is_an_outage_with_its_pauses() {
    for (name, other, first_paused) in [
        ("another booking", source("8", CallKind::Create), claim(Some("8"), None)),
        ("a harmless look-up", probe(), claim(None, None)),
    ] {
        let mut breaker = opened_by(&[source("7", CallKind::FollowUp)]);
        fail(&mut breaker, &other, 0);
        assert!(breaker.is_confirmed(), "{name}");
        assert_eq!((breaker.permits(at(0), 0), breaker.next_probe(at(0))), (0, Some(at(1))), "{name}");
        assert_eq!(breaker.next_calls(at(1))[0], first_paused, "{name}: the last failed source goes next");
        assert!(breaker.is_outage_for(&source("7", CallKind::FollowUp), at(1)), "{name}: an attempt was used");
    }
    let mut kind_left = opened_by(&[source("7", CallKind::FollowUp)]);
    fail(&mut kind_left, &source("8", CallKind::FollowUp), 0);
    assert_eq!(kind_left.next_calls(at(0)), [claim(None, Some(CallKind::FollowUp))], "it may still be the kind");
}

#[test]
fn probes_alternate_between_bookings() {
    let mut breaker = opened_by(&[source("7", CallKind::Create), source("8", CallKind::FollowUp)]);
    let last = "7";
    assert!(breaker.is_confirmed());
    assert_eq!(breaker.next_calls(at(1)), [claim(Some(last), None), NextCall::Probe, claim(None, None)]);
    fail(&mut breaker, &probe(), 1);
    assert_eq!(breaker.next_probe(at(1)), Some(at(2)));
    assert_eq!(breaker.next_calls(at(3)), [claim(None, None)], "any due booking");
    fail(&mut breaker, &source("8", CallKind::FollowUp), 3);
    assert_eq!(breaker.next_calls(at(7))[0], claim(Some("8"), None));
    assert_eq!(breaker.next_probe(at(3)), Some(at(4)));
}

#[test]
fn an_unsent_call_accuses_no_source() {
    let mut breaker = Breaker::new();
    (0..5).for_each(|_| breaker.failed(None, at(0), at(0), 0.0));
    assert!(breaker.is_confirmed());
    assert_eq!(breaker.permits(at(0), 0), 0);
}

#[test]
fn a_success_after_the_pause_starts_the_ramp() {
    let mut breaker = opened_by(&[source("7", CallKind::Create)]);
    breaker.succeeded(Some(&probe()), at(1));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(breaker.is_outage_for(&source("7", CallKind::Create), at(1)));
}

#[test]
fn three_failures_while_others_succeed_make_a_suspect() {
    let culprit = source("7", CallKind::FollowUp);
    let mut breaker = opened_by(&[culprit.clone(), source("8", CallKind::Create)]);
    let mut now = 1;
    for strike in 1..=3 {
        breaker.succeeded(Some(&source(&format!("good{strike}"), CallKind::FollowUp)), at(now));
        assert_eq!(breaker.state(), BreakerState::HalfOpen, "{strike}");
        fail(&mut breaker, &culprit, now + 1);
        now += 100;
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen, "the third failure no longer counts");
    assert!(!breaker.is_outage_for(&culprit, at(now)), "it uses its attempts");
    assert_eq!(breaker.next_calls(at(now)), [claim(Some("7"), None), claim(None, None)], "the others go first");
    assert!(breaker.is_outage_for(&source("9", CallKind::Create), at(now)));
}

#[test]
fn failures_in_a_row_count_as_one_strike() {
    let mut breaker = Breaker::new();
    for second in 0..30 {
        fail(&mut breaker, &source("7", CallKind::FollowUp), second);
        fail(&mut breaker, &source("7", CallKind::FollowUp), second);
        breaker.succeeded(Some(&source("9", CallKind::Create)), at(second));
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    (0..5).for_each(|number| fail(&mut breaker, &source(&number.to_string(), CallKind::FollowUp), 31));
    assert_eq!(breaker.state(), BreakerState::Open, "other bookings' calls of that kind count");
}

#[test]
fn long_failure_without_success_is_a_confirmed_outage() {
    let culprit = source("7", CallKind::FollowUp);
    let mut breaker = opened_by(std::slice::from_ref(&culprit));
    for (seconds, confirmed) in
        [(OUTAGE_CONFIRMED_AFTER.as_secs() - 10, false), (OUTAGE_CONFIRMED_AFTER.as_secs(), true)]
    {
        fail(&mut breaker, &culprit, seconds);
        assert_eq!(breaker.is_confirmed(), confirmed, "after {seconds} s");
    }
}

#[test]
fn memory_of_suspects_is_bounded() {
    let mut breaker = Breaker::new();
    for number in 0..10_000 {
        fail(&mut breaker, &source(&number.to_string(), CallKind::Create), number);
        breaker.succeeded(Some(&source("good", CallKind::LookUp)), at(number));
    }
    assert!(format!("{breaker:?}").len() < 100_000);
}

#[test]
fn refused_creates_yield_to_other_calls() {
    let mut breaker = Breaker::new();
    let behind = |breaker: &Breaker, second| {
        let is_behind = |step: &NextCall| matches!(step, NextCall::Claim { skip_kind: Some(CallKind::Create), .. });
        breaker.next_calls(at(second)).iter().any(is_behind)
    };
    for number in 0..9 {
        fail(&mut breaker, &source(&number.to_string(), CallKind::Create), 0);
        breaker.succeeded(Some(&source("77", CallKind::FollowUp)), at(0));
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(behind(&breaker, 0), breaker.refuses_creates(at(0)), "{number}");
    }
    assert!(behind(&breaker, 9) && !behind(&breaker, 10), "a create is tried from time to time");
    breaker.succeeded(Some(&source("78", CallKind::Create)), at(10));
    assert!(!behind(&breaker, 10), "no kind is skipped any more");
}

#[test]
fn two_failures_let_others_go_first_for_a_minute_only() {
    let mut breaker = Breaker::new();
    for second in [0, 1] {
        fail(&mut breaker, &source(&second.to_string(), CallKind::FollowUp), second);
        breaker.succeeded(Some(&source("77", CallKind::Create)), at(second));
    }
    assert_eq!(breaker.next_calls(at(60)), [claim(None, Some(CallKind::FollowUp)), claim(None, None)]);
    assert_eq!(breaker.next_calls(at(61)), [claim(None, None)]);
}

#[test]
fn failing_creates_are_an_outage_until_one_succeeds() {
    let mut breaker = Breaker::new();
    let create = |number: u64| source(&number.to_string(), CallKind::Create);
    for number in 0..3 {
        assert!(!breaker.refuses_creates(at(number)), "{number}");
        fail(&mut breaker, &create(number), number);
        breaker.succeeded(Some(&source("77", CallKind::FollowUp)), at(number));
    }
    assert!(breaker.refuses_creates(at(3)) && breaker.is_outage_for(&create(9), at(3)));
    assert!(!breaker.is_outage_for(&source("9", CallKind::FollowUp), at(3)), "only unconfirmed_creates");
    assert!(!breaker.refuses_creates(at(2_000)) && breaker.awaits_create(), "ended by a success, not by time");
    breaker.succeeded(Some(&create(9)), at(2_001));
    assert!(!breaker.awaits_create());
}

#[test]
fn strikes_of_long_ago_make_no_suspicion() {
    let mut breaker = Breaker::new();
    for number in 0..9 {
        fail(&mut breaker, &source(&number.to_string(), CallKind::Create), number * 900);
        breaker.succeeded(Some(&source("77", CallKind::FollowUp)), at(number * 900));
        assert!(!breaker.refuses_creates(at(number * 900)), "{number}");
    }
}

#[test]
fn after_an_unsent_call_the_next_probe_is_another_booking() {
    let mut breaker = Breaker::new();
    let follow_up = source("7", CallKind::FollowUp);
    (0..5).for_each(|_| breaker.not_sent(Some(&follow_up), at(0), at(0), 0.0));
    assert_eq!((breaker.state(), breaker.may_try_other()), (BreakerState::Open, false));
    assert_eq!(breaker.next_calls(at(1)), [claim(Some("7"), None), NextCall::Probe, claim(None, None)]);
}

#[test]
fn an_inconclusive_call_is_not_the_next_probe() {
    let mut breaker = Breaker::new();
    (0..5).for_each(|_| breaker.failure(at(0), 0.0));
    breaker.inconclusive(Some(&source("7", CallKind::FollowUp)));
    assert_eq!(breaker.next_calls(at(1)), [claim(Some("7"), None), NextCall::Probe, claim(None, None)]);
}
