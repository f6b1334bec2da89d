//! Unit tests of `lane::token_gate`: fetching, renewing, rejections, the cap.

use super::super::Go;
use super::super::tests::*;
use super::*;
use crate::domain::outcome::Operation::{Create, LookUp, ReadBack};

const PAUSE: u64 = 24 * 3600 / 5;

/// The good token of `ready` was rejected, and another one came.
fn refreshed() -> Lane {
    let mut lane = ready();
    lane.call(100, Create, &created());
    lane.call(100, Create, &rejected());
    lane.ask(100, &token(86_400));
    lane
}

#[test]
fn one_request_at_a_time_brings_the_first_token() {
    let mut lane = lane();
    assert_eq!(lane.may(0), Go::FetchToken);
    lane.token_requested(wall(0));
    assert_eq!(lane.may(0), Go::Wait(None), "one is under way");
    assert!(!lane.should_renew(wall(0)));
    lane.ask(0, &token(86_400));
    assert_eq!(lane.may(0), Go::Send(4));
    let kept = lane.token.clone().unwrap();
    assert_eq!((kept.value.reveal(), kept.fetched_at, kept.expires_at), ("token", wall(0), wall(86_400)));
    assert!(!lane.token_is_new(), "nothing was rejected before it");
}

#[test]
fn it_is_renewed_early_and_not_used_at_the_last_moment() {
    let mut lane = ready();
    let renewal = 86_400 - 45 * 60;
    assert!(!lane.should_renew(wall(renewal)));
    assert!(lane.should_renew(wall(renewal + 1)));
    assert_eq!(lane.may(renewal + 1), Go::Send(4), "while calls go on");
    assert_eq!(lane.may(86_400 - 60), Go::FetchToken, "too near its end");
    lane.token_requested(wall(renewal + 1));
    assert!(!lane.should_renew(wall(renewal + 1)), "under way");
    lane.ask(renewal + 1, &token(86_400));
    assert!(!lane.should_renew(wall(renewal + 1)) && !lane.token_is_new());
}

#[test]
fn a_good_token_that_is_rejected_is_replaced_once() {
    for operation in [Create, LookUp] {
        let mut lane = ready();
        lane.call(100, operation, &rejected());
        assert_eq!(lane.may(100), Go::FetchToken, "{operation:?}");
        assert!(!lane.token_is_new() && lane.blocked.is_none());
        lane.ask(100, &token(86_400));
        assert!(lane.token_is_new());
        assert_eq!(lane.may(100), Go::Send(4));
    }
}

#[test]
fn a_new_token_rejected_by_creates_is_kept_until_a_look_up_decides() {
    let mut lane = refreshed();
    let generation = lane.generation;
    assert!(lane.token_was_new(Create, generation), "so the rejection may be about the booking");
    assert!(!lane.token_was_new(LookUp, generation), "no create was rejected with it yet");
    (0..9).for_each(|_| lane.call(100, Create, &rejected()));
    assert_eq!((lane.may(100), lane.generation), (Go::Send(4), generation), "no token was burnt");
    assert!(lane.token_was_new(LookUp, generation), "so an answer means that it was about the booking");
    lane.call(100, LookUp, &Outcome::Found(vec![]));
    lane.call(100, Create, &created());
    (0..9).for_each(|_| lane.call(100, Create, &rejected()));
    assert_eq!((lane.may(100), lane.history.len()), (Go::Send(4), 2), "nor by a booking that others overtook");
}

#[test]
fn a_new_token_that_look_ups_reject_blocks_and_one_that_they_accepted_is_replaced() {
    let mut lane = refreshed();
    lane.call(200, Create, &rejected());
    lane.call(200, LookUp, &rejected());
    let blocked = lane.blocked.clone().unwrap();
    assert_eq!((blocked.sentence.as_str(), blocked.since, blocked.until), ("said", wall(200), wall(200 + PAUSE)));
    assert_eq!(lane.may(200), Go::Wait(Some(s(PAUSE))));
    lane.ask(200 + PAUSE, &token(86_400));
    assert_eq!((lane.may(200 + PAUSE), lane.blocked.clone()), (Go::Send(4), None), "the next one is given its chance");
    let mut lane = refreshed();
    lane.call(200, LookUp, &Outcome::Found(vec![]));
    lane.call(300, Create, &rejected());
    lane.call(300, LookUp, &rejected());
    assert_eq!((lane.may(300), lane.blocked.clone()), (Go::FetchToken, None), "it was good for a while");
    lane.ask(300, &token(86_400));
    assert!(!lane.token_was_new(LookUp, lane.generation), "no create was rejected with the third");
}

