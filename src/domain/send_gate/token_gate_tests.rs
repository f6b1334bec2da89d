//! Unit tests of `send_gate::token_gate`: requests, renewal, rejections and the daily cap.

use super::super::tests::*;
use super::super::{Permit, SendGate};
use super::*;
use crate::domain::operation::Operation::{Create, LookUp, ReadBack};

const PAUSE: u64 = 24 * 3600 / 5;

/// The good token of `ready` was rejected and replaced.
fn refreshed() -> SendGate {
    let mut send_gate = ready();
    send_gate.call(100, Create, &created());
    send_gate.call(100, Create, &rejected());
    send_gate.ask(100, &token(86_400));
    send_gate
}

#[test]
fn one_request_at_a_time_brings_the_first_token() {
    let mut send_gate = send_gate();
    assert_eq!(send_gate.may(0), Permit::FetchToken);
    send_gate.tokens.record_request(wall(0));
    assert_eq!(send_gate.may(0), Permit::Wait(None), "a request is in flight");
    assert!(!send_gate.tokens.should_renew(wall(0)));
    send_gate.ask(0, &token(86_400));
    assert_eq!(send_gate.may(0), Permit::Send(4));
    let kept = send_gate.tokens.token.clone().unwrap();
    assert_eq!((kept.value.reveal(), kept.fetched_at, kept.expires_at), ("token", wall(0), wall(86_400)));
    assert!(!send_gate.tokens.is_new(), "nothing was rejected before it");
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let mut send_gate = ready();
    let renewal = 86_400 - 45 * 60;
    assert!(!send_gate.tokens.should_renew(wall(renewal)));
    assert!(send_gate.tokens.should_renew(wall(renewal + 1)));
    assert_eq!(send_gate.may(renewal + 1), Permit::Send(4), "calls continue meanwhile");
    assert_eq!(send_gate.may(86_400 - 60), Permit::FetchToken, "too close to its expiry");
    send_gate.tokens.record_request(wall(renewal + 1));
    assert!(!send_gate.tokens.should_renew(wall(renewal + 1)), "a request is in flight");
    send_gate.ask(renewal + 1, &token(86_400));
    assert!(!send_gate.tokens.should_renew(wall(renewal + 1)) && !send_gate.tokens.is_new());
}

#[test]
fn a_good_token_that_is_rejected_is_replaced_once() {
    for operation in [Create, LookUp] {
        let mut send_gate = ready();
        send_gate.call(100, operation, &rejected());
        assert_eq!(send_gate.may(100), Permit::FetchToken, "{operation:?}");
        assert!(!send_gate.tokens.is_new() && send_gate.tokens.blocked.is_none());
        send_gate.ask(100, &token(86_400));
        assert!(send_gate.tokens.is_new());
        assert_eq!(send_gate.may(100), Permit::Send(4));
    }
}

#[test]
fn a_look_up_decides_about_a_new_token_rejected_by_creates() {
    let mut send_gate = refreshed();
    let generation = send_gate.tokens.generation;
    assert!(send_gate.tokens.was_new_for(Create, generation), "so the rejection may be about the booking");
    assert!(!send_gate.tokens.was_new_for(LookUp, generation), "no create was rejected with it yet");
    (0..9).for_each(|_| send_gate.call(100, Create, &rejected()));
    assert_eq!((send_gate.may(100), send_gate.tokens.generation), (Permit::Send(4), generation), "a token was wasted");
    assert!(send_gate.tokens.was_new_for(LookUp, generation), "so an answer means that it was about the booking");
    send_gate.call(100, LookUp, &Outcome::Found(vec![]));
    send_gate.call(100, Create, &created());
    (0..9).for_each(|_| send_gate.call(100, Create, &rejected()));
    assert_eq!(
        (send_gate.may(100), send_gate.tokens.history.len()),
        (Permit::Send(4), 2),
        "nor by a booking that others overtook"
    );
}

#[test]
fn a_new_token_rejected_by_look_ups_blocks() {
    let mut send_gate = refreshed();
    send_gate.call(200, Create, &rejected());
    send_gate.call(200, LookUp, &rejected());
    let blocked = send_gate.tokens.blocked.clone().unwrap();
    assert_eq!((blocked.sentence.as_str(), blocked.since, blocked.until), ("said", wall(200), wall(200 + PAUSE)));
    assert_eq!(send_gate.may(200), Permit::Wait(Some(s(PAUSE))));
    send_gate.ask(200 + PAUSE, &token(86_400));
    assert_eq!(
        (send_gate.may(200 + PAUSE), send_gate.tokens.blocked.clone()),
        (Permit::Send(4), None),
        "the next booking is tried"
    );
    let mut send_gate = refreshed();
    send_gate.call(200, LookUp, &Outcome::Found(vec![]));
    send_gate.call(300, Create, &rejected());
    send_gate.call(300, LookUp, &rejected());
    assert_eq!(
        (send_gate.may(300), send_gate.tokens.blocked.clone()),
        (Permit::FetchToken, None),
        "the token had been accepted before"
    );
    send_gate.ask(300, &token(86_400));
    assert!(
        !send_gate.tokens.was_new_for(LookUp, send_gate.tokens.generation),
        "no create was rejected with the third"
    );
}

