//! Temporary failures: Guestly asks for a pause, is unreachable, or answers a token request with garbage. Bookings wait,
//! say why, and are sent once.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use guestly_scenarios::{CLOSED_PORT, SOON, Site, wait_until};
use serde_json::{Value, json};
use std::time::Duration;

/// When the calls of an operation arrived, in microseconds, oldest first.
fn arrivals(calls: &[Value]) -> Vec<i64> {
    let mut times: Vec<i64> = calls.iter().map(|call| call["wall_us"].as_i64().unwrap()).collect();
    times.sort_unstable();
    times
}

#[test]
fn retry_after_is_a_minimum_for_all_calls() {
    for effect in [
        json!({"kind": "rate_limit", "retry_after": "5"}),
        json!({"kind": "status", "code": 503, "retry_after": "5", "body": "html"}),
    ] {
        let site = Site::open_with(|options| options.setting("guestly_sync.concurrency", "1"));
        let first = site.paid_booking();
        site.wait_synced(&first);
        site.sim.fault(json!({"match": {"operation": "create", "count": 1}, "effect": effect}));
        let ids = site.paid_bookings(4);
        let held = "SELECT held_until > now(), held_until::text FROM guestly.status";
        site.wait_for("calls to be paused", SOON, held);
        site.wait_for_status(&ids, "synced");
        let times = arrivals(&site.sim.call_log(None));
        // The token, the first booking, the refused call; then nothing for five seconds.
        assert!(times[3] - times[2] >= 5_000_000, "{effect}: the next call came after {} µs", times[3] - times[2]);
        assert_eq!(site.sim.metrics()["calls_before_retry_after_ended"], 0);
        // A requested pause is no attempt; a server error is one, and is followed by a lookup.
        let most = if effect["kind"] == "rate_limit" { 1 } else { 2 };
        let tries = "SELECT max(guestly_sync_attempts) FROM bookings WHERE guestly_sync_error IS NULL";
        assert_eq!(site.query_one::<i32>(tries), most, "{effect}");
        assert_eq!(site.sim.calls("search") > 0, most == 2, "{effect}");
        site.assert_once_each(&ids);
    }
}

#[test]
fn an_unreachable_api_uses_no_attempts() {
    let site = Site::open_with(|options| options.setting("guestly_sync.max_attempts", "8"));
    let first = site.paid_booking();
    site.wait_synced(&first);
    let back: String = site.query_one("SHOW guestly_sync.base_url");
    site.alter_system("guestly_sync.base_url", &format!("http://{CLOSED_PORT}/v1"));
    let ids = wait_for_outage(&site);
    // Meanwhile waiting bookings say why, none has failed, and the doctor reports it.
    let reported = "SELECT count(*) FILTER (WHERE state = 'failed') = 0 AND bool_or(error_class = 'unavailable'), \
                string_agg(concat_ws(' ', state, attempts, error_class, error), '; ') FROM guestly.queue";
    site.wait_for("the reason to be visible", SOON, reported);
    let doctor = "SELECT status || detail FROM guestly_doctor() WHERE check_name = 'guestly'";
    assert!(site.query_one::<String>(doctor).starts_with("failunreachable since"));
    let probes = "SELECT count(*) FROM guestly.attempts WHERE outcome = 'not_sent'";
    let before: i64 = site.query_one(probes);
    wait_until("another probe", SOON, || {
        let now: i64 = site.query_one(probes);
        (now > before, now.to_string())
    });
    assert!(site.query_one::<i64>(probes) < 40, "an outage is probed, not hammered");
    site.alter_system("guestly_sync.base_url", &back);
    site.wait_all_synced(Duration::from_secs(60));
    let tries = "SELECT max(guestly_sync_attempts) < 8 AND min(guestly_sync_attempts) >= 1 AND bool_and(guestly_sync_error IS NULL) FROM bookings";
    assert!(site.query_one::<bool>(tries));
    assert!(site.query_one::<String>(doctor).starts_with("ok"));
    assert_eq!(
        (site.sim.calls("search"), site.sim.metrics()["tokens_issued"].as_u64()),
        (0, Some(3)),
        "nothing was sent: nothing is to be looked up; a token belongs to the address it was fetched for"
    );
    site.assert_once_each(&ids);
}

/// Pays bookings until the breaker is open.
fn wait_for_outage(site: &Site) -> Vec<String> {
    let mut ids = Vec::new();
    wait_until("an open breaker", SOON, || {
        if ids.len() < 10 {
            ids.extend(site.paid_bookings(2));
        }
        let breaker: String = site.query_one("SELECT breaker FROM guestly.status");
        (breaker == "open", breaker)
    });
    ids
}