#[test]
fn a_new_token_that_reads_of_one_reservation_reject_is_proven_by_a_look_up() {
    for (found, blocked) in [(Outcome::Found(vec![]), false), (rejected(), true)] {
        let mut lane = refreshed();
        assert!(lane.token_was_new(ReadBack, lane.generation) && !lane.wants_proof());
        lane.call(200, ReadBack, &rejected());
        assert_eq!((lane.may(200), lane.blocked.clone()), (Go::Send(4), None), "others are called meanwhile");
        assert!(lane.wants_proof() && !lane.wants_proof(), "once");
        lane.call(200, LookUp, &found);
        assert_eq!(lane.blocked.is_some(), blocked);
        if !blocked {
            (0..9).for_each(|_| lane.call(201, ReadBack, &rejected()));
            assert!(!lane.wants_proof(), "it is the booking");
            assert_eq!((lane.may(201), lane.history.len()), (Go::Send(4), 2), "no token was burnt");
        }
    }
}

#[test]
fn refused_credentials_are_tried_once_per_pause() {
    let mut lane = lane();
    let mut asked = vec![];
    for minute in 0..3 * 24 * 60 {
        if lane.may(minute * 60) == Go::FetchToken {
            asked.push(minute * 60);
            lane.ask(minute * 60, &rejected());
        }
    }
    assert_eq!(asked, (0..15).map(|n| n * PAUSE).collect::<Vec<_>>());
    lane.credentials_changed();
    assert_eq!((lane.may(14 * PAUSE + 1), lane.blocked.clone()), (Go::Wait(Some(s(PAUSE - 1))), None), "the cap stays");
    lane.history.clear();
    assert_eq!(lane.may(14 * PAUSE + 1), Go::FetchToken, "new credentials have their own history");
}

#[test]
fn new_credentials_begin_with_a_clean_slate() {
    let mut lane = refreshed();
    let old = lane.generation;
    lane.ask(100, &unavailable(None));
    lane.credentials_changed();
    assert_eq!((lane.may(101), lane.token_wait(wall(100))), (Go::FetchToken, None));
    lane.ask(101, &unavailable(None));
    assert_eq!(lane.token_wait(wall(101)), Some(s(1)), "the first pause again");
    lane.ask(102, &token(86_400));
    assert!(!lane.token_is_new() && lane.generation > old + 1, "calls with the old ones say nothing");
}

#[test]
fn a_refused_renewal_stops_no_calls_and_calls_do_not_repeat_it() {
    let mut lane = ready();
    let late = 86_400 - 3_000;
    lane.ask(late, &rejected());
    assert_eq!(lane.may(late), Go::Send(4));
    lane.call(late, Create, &created());
    assert!(lane.blocked.is_some() && !lane.should_renew(wall(late + 1_000)));
}

#[test]
fn five_tokens_in_a_day_and_no_more() {
    let mut lane = lane();
    for hour in 0..5 {
        assert_eq!(lane.may(hour * 3_600), Go::FetchToken);
        lane.ask(hour * 3_600, &token(3_600));
    }
    assert_eq!(lane.may(5 * 3_600), Go::Wait(Some(s(19 * 3_600))));
    assert!(!lane.should_renew(wall(5 * 3_600)));
    assert_eq!(lane.may(24 * 3_600), Go::FetchToken);
    lane.ask(24 * 3_600, &token(3_600));
    assert_eq!(lane.history.len(), 5, "what is a day old is forgotten");
}

#[test]
fn a_capped_request_waits_for_the_time_given_and_holds_no_calls() {
    for (retry_after, wait) in [(Some(600), 600), (None, 3_600), (Some(0), 60)] {
        let mut lane = lane();
        lane.ask(0, &throttled(retry_after));
        assert_eq!(lane.may(0), Go::Wait(Some(s(wait))), "{retry_after:?}");
        assert_eq!(lane.may(wait), Go::FetchToken);
    }
    let mut lane = ready();
    lane.ask(86_400 - 2_000, &throttled(Some(600)));
    assert_eq!(lane.may(86_400 - 2_000), Go::Send(4), "the old token is still good");
}