#[test]
fn a_look_up_decides_about_a_new_token_rejected_by_reads() {
    for (found, blocked) in [(Outcome::Found(vec![]), false), (rejected(), true)] {
        let mut send_gate = refreshed();
        assert!(
            send_gate.tokens.was_new_for(ReadBack, send_gate.tokens.generation)
                && !send_gate.tokens.take_check_request()
        );
        send_gate.call(200, ReadBack, &rejected());
        assert_eq!(
            (send_gate.may(200), send_gate.tokens.blocked.clone()),
            (Permit::Send(4), None),
            "other calls continue meanwhile"
        );
        assert!(send_gate.tokens.take_check_request() && !send_gate.tokens.take_check_request(), "once");
        send_gate.call(200, LookUp, &found);
        assert_eq!(send_gate.tokens.blocked.is_some(), blocked);
        if !blocked {
            (0..9).for_each(|_| send_gate.call(201, ReadBack, &rejected()));
            assert!(!send_gate.tokens.take_check_request(), "it is the booking");
            assert_eq!(
                (send_gate.may(201), send_gate.tokens.history.len()),
                (Permit::Send(4), 2),
                "a token was wasted"
            );
        }
    }
}

#[test]
fn refused_credentials_are_tried_once_per_pause() {
    let mut send_gate = send_gate();
    let mut asked = vec![];
    for minute in 0..3 * 24 * 60 {
        if send_gate.may(minute * 60) == Permit::FetchToken {
            asked.push(minute * 60);
            send_gate.ask(minute * 60, &rejected());
        }
    }
    assert_eq!(asked, (0..15).map(|n| n * PAUSE).collect::<Vec<_>>());
    send_gate.tokens.reset();
    assert_eq!(
        (send_gate.may(14 * PAUSE + 1), send_gate.tokens.blocked.clone()),
        (Permit::Wait(Some(s(PAUSE - 1))), None),
        "the cap stays"
    );
    send_gate.tokens.history.clear();
    assert_eq!(send_gate.may(14 * PAUSE + 1), Permit::FetchToken, "new credentials have their own history");
}

#[test]
fn new_credentials_reset_the_gate() {
    let mut send_gate = refreshed();
    let old = send_gate.tokens.generation;
    send_gate.ask(100, &unavailable(None));
    send_gate.tokens.reset();
    assert_eq!((send_gate.may(101), send_gate.tokens.wait(wall(100))), (Permit::FetchToken, None));
    send_gate.ask(101, &unavailable(None));
    assert_eq!(send_gate.tokens.wait(wall(101)), Some(s(1)), "the first pause again");
    send_gate.ask(102, &token(86_400));
    assert!(!send_gate.tokens.is_new() && send_gate.tokens.generation > old + 1, "calls with old tokens prove nothing");
}

#[test]
fn a_refused_renewal_stops_no_calls() {
    let mut send_gate = ready();
    let late = 86_400 - 3_000;
    send_gate.ask(late, &rejected());
    assert_eq!(send_gate.may(late), Permit::Send(4));
    send_gate.call(late, Create, &created());
    assert!(send_gate.tokens.blocked.is_some() && !send_gate.tokens.should_renew(wall(late + 1_000)));
}

#[test]
fn a_sixth_token_of_a_day_is_not_requested() {
    let mut send_gate = send_gate();
    for hour in 0..5 {
        assert_eq!(send_gate.may(hour * 3_600), Permit::FetchToken);
        send_gate.ask(hour * 3_600, &token(3_600));
    }
    assert_eq!(send_gate.may(5 * 3_600), Permit::Wait(Some(s(19 * 3_600))));
    assert!(!send_gate.tokens.should_renew(wall(5 * 3_600)));
    assert_eq!(send_gate.may(24 * 3_600), Permit::FetchToken);
    send_gate.ask(24 * 3_600, &token(3_600));
    assert_eq!(send_gate.tokens.history.len(), 5, "requests older than a day do not count");
}

#[test]
fn a_capped_token_request_stops_no_calls() {
    for (retry_after, wait) in [(Some(600), 600), (None, 3_600), (Some(0), 60)] {
        let mut send_gate = send_gate();
        send_gate.ask(0, &throttled(retry_after));
        assert_eq!(send_gate.may(0), Permit::Wait(Some(s(wait))), "{retry_after:?}");
        assert_eq!(send_gate.may(wait), Permit::FetchToken);
    }
    let mut send_gate = ready();
    send_gate.ask(86_400 - 2_000, &throttled(Some(600)));
    assert_eq!(send_gate.may(86_400 - 2_000), Permit::Send(4), "the old token is still good");
}

