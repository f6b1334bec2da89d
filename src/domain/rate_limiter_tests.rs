//! Unit tests of `rate_limiter`. Arbitrary arrival patterns are in `tests/policy_props/`.

use super::*;
use crate::domain::outcome::Window;

const START: Duration = Duration::from_secs(100);
/// For an answer that came at once, so that nothing was refilled.
const NO_TIME: Duration = Duration::ZERO;

fn after(millis: u64) -> Duration {
    START + Duration::from_millis(millis)
}

fn limits(per_second: u32, per_minute: u32, per_hour: u32, share_percent: u32) -> Limits {
    Limits { per_second, per_minute, per_hour, share_percent }
}

fn remaining(remaining: u32) -> RateLimitHeaders {
    let window = Window { limit: None, remaining: Some(remaining) };
    RateLimitHeaders { second: window, minute: window, hour: window }
}

fn limit(limit: u32) -> RateLimitHeaders {
    let window = Window { limit: Some(limit), remaining: None };
    RateLimitHeaders { second: window, ..RateLimitHeaders::default() }
}

#[test]
fn a_full_bucket_has_the_share_of_the_limit() {
    let mut limiter = RateLimiter::new(limits(10, 0, 0, 50), START);
    assert_eq!(limiter.permits(START), 5);
    assert_eq!(limiter.next_permit(START), None);
    limiter.take(5, START);
    assert_eq!(limiter.permits(START), 0);
    assert_eq!(limiter.next_permit(START), Some(Duration::from_millis(200)));
    assert_eq!(limiter.permits(after(199)), 0);
    assert_eq!(limiter.permits(after(200)), 1);
    assert_eq!(limiter.permits(after(999_999)), 5, "never more than its size");
}

#[test]
fn the_tightest_window_decides() {
    let mut limiter = RateLimiter::new(limits(15, 120, 5_000, 100), START);
    let mut taken = 0;
    for second in 0..60 {
        let n = limiter.permits(after(second * 1_000));
        limiter.take(n, after(second * 1_000));
        taken += n;
    }
    // A burst of 120 within the limit per second, then 2 per second; the hour would allow 1.4 per second.
    assert_eq!(taken, 120 + 59 * 2);
}

#[test]
fn zero_means_no_limit() {
    let mut limiter = RateLimiter::new(limits(0, 0, 0, 70), START);
    limiter.take(u32::MAX, START);
    limiter.observe(&remaining(0), u32::MAX, NO_TIME, START);
    limiter.observe(&limit(1), 0, NO_TIME, START);
    assert_eq!(limiter.permits(START), u32::MAX);
    assert_eq!(limiter.next_permit(START), None);
    assert_eq!(limiter.levels(START), [f64::INFINITY; 3]);
}

#[test]
fn each_window_allows_one_call_however_small_the_share() {
    let mut limiter = RateLimiter::new(limits(15, 0, 0, u32::MAX), START);
    assert_eq!(limiter.permits(START), 15);
    for share in [0, 1] {
        let mut limiter = RateLimiter::new(limits(15, 0, 0, share), START);
        assert_eq!(limiter.permits(START), 1);
        limiter.take(1, START);
        assert_eq!(limiter.next_permit(START), Some(Duration::from_secs(1)));
    }
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let mut limiter = RateLimiter::new(limits(u32::MAX, u32::MAX, u32::MAX, u32::MAX), Duration::ZERO);
    assert_eq!(limiter.permits(Duration::ZERO), u32::MAX);
    limiter.take(u32::MAX, Duration::ZERO);
    assert_eq!(limiter.permits(Duration::ZERO), 0);
    let levels = limiter.levels(Duration::MAX);
    assert_eq!(levels, [f64::from(u32::MAX); 3]);
    for number in [u32::MAX, 0] {
        limiter.observe(&remaining(number), u32::MAX, Duration::MAX, Duration::MAX);
    }
    limiter.restore(levels, Duration::MAX, Duration::MAX);
    assert_eq!(limiter.permits(Duration::MAX), 0);
    limiter.pause_until(Duration::MAX);
    assert_eq!(limiter.paused_until(), None, "the pause is over");
    assert!(limiter.next_permit(Duration::MAX).is_some());
}

