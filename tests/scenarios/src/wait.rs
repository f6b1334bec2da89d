//! Waiting for a condition instead of for a time. Called by the tests and by the rest of the support, on the test's
//! thread. Must not know what is waited for: neither servers nor the simulator.

use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// Looks every 20 ms until `look` answers `true`, and gives the time that took. `look` also tells what it saw.
///
/// # Panics
/// After `timeout`, with `what` and the last value seen.
#[track_caller]
pub fn wait_until(what: &str, timeout: Duration, mut look: impl FnMut() -> (bool, String)) -> Duration {
    let began = Instant::now();
    loop {
        let (done, seen) = look();
        if done {
            return began.elapsed();
        }
        assert!(began.elapsed() < timeout, "waited {timeout:?} for {what}; last seen: {seen}");
        thread::sleep(PAUSE);
    }
}

/// Lets a span of time pass: for measurements of idleness, and of what must not happen though nothing would tell when it
/// had. Everything else waits for a condition.
pub fn pass(span: Duration) {
    let began = Instant::now();
    wait_until("time to pass", span * 10, || (began.elapsed() >= span, String::new()));
}