#[test]
fn failed_token_requests_do_not_count_against_the_cap() {
    for outcome in [not_sent(), unavailable(None)] {
        let (mut send_gate, mut now) = (send_gate(), 0);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60] {
            send_gate.ask(now, &outcome);
            // Closed, so that only the token's own pause counts.
            send_gate.breaker = Default::default();
            assert_eq!(send_gate.may(now), Permit::Wait(Some(s(pause))), "{outcome:?}");
            now += pause;
        }
        assert_eq!((send_gate.may(now), send_gate.tokens.history.len()), (Permit::FetchToken, 0));
        send_gate.ask(now, &token(86_400));
        send_gate.ask(now, &outcome);
        assert_eq!(send_gate.tokens.wait(wall(now)), Some(s(1)), "a token resets the failures");
    }
}

#[test]
fn a_lost_answer_may_have_been_a_token() {
    let (mut send_gate, mut now) = (send_gate(), 0);
    for pause in [60, 240, 960, 3_840] {
        send_gate.ask(now, &lost());
        send_gate.breaker = Default::default();
        assert_eq!(send_gate.may(now), Permit::Wait(Some(s(pause))));
        now += pause;
    }
    send_gate.ask(now, &lost());
    assert_eq!(send_gate.tokens.wait(wall(now)), Some(s(86_400 - now)), "the fifth of the day");
}

#[test]
fn a_late_rejection_says_nothing_about_the_next_token() {
    for operation in [Create, LookUp] {
        let mut send_gate = ready();
        let old = send_gate.tokens.generation;
        let completion = Completion {
            now: s(1),
            started: s(0),
            wall: wall(1),
            jitter: 0.0,
            token_call: false,
            ..Completion::default()
        };
        send_gate.call(0, operation, &rejected());
        // The other three of four calls in flight, then one more with the next token.
        for _ in 0..3 {
            assert!(!send_gate.tokens.was_new_for(operation, old));
            send_gate.record_outcome(operation, old, &rejected(), &completion);
        }
        assert_eq!((send_gate.may(1), send_gate.tokens.blocked.clone()), (Permit::FetchToken, None), "{operation:?}");
        send_gate.ask(1, &token(86_400));
        assert!(!send_gate.tokens.was_new_for(operation, old));
        send_gate.record_outcome(operation, old, &rejected(), &completion);
        send_gate.record_outcome(Create, old, &created(), &completion);
        assert!(
            send_gate.tokens.token.is_some()
                && send_gate.tokens.blocked.is_none()
                && !send_gate.tokens.create_rejected
                && !send_gate.tokens.proven
        );
    }
}

#[test]
fn a_renewed_token_is_no_new_one() {
    let mut send_gate = refreshed();
    send_gate.ask(80_000, &token(86_400));
    assert!(!send_gate.tokens.is_new());
    send_gate.call(80_000, LookUp, &rejected());
    assert_eq!(
        (send_gate.may(80_000), send_gate.tokens.blocked.clone()),
        (Permit::FetchToken, None),
        "it is replaced once, as any other"
    );
}

#[test]
fn a_token_of_the_old_credentials_is_thrown_away() {
    for outcome in [token(86_400), rejected(), throttled(None), not_sent(), lost()] {
        let mut send_gate = send_gate();
        send_gate.tokens.record_request(wall(0));
        send_gate.tokens.reset();
        assert_eq!(send_gate.may(0), Permit::Wait(None), "still one request at a time");
        let completion = Completion {
            now: s(1),
            started: s(0),
            wall: wall(1),
            jitter: 0.0,
            token_call: true,
            ..Completion::default()
        };
        send_gate.record_outcome(Operation::Token, 0, &outcome, &completion);
        assert_eq!((send_gate.may(1), send_gate.tokens.history.len()), (Permit::FetchToken, 1), "{outcome:?}");
        send_gate.ask(1, &token(86_400));
        assert_eq!(send_gate.may(1), Permit::Send(4));
    }
}

#[test]
fn the_reason_is_shown_until_a_token_works() {
    let mut send_gate = send_gate();
    let reason =
        |send_gate: &SendGate, second| send_gate.tokens.reason_not_usable(wall(second)).map(|trouble| trouble.class);
    assert_eq!(reason(&send_gate, 0), None);
    send_gate.ask(0, &rejected());
    assert_eq!((reason(&send_gate, 1), send_gate.tokens.works(wall(1))), (Some(ErrorClass::Credentials), false));
    assert_eq!(reason(&send_gate, PAUSE), None, "the next attempt decides");
    send_gate.ask(PAUSE, &throttled(Some(600)));
    assert_eq!(reason(&send_gate, PAUSE + 599), Some(ErrorClass::Throttled));
    send_gate.ask(PAUSE + 600, &token(3_600));
    assert!(reason(&send_gate, PAUSE + 601).is_none() && send_gate.tokens.works(wall(PAUSE + 601)));
    for second in [PAUSE + 700, PAUSE + 800] {
        send_gate.ask(second, &token(900));
    }
    assert_eq!(reason(&send_gate, PAUSE + 801), None, "the fifth token works");
    let capped = send_gate.tokens.reason_not_usable(wall(2 * PAUSE)).unwrap();
    assert_eq!((capped.class, capped.until), (ErrorClass::Throttled, wall(86_400)));
    send_gate.tokens.record_request(wall(86_400));
    assert_eq!(reason(&send_gate, 86_401), None, "a request is in flight");
}