#[test]
fn taking_more_than_allowed_leaves_no_debt() {
    let mut limiter = RateLimiter::new(limits(10, 0, 0, 100), START);
    limiter.take(u32::MAX, START);
    assert_eq!(limiter.permits(after(100)), 1);
}

#[test]
fn time_that_goes_back_gives_nothing() {
    let mut limiter = RateLimiter::new(limits(10, 0, 0, 100), START);
    limiter.take(10, START);
    for _ in 0..5 {
        assert_eq!(limiter.permits(Duration::ZERO), 0);
        assert_eq!(limiter.next_permit(Duration::ZERO), Some(after(100)));
        assert_eq!(limiter.permits(START), 0, "a clock that returns refills nothing");
    }
    assert_eq!(limiter.permits(after(100)), 1);
}

#[test]
fn headers_lower_the_level_to_our_share_of_what_remains() {
    let mut limiter = RateLimiter::new(limits(15, 120, 5_000, 70), START);
    limiter.observe(&remaining(5), 0, NO_TIME, START);
    assert_eq!(limiter.levels(START), [3.5; 3]);
    limiter.observe(&remaining(3), 1, NO_TIME, START);
    assert_eq!(limiter.permits(START), 1, "2.1 of 3, one of them in flight");
    limiter.observe(&remaining(1_000), 0, NO_TIME, START);
    assert_eq!(limiter.permits(START), 1, "never raised");
    limiter.observe(&remaining(0), u32::MAX, NO_TIME, START);
    assert_eq!(limiter.permits(START), 0);
    limiter.observe(&RateLimitHeaders::default(), 15, NO_TIME, START);
    assert_eq!(limiter.permits(after(60_000)), 10, "without headers nothing changes");
}

#[test]
fn calls_in_flight_are_counted_once() {
    let mut limiter = RateLimiter::new(limits(0, 120, 0, 100), START);
    limiter.take(20, START);
    // The API has counted all 20; 19 answers are still to come.
    limiter.observe(&remaining(100), 19, NO_TIME, START);
    assert_eq!(limiter.permits(START), 100);
    // It counted a second ago, 2 calls were refilled since, and it rounds to whole calls: our own calls explain 97.
    limiter.observe(&remaining(97), 19, Duration::from_secs(1), START);
    assert_eq!(limiter.permits(START), 97);
    // Our own calls would explain 94 but not 93: another client has made a call.
    limiter.observe(&remaining(93), 19, Duration::from_secs(1), START);
    assert_eq!(limiter.permits(START), 74);
}

#[test]
fn a_lower_limit_or_a_429_deducts_calls_in_flight() {
    let named = |limit, remaining| {
        let minute = Window { limit: Some(limit), remaining: Some(remaining) };
        RateLimitHeaders { minute, ..RateLimitHeaders::default() }
    };
    let mut limiter = RateLimiter::new(limits(0, 120, 0, 100), START);
    limiter.take(15, START);
    // Half of the configured limit. Any of our counts would explain 59 of the 105 left.
    limiter.observe(&named(60, 59), 14, NO_TIME, START);
    assert_eq!(limiter.permits(START), 45);
    let mut limiter = RateLimiter::new(limits(0, 120, 0, 100), START);
    limiter.take(15, START);
    limiter.pause_until(after(1_000));
    limiter.observe(&named(120, 119), 14, NO_TIME, after(1_000));
    assert_eq!(limiter.permits(after(1_000)), 105, "refused although it had counted none of the 14");
    limiter.observe(&named(120, 100), 5, NO_TIME, after(1_000));
    assert_eq!(limiter.permits(after(1_000)), 95, "still lowered while calls are in flight");
    limiter.all_answered();
    limiter.observe(&named(120, 95), 5, NO_TIME, after(1_000));
    assert_eq!(limiter.permits(after(1_000)), 95, "without calls in flight our count is exact");
}

