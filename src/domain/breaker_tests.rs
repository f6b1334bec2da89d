//! Unit tests of `breaker`: its states, pauses and probes.

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A breaker that opened at `at(0)` without jitter: a probe is due at 1 s.
fn open() -> Breaker {
    let mut breaker = Breaker::new();
    for _ in 0..5 {
        breaker.failure(at(0), 0.0);
    }
    breaker
}

/// The same, after a successful probe at 1 s.
fn half_open() -> Breaker {
    let mut breaker = open();
    breaker.success(at(1));
    breaker
}

#[test]
fn five_failures_in_a_row_open_it() {
    let mut breaker = Breaker::new();
    for _ in 0..4 {
        breaker.failure(at(0), 0.0);
    }
    breaker.success(at(0));
    for _ in 0..4 {
        breaker.failure(at(0), 0.0);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(breaker.permits(at(0), u32::MAX), u32::MAX);
    assert!(!breaker.is_outage());
    assert_eq!(breaker.opened_at(), None);
    breaker.failure_of(at(0), at(7), 0.0);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert!(breaker.is_outage());
    assert_eq!(breaker.opened_at(), Some(at(7)));
}

#[test]
fn a_probe_leaves_only_while_nothing_is_in_flight() {
    let breaker = open();
    assert_eq!(breaker.permits(Duration::from_millis(999), 0), 0);
    assert_eq!(breaker.next_probe(Duration::from_millis(400)), Some(Duration::from_millis(600)));
    assert_eq!(breaker.permits(at(1), 0), 1);
    assert_eq!(breaker.permits(at(1), 1), 0);
    assert_eq!(breaker.permits(at(1), u32::MAX), 0);
    assert_eq!(breaker.next_probe(at(1)), None);
}

#[test]
fn pauses_double_to_a_minute() {
    let mut breaker = open();
    let mut now = at(0);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let pause = breaker.next_probe(now).unwrap();
        pauses.push(pause.as_secs());
        now += pause;
        breaker.failure(now, 0.0);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(breaker.opened_at(), Some(at(0)), "one outage");
}

#[test]
fn jitter_adds_up_to_a_quarter() {
    for (jitter, millis) in [(0.0, 1_000), (0.5, 1_125), (1.0, 1_250), (f64::NAN, 1_250), (-9.0, 1_000), (9.0, 1_250)] {
        let mut breaker = Breaker::new();
        for _ in 0..5 {
            breaker.failure(at(0), jitter);
        }
        assert_eq!(breaker.next_probe(at(0)), Some(Duration::from_millis(millis)));
    }
}

#[test]
fn slow_failures_of_earlier_calls_do_not_lengthen_the_pause() {
    let mut breaker = open();
    let before = breaker.clone();
    for seconds in 0..30 {
        breaker.failure_of(at(0), at(seconds), 0.9);
    }
    assert_eq!(breaker, before, "they began before the pause ended");
    breaker.failure_of(at(30), at(31), 0.0);
    assert_eq!(breaker.next_probe(at(31)), Some(at(2)), "the probe");
}

#[test]
fn a_failure_of_unknown_begin_counts_once_the_pause_is_over() {
    let mut breaker = open();
    let before = breaker.clone();
    breaker.failure(Duration::from_millis(999), 0.0);
    assert_eq!(breaker, before);
    breaker.failure(at(1), 0.0);
    assert_eq!(breaker.next_probe(at(1)), Some(at(2)));
}

#[test]
fn a_success_ramps_up() {
    let mut breaker = half_open();
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(breaker.is_outage());
    let mut windows = Vec::new();
    while breaker.state() == BreakerState::HalfOpen {
        let window = breaker.permits(at(2), 0);
        windows.push(window);
        assert_eq!(breaker.permits(at(2), 1), window - 1);
        assert_eq!(breaker.permits(at(2), u32::MAX), 0);
        for _ in 0..window {
            breaker.success(at(2));
        }
    }
    assert_eq!(windows, [1, 2, 4, 8]);
    assert_eq!(breaker, Breaker::new());
}

#[test]
fn a_failure_on_the_way_doubles_the_pause() {
    let mut breaker = half_open();
    breaker.success(at(2));
    breaker.failure_of(at(2), at(3), 0.0);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(breaker.next_probe(at(3)), Some(at(2)));
    breaker.failure_of(at(2), at(4), 0.0);
    assert_eq!(breaker.next_probe(at(3)), Some(at(2)), "another call of the same ramp");
    assert_eq!(breaker.opened_at(), Some(at(0)));
}

#[test]
fn late_failures_do_not_open_it_again() {
    let mut breaker = open();
    breaker.success(Duration::from_millis(300));
    assert_eq!(breaker.permits(Duration::from_millis(300), 0), 1);
    breaker.failure_of(Duration::from_millis(200), at(9), 0.0);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    breaker.failure_of(Duration::from_millis(400), at(9), 0.0);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn a_later_outage_begins_with_the_first_pause() {
    let mut breaker = half_open();
    for _ in 0..15 {
        breaker.success(at(2));
    }
    for _ in 0..5 {
        breaker.failure(at(50), 0.0);
    }
    assert_eq!(breaker.next_probe(at(50)), Some(at(1)));
    assert_eq!(breaker.opened_at(), Some(at(50)));
}

#[test]
fn extreme_times_permit_nothing() {
    let mut breaker = open();
    assert_eq!(breaker.permits(Duration::ZERO, 0), 0);
    breaker.failure_of(at(5), at(60), 0.0);
    breaker.failure_of(at(62), Duration::ZERO, 0.0);
    assert_eq!(breaker.next_probe(at(60)), Some(at(2)), "not shortened");
    breaker.failure(Duration::MAX, 1.0);
    assert_eq!(breaker.permits(at(1_000), 0), 0);
    assert!(breaker.next_probe(Duration::ZERO).is_some());
    assert_eq!(breaker.next_probe(Duration::MAX), None);
}

#[test]
fn states_have_names() {
    let names = [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen].map(BreakerState::as_str);
    assert_eq!(names, ["closed", "open", "half-open"]);
}
