//! Property tests of backoff and of the schedule of look-ups.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use guestly_sync::domain::retry::{Backoff, has_propagated, look_up_at};
use proptest::prelude::*;

use crate::{config, duration, instant};

fn attempt() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..200, any::<u32>()]
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn backoff_stays_in_its_bounds(base in duration(), max in duration(), attempt in attempt(), jitter in any::<f64>()) {
        let backoff = Backoff { base, max };
        let pause = backoff.delay(attempt, jitter, None);
        let doubled = 2_u32.checked_pow(attempt.saturating_sub(1)).map_or(max, |factor| base.saturating_mul(factor));
        prop_assert!(pause >= (base / 10).min(max));
        prop_assert!(pause <= max);
        prop_assert!(pause <= doubled.max(base));
    }

    #[test]
    fn backoff_is_never_below_its_floor(
        base in duration(), max in duration(), attempt in attempt(), jitter in any::<f64>(), a in duration(), b in duration(),
    ) {
        let backoff = Backoff { base, max };
        let (low, high) = (a.min(b), a.max(b));
        let delay = |floor| backoff.delay(attempt, jitter, floor);
        prop_assert!(delay(Some(low)) >= low);
        prop_assert!(delay(Some(low)) <= delay(Some(high)), "monotone in the floor");
        prop_assert!(delay(None) <= delay(Some(low)), "a floor only lengthens");
        let most = low.saturating_add(base).max(max);
        prop_assert!(delay(Some(low)) <= most);
    }

    #[test]
    fn backoff_grows_with_jitter_and_attempt(base in duration(), max in duration(), attempt in attempt(), a in 0.0..1.0, b in 0.0..1.0) {
        let backoff = Backoff { base, max };
        let (low, high) = (f64::min(a, b), f64::max(a, b));
        prop_assert!(backoff.delay(attempt, low, None) <= backoff.delay(attempt, high, None));
        prop_assert!(backoff.delay(attempt, a, None) <= backoff.delay(attempt.saturating_add(1), a, None));
    }

    #[test]
    fn look_ups_come_in_order_up_to_the_end_of_the_delay(
        since in instant(), delay in 0_u64..100_000_000, done in attempt(),
    ) {
        let delay = Duration::from_millis(delay);
        let at = look_up_at(since, done, delay);
        prop_assert!(at >= since);
        prop_assert!(at <= look_up_at(since, done.saturating_add(1), delay));
        prop_assert_eq!(has_propagated(since, look_up_at(since, 6, delay), delay), true);
        prop_assert_eq!(has_propagated(since, at, delay), done >= 6 || delay.is_zero());
        if done >= 6 && !delay.is_zero() {
            let step = look_up_at(since, done.saturating_add(1), delay) - at;
            prop_assert!(at == DateTime::<Utc>::MAX_UTC || done == u32::MAX || step > TimeDelta::zero(), "a pause of zero");
        }
    }

    #[test]
    fn no_delay_makes_look_ups_panic(since in any::<i64>(), delay in duration(), done in any::<u32>()) {
        let since = DateTime::from_timestamp_millis(since).unwrap_or(DateTime::<Utc>::MAX_UTC);
        prop_assert!(look_up_at(since, done, delay) >= since);
        prop_assert!(!has_propagated(since, since, delay) || delay < Duration::from_nanos(1) || since == DateTime::<Utc>::MAX_UTC);
    }
}
