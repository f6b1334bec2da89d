//! Unit tests of `send_gate`: permits, and the effect of outcomes on rate limiter and breaker. Tokens are in
//! `send_gate/token_gate_tests.rs`, which also uses the fixtures here.

use super::*;
use crate::domain::breaker::BreakerState;
use crate::domain::error::ErrorClass;
use crate::domain::outcome::Window;
use crate::domain::redact::Secret;
use crate::domain::retry::TOKEN_REFUSED_PAUSE;

pub(super) const CALLS: Limits = Limits { per_second: 10, per_minute: 0, per_hour: 0, share_percent: 100 };

/// Seconds since the start of the worker.
pub(super) fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn wall(seconds: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(i64::try_from(seconds).unwrap())
}

fn completion(seconds: u64, token_call: bool) -> Completion {
    Completion {
        now: s(seconds),
        started: s(seconds),
        wall: wall(seconds),
        jitter: 0.0,
        token_call,
        ..Completion::default()
    }
}

pub(super) fn token(lifetime: u64) -> Outcome {
    Outcome::Token { access_token: Secret::new("token".to_owned()), expires_in: s(lifetime) }
}

pub(super) fn rejected() -> Outcome {
    Outcome::TokenRejected { status: 401, sentence: "said".to_owned() }
}

pub(super) fn throttled(retry_after: Option<u64>) -> Outcome {
    Outcome::Throttled { retry_after: retry_after.map(s), sentence: "said".to_owned() }
}

pub(super) fn unavailable(retry_after: Option<u64>) -> Outcome {
    Outcome::Unavailable { retry_after: retry_after.map(s), sentence: "said".to_owned() }
}

pub(super) fn not_sent() -> Outcome {
    Outcome::NotSent { sentence: "said".to_owned() }
}

pub(super) fn lost() -> Outcome {
    Outcome::Unknown { sentence: "said".to_owned() }
}

pub(super) fn created() -> Outcome {
    Outcome::Created { reservation_id: "r1".to_owned(), confirmation_code: None, total: None }
}

/// Shortcuts for the worker's calls of the gate.
pub(super) trait Play {
    fn ask(&mut self, seconds: u64, outcome: &Outcome);
    fn call(&mut self, seconds: u64, operation: Operation, outcome: &Outcome);
    fn may(&mut self, seconds: u64) -> Permit;
}

impl Play for SendGate {
    /// A token request and its answer.
    fn ask(&mut self, seconds: u64, outcome: &Outcome) {
        self.tokens.record_request(wall(seconds));
        self.record_outcome(Operation::Token, 0, outcome, &completion(seconds, true));
    }

    /// A call with the current token and its answer.
    fn call(&mut self, seconds: u64, operation: Operation, outcome: &Outcome) {
        self.record_outcome(operation, self.tokens.generation, outcome, &completion(seconds, false));
    }

    /// The decision with nothing in flight and a concurrency of four.
    fn may(&mut self, seconds: u64) -> Permit {
        self.permit_calls(s(seconds), wall(seconds), 0, 4)
    }
}

pub(super) fn send_gate() -> SendGate {
    SendGate::new(CALLS, s(0))
}

/// A gate with a token that was fetched at 0 and is valid for a day.
pub(super) fn ready() -> SendGate {
    let mut send_gate = send_gate();
    send_gate.ask(0, &token(86_400));
    send_gate
}

#[test]
fn as_many_again_are_prefetched_while_nothing_is_wrong() {
    for (in_flight, waiting, expected) in [
        (0, 0, Permit::Send(8)),
        (4, 0, Permit::Send(4)),
        (4, 3, Permit::Send(1)),
        (4, 4, Permit::Wait(None)),
        (0, 4, Permit::Send(4)),
        (9, 9, Permit::Wait(None)),
    ] {
        assert_eq!(ready().permit_claims(s(0), wall(0), in_flight, waiting, 4), expected, "{in_flight} and {waiting}");
    }
    let mut short = ready();
    short.limiter.take(CALLS.per_second - 5, s(0));
    assert_eq!(
        short.permit_claims(s(0), wall(0), 2, 3, 4),
        Permit::Send(2),
        "three of the five remaining calls are reserved"
    );
    let mut doubtful = ready();
    (0..5).for_each(|_| doubtful.breaker.failure(s(0), 0.0));
    doubtful.breaker.success(s(1));
    assert_eq!(doubtful.permit_claims(s(1), wall(1), 0, 0, 4), Permit::Send(1), "half-open: one at a time");
    assert_eq!(doubtful.permit_claims(s(1), wall(1), 1, 0, 4), Permit::Wait(None), "nothing is prefetched");
}