#[test]
fn a_lower_limit_counts_until_the_api_names_another() {
    let mut limiter = RateLimiter::new(limits(10, 0, 0, 100), START);
    limiter.observe(&limit(4), 0, NO_TIME, START);
    assert_eq!(limiter.permits(START), 4);
    limiter.observe(&remaining(9), 0, NO_TIME, START);
    assert_eq!(limiter.permits(after(9_000)), 4, "a limit that is not repeated still applies");
    limiter.observe(&limit(0), 0, NO_TIME, after(9_000));
    assert_eq!(limiter.permits(after(9_000)), 4, "a limit of 0 is ignored");
    limiter.observe(&limit(500), 0, NO_TIME, after(9_000));
    assert_eq!(limiter.permits(after(9_000)), 4, "a larger limit adds no permits at once");
    assert_eq!(limiter.permits(after(19_000)), 10, "never above the settings");
}

#[test]
fn a_pause_only_extends() {
    let mut limiter = RateLimiter::new(limits(10, 0, 0, 100), START);
    limiter.pause_until(after(2_000));
    limiter.pause_until(after(1_000));
    limiter.pause_until(Duration::ZERO);
    assert_eq!(limiter.paused_until(), Some(after(2_000)));
    assert_eq!(limiter.permits(after(1_999)), 0);
    assert_eq!(limiter.next_permit(after(500)), Some(Duration::from_millis(1_500)));
    assert_eq!(limiter.permits(after(2_000)), 10);
    assert_eq!(limiter.paused_until(), None);
}

#[test]
fn the_later_of_pause_and_refill_decides() {
    let mut limiter = RateLimiter::new(limits(1, 0, 0, 100), START);
    limiter.take(1, START);
    limiter.pause_until(after(400));
    assert_eq!(limiter.next_permit(START), Some(Duration::from_secs(1)));
    limiter.pause_until(after(4_000));
    assert_eq!(limiter.next_permit(START), Some(Duration::from_secs(4)));
}

#[test]
fn changed_limits_keep_what_was_used() {
    let mut limiter = RateLimiter::new(limits(10, 0, 0, 100), START);
    limiter.take(8, START);
    limiter.set_limits(limits(100, 0, 0, 100), START);
    assert_eq!(limiter.permits(START), 2);
    limiter.set_limits(limits(1, 7, 0, 100), START);
    assert_eq!(limiter.levels(START)[..2], [1.0, 7.0], "cut; the new window is full");
    limiter.set_limits(limits(0, 0, 0, 100), START);
    assert_eq!(limiter.permits(START), u32::MAX);
}

#[test]
fn a_restart_takes_up_where_it_was() {
    let mut before = RateLimiter::new(limits(10, 60, 3_600, 100), START);
    before.take(10, START);
    let saved = before.levels(START);
    assert_eq!(saved, [0.0, 50.0, 3_590.0]);
    let mut limiter = RateLimiter::new(limits(10, 60, 3_600, 100), Duration::ZERO);
    limiter.restore(saved, Duration::from_secs(5), Duration::ZERO);
    assert_eq!(limiter.levels(Duration::ZERO), [10.0, 55.0, 3_595.0]);
    limiter.restore([100.0, 100.0, 1e300], Duration::MAX, Duration::ZERO);
    assert_eq!(limiter.levels(Duration::ZERO), [10.0, 55.0, 3_595.0], "lowers only");
}

#[test]
fn invalid_saved_levels_are_clamped() {
    let fresh = || RateLimiter::new(limits(10, 60, 3_600, 100), START);
    let mut limiter = fresh();
    limiter.restore([f64::NAN, -3.0, f64::NEG_INFINITY], Duration::ZERO, START);
    assert_eq!(limiter.levels(START), [0.0; 3]);
    let mut limiter = fresh();
    limiter.restore([f64::INFINITY; 3], Duration::ZERO, START);
    assert_eq!(limiter.levels(START), [10.0, 60.0, 3_600.0]);
    let mut limiter = fresh();
    limiter.restore([f64::NAN; 3], Duration::MAX, START);
    assert_eq!(limiter.levels(START), [10.0, 60.0, 3_600.0], "long ago");
}
