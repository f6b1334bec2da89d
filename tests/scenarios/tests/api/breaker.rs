//! The circuit breaker: during an outage, or with wrong credentials, Guestly gets one probe at a time with growing pauses,
//! no booking uses an attempt, and calls resume gradually.

use guestly_scenarios::{CLOSED_PORT, SOON, Site, StopMode, wait_until};
use serde_json::json;

fn breaker_is(site: &Site, state: &str) {
    site.wait_for(
        &format!("the breaker to be {state}"),
        SOON,
        &format!("SELECT breaker = '{state}', breaker FROM guestly.status"),
    );
}

/// Seconds between the starts of the last calls in the log, oldest first.
fn pauses(site: &Site, outcome: &str) -> Vec<f64> {
    site.query_all(&format!(
        "SELECT extract(epoch FROM started_at - lag(started_at) OVER (ORDER BY started_at))::float8 \
         FROM guestly.attempts WHERE outcome = '{outcome}' ORDER BY started_at OFFSET 1"
    ))
}

#[test]
fn refused_connections_open_the_breaker() {
    let site = Site::open_with(|options| options.setting("guestly_sync.base_url", &format!("http://{CLOSED_PORT}/v1")));
    let ids = site.paid_bookings(30);
    breaker_is(&site, "open");
    let used = "SELECT coalesce(sum(attempts), 0)::bigint FROM guestly.queue";
    let before = site.query_one::<i64>(used);
    assert!(before <= 8, "{before} attempts until it opened");
    let tries = "SELECT count(*) FROM guestly.attempts WHERE outcome = 'not_sent'";
    let opened: i64 = site.query_one(tries);
    site.wait_for("three probes", SOON, &format!("SELECT ({tries}) >= {opened} + 3, ({tries})::text"));
    let probes = pauses(&site, "not_sent").split_off(usize::try_from(opened - 1).unwrap());
    assert!(probes[0] >= 0.9 && probes[1] >= 1.9 && probes[2] >= 3.8, "{probes:?}");
    assert_eq!(site.query_one::<i64>(used), before, "an outage used attempts");
    assert_eq!(site.query_one::<i64>("SELECT failed FROM guestly.status"), 0);
    let advice = site.query("SELECT status, detail FROM guestly_doctor() WHERE check_name = 'guestly'", &[]);
    assert_eq!(advice[0].get::<_, &str>(0), "fail");
    site.alter_system("guestly_sync.base_url", &format!("{}/v1", site.sim.url()));
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.calls("search"), 0, "nothing was sent, so no lookup is needed");
    site.assert_once_each(&ids);
    breaker_is(&site, "closed");
}

#[test]
fn consecutive_server_errors_open_the_breaker() {
    let site = Site::open_with(|options| options.setting("guestly_sync.concurrency", "12"));
    // Calls long enough to overlap if that were allowed.
    site.sim.fault(json!({"match": {"path": "/v1/"}, "effect": {"kind": "latency", "ms": 150}}));
    site.sim.fault(json!({"match": {"path": "/v1/", "for_ms": 5000}, "effect": {"kind": "status", "code": 502}}));
    let ids = site.paid_bookings(60);
    breaker_is(&site, "open");
    site.wait_all_synced(SOON);
    let mut calls = site.sim.call_log(None);
    calls.retain(|call| call["operation"] != "token");
    calls.sort_by_key(|call| call["seq"].as_u64());
    let failed = calls.iter().filter(|call| call["status"] == 502).count();
    // Twelve at once, at most four in place of the first four, and probes after one, two and four seconds.
    assert!(failed <= 12 + 4 + 3, "{failed} calls into an outage of five seconds");
    let back = calls.iter().position(|call| call["status"] != 502).unwrap();
    let at_once: Vec<u64> = calls[back..].iter().map(|call| call["in_flight"].as_u64().unwrap_or_default()).collect();
    assert!(at_once[0] == 1 && at_once[1] <= 1 && at_once[..4].iter().all(|count| *count <= 2), "{at_once:?}");
    assert!(at_once[..8].iter().all(|count| *count <= 4), "{at_once:?}");
    assert!(site.sim.metrics()["max_in_flight"].as_u64().is_some_and(|most| most <= 12));
    let most = site.query_one::<i32>("SELECT max(guestly_sync_attempts) FROM bookings");
    assert!(most <= 2, "{most} attempts");
    site.assert_once_each(&ids);
    breaker_is(&site, "closed");
}