#[test]
fn as_many_go_as_quota_breaker_and_concurrency_allow() {
    for (in_flight, concurrency, expected) in [
        (0, 4, Permit::Send(4)),
        (3, 4, Permit::Send(1)),
        (4, 4, Permit::Wait(None)),
        (9, 4, Permit::Wait(None)),
        (0, 0, Permit::Wait(None)),
        (0, 99, Permit::Send(10)),
    ] {
        assert_eq!(
            ready().permit_calls(s(0), wall(0), in_flight, concurrency),
            expected,
            "{in_flight} of {concurrency}"
        );
    }
    let mut spent = ready();
    spent.limiter.take(10, s(0));
    assert_eq!(spent.may(0), Permit::Wait(Some(Duration::from_millis(100))), "quota");
    let mut poor = send_gate();
    poor.limiter.take(10, s(0));
    assert_eq!(poor.may(0), Permit::Wait(Some(Duration::from_millis(100))), "a token request needs quota too");
}

#[test]
fn an_outage_lets_one_probe_through_at_a_time() {
    let mut send_gate = ready();
    for outcome in [lost(), not_sent(), unavailable(None), lost()] {
        send_gate.call(10, Operation::Create, &outcome);
    }
    assert_eq!(send_gate.breaker.state(), BreakerState::Closed);
    send_gate.call(10, Operation::LookUp, &not_sent());
    assert_eq!(send_gate.breaker.state(), BreakerState::Open);
    assert_eq!(send_gate.may(10), Permit::Wait(Some(s(1))));
    assert_eq!(send_gate.may(11), Permit::Send(1));
    assert_eq!(send_gate.permit_calls(s(11), wall(11), 1, 4), Permit::Wait(None), "the probe is in flight");
    send_gate.call(12, Operation::LookUp, &Outcome::Found(vec![]));
    assert_eq!(send_gate.breaker.state(), BreakerState::HalfOpen);
    let late = Completion { started: s(9), ..completion(12, false) };
    send_gate.record_outcome(Operation::Create, send_gate.tokens.generation, &lost(), &late);
    assert_eq!(send_gate.breaker.state(), BreakerState::HalfOpen, "it began before the outage was detected");
}

#[test]
fn the_longer_of_two_pauses_counts() {
    let mut send_gate = ready();
    for _ in 0..5 {
        send_gate.call(10, Operation::Create, &unavailable(Some(7)));
    }
    assert_eq!(send_gate.may(10), Permit::Wait(Some(s(7))), "Retry-After is longer than the breaker's second");
    let mut send_gate = ready();
    (0..4).for_each(|_| send_gate.call(10, Operation::Create, &lost()));
    send_gate.call(10, Operation::LookUp, &lost());
    send_gate.limiter.take(10, s(10));
    assert_eq!(send_gate.may(10), Permit::Wait(Some(s(1))), "the breaker's second is longer than the limiter's tenth");
}

#[test]
fn any_answer_ends_a_row_of_failures() {
    let refused = Outcome::Refused { class: ErrorClass::Refused, sentence: "said".to_owned() };
    for outcome in [created(), Outcome::Found(vec![]), refused, rejected()] {
        let mut send_gate = ready();
        (0..4).for_each(|_| send_gate.call(1, Operation::Create, &lost()));
        send_gate.call(1, Operation::Create, &outcome);
        (0..4).for_each(|_| send_gate.call(1, Operation::Create, &lost()));
        assert_eq!(send_gate.breaker.state(), BreakerState::Closed, "{outcome:?}");
    }
    let mut send_gate = ready();
    (0..4).for_each(|_| send_gate.call(1, Operation::Create, &lost()));
    send_gate.call(1, Operation::Create, &throttled(None));
    send_gate.call(1, Operation::Create, &lost());
    assert_eq!(send_gate.breaker.state(), BreakerState::Open, "a gateway's 429 does not");
}

#[test]
fn retry_after_is_a_floor_for_the_whole_send_gate() {
    for (name, outcome, wait) in [
        ("429 with seconds", throttled(Some(20)), 20),
        ("429 without", throttled(None), 30),
        ("429 with nothing", throttled(Some(0)), 1),
        ("503 with seconds", unavailable(Some(20)), 20),
    ] {
        for operation in [Operation::Create, Operation::LookUp] {
            let mut send_gate = ready();
            send_gate.call(10, operation, &outcome);
            assert_eq!(send_gate.may(10), Permit::Wait(Some(s(wait))), "{name}");
            send_gate.call(10, operation, &throttled(Some(1)));
            assert_eq!(send_gate.may(10), Permit::Wait(Some(s(wait))), "{name}: a shorter one does not shorten it");
            assert_eq!(send_gate.may(10 + wait), Permit::Send(4), "{name}: over");
        }
    }
    for outcome in [unavailable(None), unavailable(Some(0)), lost(), not_sent()] {
        let mut send_gate = ready();
        send_gate.call(10, Operation::Create, &outcome);
        assert_eq!(send_gate.may(10), Permit::Send(4), "no floor: {outcome:?}");
    }
}

