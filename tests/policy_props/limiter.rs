//! Property tests of the rate limiter: no window is ever exceeded, and no call waits longer than necessary.

use std::collections::VecDeque;
use std::time::Duration;

use guestly_sync::domain::rate_limiter::RateLimiter;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::api::{Api, WINDOWS, every_window};
use crate::limiter_model::{Run, Step, api_limits, settings, step};
use crate::{config, pause};

/// Calls in any interval are at most capacity plus refill, for each limited window.
fn within_every_interval(calls: &[(u64, u32)], limits: [u32; 3], share: u32) -> Result<(), TestCaseError> {
    for i in (0..3).filter(|&i| limits[i] > 0) {
        let rate = (u128::from(limits[i]) * u128::from(share.min(100))).max(100);
        for (first, &(begin, _)) in calls.iter().enumerate() {
            let mut made = 0;
            for &(end, n) in &calls[first..] {
                made += u128::from(n);
                let allowed = rate * (WINDOWS[i] + u128::from(end - begin));
                prop_assert!(made * 100 * WINDOWS[i] <= allowed, "{made} calls in {} ns", end - begin);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn the_limiter_never_exceeds_any_window(limits in api_limits(), share in prop_oneof![0_u32..=100, Just(100), Just(u32::MAX)], steps in vec(step(), 1..80)) {
        let mut api = Api::new(limits, 0);
        let mut run = Run::new(settings(limits, share));
        for step in &steps {
            let (known, paused_until) = (run.calls.len(), run.paused_until);
            run.apply(step, &mut api)?;
            for &(at, n) in &run.calls[known..] {
                prop_assert!(api.serve(n, u128::from(at)), "429 after {step:?}");
                prop_assert!(at >= paused_until || matches!(step, Step::Restart { .. }), "called before Retry-After ended");
            }
        }
        within_every_interval(&run.calls, limits, share)?;
    }

    #[test]
    fn two_that_share_an_account_stay_within_it_together(share in 20_u32..=80, steps in vec((any::<bool>(), step()), 1..80)) {
        let limits = [15, 120, 5_000];
        let mut api = Api::new(limits, 0);
        let mut runs = [Run::new(settings(limits, share)), Run::new(settings(limits, 100 - share))];
        for (which, step) in &steps {
            let time = runs[0].time.max(runs[1].time);
            let run = &mut runs[usize::from(*which)];
            run.time = time;
            let known = run.calls.len();
            run.apply(step, &mut api)?;
            for &(at, n) in &run.calls[known..] {
                prop_assert!(api.serve(n, u128::from(at)), "429 after {step:?}");
            }
        }
    }

    #[test]
    fn a_backlog_uses_all_that_is_allowed(limit in 1_u32..200, window in 0_usize..3, share in 1_u32..=100, rounds in 1_u32..300) {
        let mut limits = [0; 3];
        limits[window] = limit;
        let mut run = Run::new(settings(limits, share));
        for _ in 0..rounds {
            run.greedy()?;
        }
        let made: u128 = run.calls.iter().map(|&(_, n)| u128::from(n)).sum();
        let rate = (u128::from(limit) * u128::from(share)).max(100);
        let allowed = rate * (WINDOWS[window] + u128::from(run.time)) / (100 * WINDOWS[window]);
        prop_assert_eq!(made, allowed);
    }

    #[test]
    fn answers_do_not_slow_a_lone_worker(share in 10_u32..=100, rounds in 100_u32..400, in_flight in 0_u32..16) {
        let limits = [15, 120, 5_000];
        let mut api = Api::new(limits, 0);
        let mut run = Run::new(settings(limits, share));
        for _ in 0..rounds {
            let known = run.calls.len();
            run.greedy()?;
            for &(at, n) in &run.calls[known..] {
                prop_assert!(api.serve(n, u128::from(at)));
            }
            let headers = api.headers(u128::from(run.time));
            run.learn(&headers, in_flight, 0)?;
        }
        let made: u128 = run.calls.iter().map(|&(_, n)| u128::from(n)).sum();
        let gained = (0..3).map(|i| u128::from(limits[i] * share) * u128::from(run.time) / (100 * WINDOWS[i]));
        // Rounding costs a call once, not with every answer; calls in flight cost none.
        prop_assert!(made + 2 >= gained.min().unwrap_or(0));
    }

    #[test]
    fn after_an_answer_our_calls_fit_beside_those_of_others(
        limit in 30_u32..500, others in 0_u32..60,
        (taken, uncounted) in (0_u32..30).prop_flat_map(|taken| (Just(taken), 0..=taken)),
    ) {
        let limits = [0, limit, 0];
        let (mut api, mut limiter) = (Api::new(limits, 0), RateLimiter::new(settings(limits, 100), Duration::ZERO));
        limiter.take(taken, Duration::ZERO);
        api.serve(taken - uncounted + others, 0);
        limiter.observe(&api.headers(0), uncounted, Duration::ZERO, Duration::ZERO);
        // So few calls of others look like ours in flight or like rounding, until a later answer.
        let unseen = if others <= uncounted + 1 { others } else { 0 };
        let permits = limiter.permits(Duration::ZERO);
        prop_assert!(
            permits == 0 || api.serve((uncounted + permits).saturating_sub(unseen), 0),
            "{permits} beside {uncounted} in flight"
        );
    }

    #[test]
    fn a_lone_worker_is_never_refused(
        limit in 1_u32..200, lower in 0_u32..100, share in 1_u32..=100, steps in vec((0_u8..4, pause()), 1..300),
    ) {
        // The API may allow less than is configured, though not less than what leaves before its first answer says so.
        let limits = [0, limit.saturating_sub(lower).max(limit.min(15)), 0];
        let (mut api, mut limiter) = (Api::new(limits, 0), RateLimiter::new(settings([0, limit, 0], share), Duration::ZERO));
        let (mut sent, mut counted, mut time) = (VecDeque::new(), VecDeque::new(), 0_u64);
        for (step, pause) in steps {
            let now = Duration::from_nanos(time);
            match step {
                0 if sent.len() + counted.len() < 15 && limiter.permits(now) > 0 => {
                    limiter.take(1, now);
                    sent.push_back(now);
                }
                1 => if let Some(started) = sent.pop_front() {
                    prop_assert!(api.serve(1, u128::from(time)), "a 429 after {} calls", sent.len());
                    counted.push_back((started, api.headers(u128::from(time))));
                },
                2 => if let Some((started, headers)) = counted.pop_front() {
                    limiter.observe(&headers, (sent.len() + counted.len()) as u32, now - started, now);
                },
                // Calls arrive without delay: a late count could come when our bucket is full again and the API's is not.
                _ if sent.is_empty() => time += pause,
                _ => {}
            }
        }
    }

    #[test]
    fn no_argument_makes_the_limiter_panic_or_overflow(
        limits in any::<[u32; 3]>(), share in any::<u32>(), nows in vec(any::<u64>(), 1..9),
        levels in any::<[f64; 3]>(), n in any::<u32>(), remaining in any::<Option<u32>>(), limit in any::<Option<u32>>(),
    ) {
        let mut limiter = RateLimiter::new(settings(limits, share), Duration::from_nanos(n.into()));
        for now in nows.into_iter().flat_map(|now| [Duration::from_nanos(now), Duration::from_secs(now)]) {
            limiter.restore(levels, now, now);
            limiter.take(n / 2, now);
            limiter.observe(&every_window(limit, remaining), n, now, now);
            limiter.pause_until(now);
            limiter.set_limits(settings([n, limits[0], limits[1]], share), now);
            let permits = limiter.permits(now);
            prop_assert_eq!(permits == 0, limiter.next_permit(now).is_some());
            for level in limiter.levels(now) {
                prop_assert!(level >= 0.0);
            }
        }
    }
}
