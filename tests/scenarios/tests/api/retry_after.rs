//! `Retry-After` in every form: no call arrives before it is over, from any booking, before or after a restart.

use guestly_scenarios::{SOON, Site, StopMode};
use serde_json::{Value, json};
use std::process::Command;

/// A site whose first create is answered with a pause; one call at a time.
fn paused_by(effect: impl FnOnce() -> Value) -> (Site, Vec<String>) {
    let site = Site::open_with(|options| options.setting("guestly_sync.concurrency", "1"));
    let effect = effect();
    site.sim.fault(json!({"match": {"operation": "create", "nth": 1}, "effect": effect}));
    let ids = site.paid_bookings(4);
    site.sim.wait_for_calls("create", 1, SOON);
    (site, ids)
}

fn throttled(retry_after: &Value) -> (Site, Vec<String>) {
    paused_by(|| json!({"kind": "rate_limit", "retry_after": retry_after}))
}

/// An HTTP date so many seconds from now.
fn date_in(seconds: u32) -> String {
    let mut date = Command::new("date");
    date.env("LC_ALL", "C").args(["-u", "-d", &format!("+{seconds} seconds"), "+%a, %d %b %Y %H:%M:%S GMT"]);
    String::from_utf8_lossy(&date.output().unwrap_or_else(|error| panic!("{error}")).stdout).trim().to_owned()
}

/// Milliseconds from the end of the first create to the arrival of the next call.
fn pause(site: &Site) -> i64 {
    let mut calls = site.sim.call_log(None);
    calls.retain(|call| call["operation"] != "token");
    let micros = |call: &Value, name: &str| call[name].as_i64().unwrap_or_default();
    (micros(&calls[1], "wall_us") - micros(&calls[0], "wall_us") - micros(&calls[0], "duration_us")) / 1000
}

/// A pause of at least `floor` milliseconds that ends: no attempt used, everything synced.
fn assert_waited(site: &Site, ids: &[String], least: i64) {
    site.wait_all_synced(SOON);
    let waited = pause(site);
    assert!(waited >= least, "the next call came after {waited} ms instead of {least}");
    assert_eq!(site.sim.metrics()["calls_before_retry_after_ended"], 0);
    site.assert_once_each(ids);
}

/// Seconds until calls resume, according to the status view.
fn held_for(site: &Site) -> f64 {
    site.wait_for("the pause to be known", SOON, "SELECT held_until IS NOT NULL, 'null' FROM guestly.status");
    site.query_one("SELECT extract(epoch FROM held_until - clock_timestamp())::float8 FROM guestly.status")
}

#[test]
fn a_429_with_seconds_pauses_all_calls() {
    let (site, ids) = throttled(&json!("2"));
    assert_waited(&site, &ids, 2000);
    let first = site.query_one::<i32>("SELECT max(guestly_sync_attempts) FROM bookings");
    assert_eq!((first, site.sim.calls("create")), (1, 5));
    assert_eq!(site.sim.calls("search"), 0, "a 429 has no effect, so no lookup is needed");
}

#[test]
fn a_429_with_a_date_pauses_until_then() {
    let (site, ids) = paused_by(|| json!({"kind": "rate_limit", "retry_after": date_in(12)}));
    // The date has whole seconds, and some of the time goes by before the first call.
    assert_waited(&site, &ids, 1500);
    assert!(pause(&site) < 25_000, "a date that is not understood holds for thirty seconds");
}

#[test]
fn a_429_with_zero_or_less_pauses_briefly() {
    for text in ["0", "-5"] {
        let (site, ids) = throttled(&json!(text));
        assert_waited(&site, &ids, 1000);
    }
}

#[test]
fn a_429_without_a_time_pauses_for_the_default() {
    let (site, _) = throttled(&Value::Null);
    let held = held_for(&site);
    assert!((20.0..40.0).contains(&held), "{held} s");
    site.worker_took_a_turn();
    assert_eq!(site.sim.calls("create"), 1);
}

#[test]
fn retry_after_is_capped_at_one_hour() {
    let tomorrow = date_in(86_400);
    for text in ["86400", "99999999999999999999", &tomorrow] {
        let (site, _) = throttled(&json!(text));
        let held = held_for(&site);
        assert!((3500.0..3800.0).contains(&held), "{text}: {held} s");
        site.worker_took_a_turn();
        assert_eq!(site.sim.calls("create"), 1, "{text}");
    }
}

#[test]
fn an_invalid_retry_after_counts_as_none() {
    let (site, _) = throttled(&json!("soon"));
    let held = held_for(&site);
    assert!((20.0..40.0).contains(&held), "{held} s");
}

#[test]
fn a_503_with_retry_after_pauses_all_calls() {
    let (site, ids) = paused_by(|| json!({"kind": "status", "code": 503, "retry_after": "3", "committed": true}));
    assert_waited(&site, &ids, 3000);
    let (calls, throttled) = (site.sim.calls("create"), site.sim.calls("search"));
    assert!(calls == 4 && throttled >= 1, "{calls} creates and {throttled} look-ups");
}

#[test]
fn a_retry_after_pause_survives_restarts() {
    let (site, ids) = throttled(&json!("15"));
    held_for(&site);
    for mode in [StopMode::Fast, StopMode::Immediate] {
        site.stop(mode);
        site.start_again();
        site.wait_for_worker(&site);
    }
    assert_waited(&site, &ids, 15_000);
}