#[test]
fn jitter_only_adds_to_the_floor() {
    for (jitter, millis) in [(0.0, 20_000), (0.5, 20_500), (1.0, 21_000), (-1.0, 20_000), (f64::NAN, 40_000)] {
        for outcome in [throttled(Some(20)), unavailable(Some(20))] {
            let mut send_gate = ready();
            send_gate.record_outcome(Operation::Create, 1, &outcome, &Completion { jitter, ..completion(10, false) });
            let Permit::Wait(Some(wait)) = send_gate.may(10) else { panic!("no wait") };
            assert!(wait.abs_diff(Duration::from_millis(millis)) < Duration::from_millis(1), "{jitter}: {wait:?}");
        }
    }
    let mut send_gate = ready();
    let endless = Outcome::Throttled { retry_after: Some(Duration::MAX), sentence: String::new() };
    send_gate.call(10, Operation::Create, &endless);
    assert!(matches!(send_gate.may(10), Permit::Wait(Some(_))), "no overflow");
}

#[test]
fn others_share_the_account() {
    let mut send_gate = ready();
    let second = Window { limit: Some(10), remaining: Some(3) };
    send_gate.observe(&RateLimitHeaders { second, ..RateLimitHeaders::default() }, 1, s(0), s(0));
    assert_eq!(send_gate.permit_calls(s(0), wall(0), 0, 99), Permit::Send(2), "what remains, less the call in flight");
}

#[test]
fn a_jump_of_the_clock_moves_all_that_waits() {
    let hour = TimeDelta::hours(1);
    let mut jumped = ready();
    jumped.call(0, Operation::Create, &created());
    let before = jumped.tokens.token.clone().unwrap();
    jumped.shift_clock(hour);
    let after = jumped.tokens.token.clone().unwrap();
    assert_eq!((after.fetched_at, after.expires_at), (before.fetched_at + hour, before.expires_at + hour));
    assert_eq!(jumped.tokens.history, [wall(3_600)]);
    let mut blocked = send_gate();
    blocked.ask(0, &rejected());
    blocked.shift_clock(-hour);
    let kept = blocked.tokens.blocked.clone().unwrap();
    assert_eq!((kept.since, kept.until - kept.since), (wall(0) - hour, TOKEN_REFUSED_PAUSE));
    let mut resting = send_gate();
    resting.ask(0, &lost());
    resting.shift_clock(hour);
    assert_eq!(resting.permit_calls(s(10), wall(3_610), 0, 4), Permit::Wait(Some(s(50))));
}

/// A call about this booking, answered with this status.
fn about(
    send_gate: &mut SendGate,
    booking: &str,
    operation: Operation,
    outcome: &Outcome,
    status: Option<u16>,
) -> bool {
    let moment = Completion { status, booking: Some(booking.to_owned()), ..completion(10, false) };
    let outage = send_gate.is_outage_for(operation, outcome, &moment);
    send_gate.record_outcome(operation, send_gate.tokens.generation, outcome, &moment);
    outage
}

#[test]
fn only_unsent_calls_time_outs_and_5xx_indicate_an_outage() {
    for (outcome, status, sign) in [
        (not_sent(), None, true),
        (lost(), None, true),
        (unavailable(None), Some(500), true),
        (unavailable(None), Some(599), true),
        (unavailable(None), Some(408), false),
        (unavailable(None), Some(425), false),
        (lost(), Some(200), false),
        (lost(), Some(100), false),
        (lost(), Some(600), false),
        (lost(), Some(999), false),
    ] {
        let mut send_gate = ready();
        for n in 0..9 {
            about(&mut send_gate, &n.to_string(), Operation::Create, &outcome, status);
        }
        assert_eq!(send_gate.breaker.is_outage(), sign, "{outcome:?} {status:?}");
        let mut send_gate = ready();
        for n in 0..9 {
            about(&mut send_gate, &n.to_string(), Operation::Create, &lost(), None);
        }
        assert_eq!(
            about(&mut send_gate, "9", Operation::Create, &outcome, status),
            sign,
            "used an attempt: {outcome:?}"
        );
        assert_eq!(
            send_gate.breaker.state() == BreakerState::Open,
            sign,
            "it shows that the API is there: {outcome:?}"
        );
    }
}

#[test]
fn a_renewal_that_fails_stops_no_call_that_has_a_good_token() {
    for outcome in [not_sent(), lost(), unavailable(Some(600))] {
        let mut send_gate = ready();
        (0..9).for_each(|_| send_gate.ask(10, &outcome));
        assert_eq!(send_gate.may(10), Permit::Send(4), "{outcome:?}");
        let mut poor = super::tests::send_gate();
        (0..5).for_each(|_| poor.ask(10, &outcome));
        assert!(poor.breaker.is_outage(), "nothing can be called without a token: {outcome:?}");
    }
}