#[test]
fn requests_without_a_token_use_none_up_and_are_repeated_ever_later() {
    for outcome in [not_sent(), unavailable(None)] {
        let (mut lane, mut now) = (lane(), 0);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60] {
            lane.ask(now, &outcome);
            // Another API's calls keep the breaker out of this.
            lane.breaker = Default::default();
            assert_eq!(lane.may(now), Go::Wait(Some(s(pause))), "{outcome:?}");
            now += pause;
        }
        assert_eq!((lane.may(now), lane.history.len()), (Go::FetchToken, 0));
        lane.ask(now, &token(86_400));
        lane.ask(now, &outcome);
        assert_eq!(lane.token_wait(wall(now)), Some(s(1)), "a token ends the row");
    }
}

#[test]
fn a_lost_answer_may_have_been_a_token() {
    let (mut lane, mut now) = (lane(), 0);
    for pause in [60, 240, 960, 3_840] {
        lane.ask(now, &lost());
        lane.breaker = Default::default();
        assert_eq!(lane.may(now), Go::Wait(Some(s(pause))));
        now += pause;
    }
    lane.ask(now, &lost());
    assert_eq!(lane.token_wait(wall(now)), Some(s(86_400 - now)), "the fifth of the day");
}

#[test]
fn a_late_rejection_says_nothing_about_the_next_token() {
    for operation in [Create, LookUp] {
        let mut lane = ready();
        let old = lane.generation;
        let instant =
            Instant { now: s(1), started: s(0), wall: wall(1), jitter: 0.0, token_call: false, ..Instant::default() };
        lane.call(0, operation, &rejected());
        // The other three of four calls in flight; then one more when the next token is there.
        for _ in 0..3 {
            assert!(!lane.token_was_new(operation, old));
            lane.came_back(operation, old, &rejected(), &instant);
        }
        assert_eq!((lane.may(1), lane.blocked.clone()), (Go::FetchToken, None), "{operation:?}");
        lane.ask(1, &token(86_400));
        assert!(!lane.token_was_new(operation, old));
        lane.came_back(operation, old, &rejected(), &instant);
        lane.came_back(Create, old, &created(), &instant);
        assert!(lane.token.is_some() && lane.blocked.is_none() && !lane.create_rejected && !lane.proven);
    }
}

#[test]
fn a_renewed_token_is_no_new_one() {
    let mut lane = refreshed();
    lane.ask(80_000, &token(86_400));
    assert!(!lane.token_is_new());
    lane.call(80_000, LookUp, &rejected());
    assert_eq!((lane.may(80_000), lane.blocked.clone()), (Go::FetchToken, None), "one refresh, as for any other");
}

#[test]
fn a_token_of_the_old_credentials_is_thrown_away() {
    for outcome in [token(86_400), rejected(), throttled(None), not_sent(), lost()] {
        let mut lane = lane();
        lane.token_requested(wall(0));
        lane.credentials_changed();
        assert_eq!(lane.may(0), Go::Wait(None), "still one request at a time");
        let instant =
            Instant { now: s(1), started: s(0), wall: wall(1), jitter: 0.0, token_call: true, ..Instant::default() };
        lane.came_back(Operation::Token, 0, &outcome, &instant);
        assert_eq!((lane.may(1), lane.history.len()), (Go::FetchToken, 1), "{outcome:?}");
        lane.ask(1, &token(86_400));
        assert_eq!(lane.may(1), Go::Send(4));
    }
}

#[test]
fn trouble_is_told_with_its_reason_until_a_token_works() {
    let mut lane = lane();
    let reason = |lane: &Lane, second| lane.token_trouble(wall(second)).map(|trouble| trouble.class);
    assert_eq!(reason(&lane, 0), None);
    lane.ask(0, &rejected());
    assert_eq!((reason(&lane, 1), lane.is_token_fine(wall(1))), (Some(ErrorClass::Credentials), false));
    assert_eq!(reason(&lane, PAUSE), None, "the next try decides");
    lane.ask(PAUSE, &throttled(Some(600)));
    assert_eq!(reason(&lane, PAUSE + 599), Some(ErrorClass::Throttled));
    lane.ask(PAUSE + 600, &token(3_600));
    assert!(reason(&lane, PAUSE + 601).is_none() && lane.is_token_fine(wall(PAUSE + 601)));
    for second in [PAUSE + 700, PAUSE + 800] {
        lane.ask(second, &token(900));
    }
    assert_eq!(reason(&lane, PAUSE + 801), None, "the fifth token works");
    let capped = lane.token_trouble(wall(2 * PAUSE)).unwrap();
    assert_eq!((capped.class, capped.until), (ErrorClass::Throttled, wall(86_400)));
    lane.token_requested(wall(86_400));
    assert_eq!(reason(&lane, 86_401), None, "one is under way");
}
