//! Property tests of the breaker: at most one probe while open, and never open for ever.

use std::time::Duration;

use guestly_sync::domain::breaker::{Breaker, BreakerState};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{config, pause};

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Start(u32),
    /// One of the calls in flight ends.
    Answer {
        which: usize,
        good: bool,
    },
    /// Waits until the next probe is due.
    Wait,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => pause().prop_map(Event::Pass),
        3 => (1_u32..20).prop_map(Event::Start),
        6 => (any::<usize>(), prop::bool::weighted(0.35)).prop_map(|(which, good)| Event::Answer { which, good }),
        2 => Just(Event::Wait),
    ]
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn an_open_breaker_never_permits_a_second_probe(events in vec(event(), 1..200), jitter in any::<f64>()) {
        let (mut breaker, mut now, mut flying) = (Breaker::new(), Duration::ZERO, Vec::<Duration>::new());
        for event in events {
            let before = breaker.clone();
            match event {
                Event::Pass(nanos) => now += Duration::from_nanos(nanos),
                Event::Wait => now += breaker.next_probe(now).unwrap_or_default(),
                Event::Start(wanted) => {
                    let n = breaker.permits(now, flying.len() as u32).min(wanted);
                    flying.extend((0..n).map(|_| now));
                    if breaker.state() == BreakerState::Open {
                        prop_assert!(n == 0 || flying.len() == 1, "a second probe");
                        prop_assert!(n == 0 || breaker.next_probe(now).is_none(), "a probe within the pause");
                    }
                    if breaker.state() == BreakerState::HalfOpen {
                        prop_assert!(n == 0 || flying.len() < 16, "a stampede");
                    }
                }
                Event::Answer { good, which } if !flying.is_empty() => {
                    let started = flying.swap_remove(which % flying.len());
                    if good { breaker.success(now) } else { breaker.failure_of(started, now, jitter) }
                }
                Event::Answer { .. } => {}
            }
            check_breaker(&before, &breaker, now)?;
        }
    }
}

fn check_breaker(before: &Breaker, after: &Breaker, now: Duration) -> Result<(), TestCaseError> {
    prop_assert_eq!(after.is_outage(), after.opened_at().is_some());
    prop_assert_eq!(after.is_outage(), after.state() != BreakerState::Closed);
    if before.is_outage() && after.is_outage() {
        prop_assert_eq!(before.opened_at(), after.opened_at(), "an outage has one beginning");
    }
    if let Some(wait) = after.next_probe(now) {
        prop_assert!(wait <= Duration::from_secs(75), "a pause is at most a minute and a quarter");
        prop_assert_eq!(after.permits(now, 0), 0);
        prop_assert_eq!(after.permits(now + wait, 0), 1, "never open for ever");
    }
    Ok(())
}