#[test]
fn attempts_end_at_max_attempts() {
    let site = Site::open_with(|options| {
        options.setting("guestly_sync.max_attempts", "2").setting("guestly_sync.backoff_base", "50ms")
    });
    let first = site.paid_booking();
    site.wait_synced(&first);
    let back: String = site.query_one("SHOW guestly_sync.base_url");
    site.alter_system("guestly_sync.base_url", &format!("http://{CLOSED_PORT}/v1"));
    site.wait_for(
        "the reload",
        SOON,
        &format!("SELECT s LIKE '%{CLOSED_PORT}%', s FROM current_setting('guestly_sync.base_url') s"),
    );
    let mut failed = site.paid_booking();
    // The first one may have been sent before the worker read the new address.
    wait_until("a booking that cannot be sent", SOON, || {
        let row = site.row(&failed);
        if row["guestly_sync_status"] == "synced" {
            failed = site.paid_booking();
        }
        (row["guestly_sync_status"] == "failed", row["guestly_sync_error"].to_string())
    });
    let row = site.row(&failed);
    assert_eq!(row["guestly_sync_attempts"], 2);
    assert!(row["guestly_sync_error"].as_str().unwrap().starts_with("unavailable: "), "{row}");
    assert_eq!(site.log_of(&failed), ["create:not_sent", "create:not_sent"]);
    site.alter_system("guestly_sync.base_url", &back);
    wait_until("a retry that gets through", SOON, || {
        site.query_one::<i64>("SELECT guestly_retry_failed()");
        let row = site.row(&failed);
        (row["guestly_sync_status"] == "synced", row["guestly_sync_error"].to_string())
    });
    assert_eq!(site.row(&failed)["guestly_sync_attempts"], 1);
    let _ = site.only_reservation(&failed);
    site.sim.assert_no_violation();
}

#[test]
fn a_failed_token_request_fails_no_booking() {
    for (effect, outcome) in [
        (json!({"kind": "oauth_down", "status": 503}), "unavailable"),
        (json!({"kind": "status", "code": 502, "body": "html"}), "unavailable"),
    ] {
        let site = Site::open();
        site.sim.fault(json!({"match": {"operation": "token", "count": 2}, "effect": effect}));
        let ids = site.paid_bookings(3);
        site.wait_all_synced(SOON);
        let log: Vec<String> =
            site.query_all("SELECT outcome FROM guestly.attempts WHERE operation = 'token' ORDER BY started_at");
        assert_eq!(log, [outcome, outcome, "token"], "{effect}");
        assert!(ids.iter().all(|id| site.row(id)["guestly_sync_attempts"] == 1), "{effect}");
        assert_eq!((site.sim.calls("create"), site.sim.metrics()["tokens_issued"].as_u64()), (3, Some(1)), "{effect}");
        site.assert_once_each(&ids);
    }
}

#[test]
fn an_unreadable_token_is_not_requested_again_at_once() {
    for shape in ["html", "no_id", "invalid_utf8", "huge_20mb", "invalid_json"] {
        let site = Site::open();
        site.sim.fault(json!({"match": {"operation": "token"}, "effect": {"kind": "garbage", "shape": shape}}));
        let ids = site.paid_bookings(3);
        let logged = "SELECT count(*) = 1 AND bool_and(outcome = 'unknown'), string_agg(concat_ws(' ', outcome, error), ';') \
                      FROM guestly.attempts WHERE operation = 'token'";
        site.wait_for("a log line about the token", SOON, logged);
        // More work wakes the worker, which must not request another token: there are only five.
        let more = site.paid_booking();
        site.worker_took_a_turn();
        assert_eq!(site.booking(&more).status, "pending");
        assert_eq!((site.sim.calls("token"), site.sim.calls("create")), (1, 0), "{shape}");
        assert!(ids.iter().all(|id| site.row(id)["guestly_sync_attempts"] == 0), "{shape}");
        site.sim.clear_faults();
        // Changed credentials are tried at once; these are refused, and the doctor says so.
        site.alter_system("guestly_sync.client_secret", "wrong");
        let refused = "SELECT status = 'fail' AND detail LIKE 'rejected: %API keys%', detail FROM guestly_doctor() \
                       WHERE check_name = 'credentials'";
        site.wait_for("refused credentials", SOON, refused);
        site.alter_system("guestly_sync.client_secret", "sim-secret");
        site.wait_all_synced(SOON);
        assert_eq!(site.sim.calls("token"), 3, "{shape}");
        assert!(ids.iter().all(|id| site.row(id)["guestly_sync_attempts"] == 1), "{shape}");
    }
}
