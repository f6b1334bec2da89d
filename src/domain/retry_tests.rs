//! Unit tests of `retry`: backoff, floors and the schedule of look-ups.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn backoff() -> Backoff {
    Backoff { base: SECOND, max: Duration::from_secs(300) }
}

fn after(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

#[test]
fn the_range_doubles_up_to_the_limit() {
    let longest: Vec<u64> = (1..=11).map(|n| backoff().delay(n, 1.0, None).as_secs()).collect();
    assert_eq!(longest, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
}

#[test]
fn a_pause_is_never_less_than_a_tenth_of_the_base() {
    for attempt in [0, 1, 2, 8, u32::MAX] {
        assert_eq!(backoff().delay(attempt, 0.0, None), Duration::from_millis(100));
    }
}

#[test]
fn extreme_attempts_reach_the_limit() {
    for base in [Duration::from_nanos(1), SECOND, Duration::MAX] {
        for max in [Duration::ZERO, SECOND, Duration::MAX] {
            for attempt in [33, 64, 95, 128, 129, u32::MAX] {
                let pause = Backoff { base, max }.delay(attempt, 1.0, Some(Duration::MAX));
                assert_eq!(pause, Duration::MAX);
            }
            let pause = Backoff { base, max }.delay(u32::MAX, 1.0, None);
            assert_eq!(pause, max);
        }
    }
}

#[test]
fn a_base_above_the_limit_is_cut() {
    let backoff = Backoff { base: Duration::from_secs(100), max: SECOND };
    assert_eq!(backoff.delay(1, 1.0, None), SECOND);
    assert_eq!(backoff.delay(1, 0.0, None), SECOND, "a tenth of the base is above the limit");
}

#[test]
fn no_base_means_no_pause_but_a_floor_still_holds() {
    let backoff = Backoff { base: Duration::ZERO, max: SECOND };
    for attempt in [1, 40, 200, u32::MAX] {
        assert_eq!(backoff.delay(attempt, 0.9, None), Duration::ZERO);
        assert_eq!(backoff.delay(attempt, 0.9, Some(SECOND)), SECOND);
    }
}

#[test]
fn a_floor_only_lengthens_a_pause() {
    let floor = Some(Duration::from_secs(60));
    assert_eq!(backoff().delay(1, 0.0, floor), Duration::from_secs(60));
    assert_eq!(backoff().delay(1, 0.5, floor), Duration::from_millis(60_500));
    assert_eq!(backoff().delay(9, 1.0, floor), Duration::from_secs(256));
    assert_eq!(backoff().delay(9, 1.0, Some(Duration::ZERO)), backoff().delay(9, 1.0, None));
}

#[test]
fn bad_jitter_is_clamped() {
    let longest = backoff().delay(3, 1.0, None);
    assert_eq!(backoff().delay(3, f64::NAN, None), longest);
    assert_eq!(backoff().delay(3, f64::INFINITY, None), longest);
    assert_eq!(backoff().delay(3, 7.0, None), longest);
    assert_eq!(backoff().delay(3, -7.0, None), backoff().delay(3, 0.0, None));
}

#[test]
fn look_ups_continue_after_the_delay() {
    let delay = Duration::from_secs(90);
    let times: Vec<i64> = (0..10).map(|n| look_up_at(after(0), n, delay).timestamp()).collect();
    assert_eq!(times, [2, 5, 10, 20, 40, 60, 90, 120, 150, 180]);
}

#[test]
fn look_ups_scale_with_the_delay() {
    let at = |n| look_up_at(after(0), n, Duration::from_millis(900)).timestamp_millis();
    assert_eq!([at(0), at(1), at(6), at(7), at(8)], [20, 50, 900, 1200, 1500]);
    let at = |n| look_up_at(after(0), n, Duration::from_secs(180)).timestamp();
    assert_eq!([at(0), at(6), at(7)], [4, 180, 240]);
}

#[test]
fn extreme_windows_do_not_panic() {
    for done in [0, 6, 7, u32::MAX] {
        assert_eq!(look_up_at(after(5), done, Duration::ZERO), after(5));
        let end = look_up_at(DateTime::<Utc>::MAX_UTC, done, Duration::MAX);
        assert_eq!(end, DateTime::<Utc>::MAX_UTC);
        assert_eq!(look_up_at(after(5), done, Duration::MAX), DateTime::<Utc>::MAX_UTC);
    }
    assert!(look_up_at(DateTime::<Utc>::MIN_UTC, u32::MAX, SECOND) > DateTime::<Utc>::MIN_UTC);
}

#[test]
fn the_delay_ends_at_its_last_instant() {
    let delay = Duration::from_secs(90);
    assert!(!has_propagated(after(0), after(0), delay));
    assert!(!has_propagated(after(0), after(90) - TimeDelta::nanoseconds(1), delay));
    assert!(has_propagated(after(0), after(90), delay));
    assert!(has_propagated(after(0), after(0), Duration::ZERO));
    assert!(!has_propagated(after(3600), after(0), Duration::ZERO), "the clock went back");
    assert!(!has_propagated(after(0), after(90), Duration::MAX));
}