#[test]
fn refused_credentials_stop_calls_until_settings_change() {
    let site = Site::open_with(|options| options.setting("guestly_sync.client_secret", "mistyped"));
    let ids = site.paid_bookings(5);
    site.wait_for("the sentence", SOON, "SELECT credentials_error IS NOT NULL, 'null' FROM guestly.status");
    let said: String = site.query_one("SELECT credentials_error FROM guestly.status");
    assert!(said.starts_with("Guestly rejected the API keys (HTTP 401)") && !said.contains("mistyped"), "{said}");
    let advice = site.query("SELECT status, detail, fix FROM guestly_doctor() WHERE check_name = 'credentials'", &[]);
    let (status, detail, fix): (String, String, String) = (advice[0].get(0), advice[0].get(1), advice[0].get(2));
    assert!(status == "fail" && detail.contains("HTTP 401") && fix.contains("pg_reload_conf"), "{detail}; {fix}");
    for mode in [StopMode::Fast, StopMode::Immediate] {
        site.paid_bookings(1);
        site.stop(mode);
        site.start_again();
        site.wait_for_worker(&site);
    }
    site.sql("SELECT pg_reload_conf()");
    site.worker_took_a_turn();
    site.wait_for("more to wait", SOON, "SELECT ready = 7 AND failed = 0, ready::text FROM guestly.status");
    assert_eq!(site.sim.calls("token"), 1, "one attempt per token window");
    assert_eq!(site.query_one::<i64>("SELECT max(attempts)::bigint FROM guestly.queue"), 0);
    let reported = site.log().matches("no access token").count();
    assert!((1..=3).contains(&reported), "said {reported} times");
    site.alter_system("guestly_sync.client_secret", "sim-secret");
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.metrics()["tokens_issued"], 1);
    site.assert_once_each(&ids);
    let left: Option<String> = site.query_one("SELECT credentials_error FROM guestly.status");
    assert_eq!(left, None);
}

#[test]
fn an_unreachable_token_url_is_retried_with_backoff() {
    let site = Site::open();
    site.sim.fault(json!({"match": {"operation": "token"}, "effect": {"kind": "oauth_down", "status": 503}}));
    let ids = site.paid_bookings(3);
    site.sim.wait_for_calls("token", 3, SOON);
    let times: Vec<i64> = site.sim.call_log(Some("token")).iter().filter_map(|row| row["wall_us"].as_i64()).collect();
    let pauses: Vec<i64> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
    assert!(pauses[0] >= 900 && pauses[1] >= 1800, "{pauses:?}");
    let failures = site.sim.calls("token");
    site.sim.clear_faults();
    wait_until("the next attempt", SOON, || {
        let calls = site.sim.calls("token");
        (calls > failures, calls.to_string())
    });
    site.wait_all_synced(SOON);
    let attempts: Vec<i32> = site.query_all("SELECT guestly_sync_attempts FROM bookings");
    assert_eq!(attempts, [1, 1, 1]);
    assert_eq!(site.sim.metrics()["tokens_issued"], 1);
    site.assert_once_each(&ids);
}

#[test]
fn scattered_errors_do_not_open_the_breaker() {
    let site = Site::open();
    site.sim.fault(json!({"match": {"operation": "create", "every": 4}, "effect": {"kind": "status", "code": 503, "committed": true}}));
    let ids = site.paid_bookings(40);
    site.wait_all_synced(SOON);
    breaker_is(&site, "closed");
    let outages: i64 = site.query_one("SELECT count(*) FROM guestly.alerts WHERE kind = 'outage'");
    assert_eq!(outages, 0, "the breaker opened");
    site.assert_once_each(&ids);
}
