//! Waiting for a condition instead of for a time. Called by the tests and by the rest of the support, on the test's thread.

use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// Calls `look` every 20 ms until it gives `true`, and gives the time that took. Its text is the state to report.
///
/// # Panics
/// After `timeout`, with `what` and the last state.
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

/// Lets time pass: only for measurements of idleness, and for events that must not happen and have no condition to wait for.
pub fn pass(span: Duration) {
    let began = Instant::now();
    wait_until("time to pass", span * 10, || (began.elapsed() >= span, String::new()));
}
