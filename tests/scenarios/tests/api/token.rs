//! The access token, limited to five a day: kept across restarts, fetched by one caller at a time, renewed early, replaced
//! once when it is rejected, never shown.

use guestly_scenarios::{SOON, Sim, Site, StopMode};
use serde_json::{Value, json};

/// A site whose Guestly counts tokens, and limits nothing else.
fn site() -> Site {
    let sim = Sim::quick();
    sim.knobs(json!({"limits": false, "token_cap": 5}));
    Site::open_on(sim, |options| {
        let unlimited = ["second", "minute", "hour"].map(|window| format!("guestly_sync.rate_per_{window}"));
        unlimited.iter().fold(options, |options, name| options.setting(name, "0"))
    })
}

fn tokens(site: &Site) -> u64 {
    site.sim.metrics()["tokens_issued"].as_u64().unwrap_or_default()
}

#[test]
fn ten_restarts_need_one_token() {
    let site = site();
    let mut ids = Vec::new();
    for round in 0..10 {
        ids.push(site.paid_booking());
        site.wait_all_synced(SOON);
        site.stop(if round % 2 == 0 { StopMode::Fast } else { StopMode::Immediate });
        site.start_again();
    }
    site.wait_for_worker(&site);
    assert_eq!((tokens(&site), site.sim.calls("token")), (1, 1));
    let known = "SELECT tokens_24h = 1 AND token_expires_at > now() + interval '23 hours' FROM guestly.status";
    assert!(site.query_one::<bool>(known));
    site.assert_once_each(&ids);
}

#[test]
fn a_rejected_token_is_replaced_once() {
    for status in [401, 403] {
        let site = site();
        site.sim.knobs(json!({"revoked_status": status}));
        let mut ids = site.paid_bookings(3);
        site.wait_all_synced(SOON);
        site.sim.post("tokens/revoke", &json!({}));
        let id = site.paid_booking();
        site.wait_all_synced(SOON);
        assert_eq!(site.operations_of(&site.code(&id)), ["create", "create"], "{status}: one replay");
        assert_eq!(site.log_of(&id), ["create:rejected", "create:created"], "{status}");
        assert_eq!((tokens(&site), site.booking(&id).attempts), (2, 1), "{status}");
        ids.push(id);
        site.assert_once_each(&ids);
    }
}

#[test]
fn concurrent_rejections_fetch_one_token() {
    let site = site();
    let mut ids = vec![site.paid_booking()];
    site.wait_all_synced(SOON);
    site.alter_system("guestly_sync.concurrency", "8");
    site.sim
        .fault(json!({"match": {"operation": "create"}, "effect": {"kind": "latency", "ms": 200, "when": "after"}}));
    site.sim.post("tokens/revoke", &json!({}));
    ids.extend(site.paid_bookings(20));
    site.wait_all_synced(SOON);
    assert_eq!((tokens(&site), site.sim.calls("token")), (2, 2));
    site.assert_once_each(&ids);
}

#[test]
fn rejections_of_every_token_stop_all_calls() {
    let site = site();
    site.sim.fault(json!({"match": {"path": "/v1/"}, "effect": {"kind": "status", "code": 403, "body": "{\"message\":\"Forbidden\"}"}}));
    site.paid_bookings(6);
    site.wait_for("calls to stop", SOON, "SELECT credentials_error IS NOT NULL, 'running' FROM guestly.status");
    let (asked, calls) = (site.sim.calls("token"), site.sim.metrics()["requests"].clone());
    assert!(asked <= 2, "{asked} tokens");
    site.restart();
    site.paid_booking();
    site.wait_for_worker(&site);
    site.wait_for(
        "all to wait",
        SOON,
        "SELECT ready + unknown = 7 AND failed = 0, ready || '+' || unknown FROM guestly.status",
    );
    site.worker_took_a_turn();
    assert_eq!((site.sim.calls("token"), &site.sim.metrics()["requests"]), (asked, &calls), "calls have stopped");
    assert_eq!(site.doctor("credentials")[0], "fail");
    site.sim.assert_no_violation();
}

#[test]
fn a_401_about_terms_costs_no_token() {
    let site = site();
    let listings = ["64b1f0aa11bb22cc33dd4401", "64b1f0aa11bb22cc33dd4402", "64b1f0aa11bb22cc33dd4403"];
    let strict: Vec<Value> = listings.iter().map(|id| json!({"id": id, "min_nights": 30})).collect();
    site.sim.post("listings", &json!(strict));
    site.sim.knobs(json!({"terms_status": 401}));
    let ids = site.paid_bookings(6);
    site.wait_for_status(&ids, "failed");
    let wrong: i64 =
        site.query_one("SELECT count(*) FROM bookings WHERE guestly_sync_error NOT LIKE 'refused: %terms%'");
    assert_eq!((wrong, tokens(&site), site.sim.calls("create")), (0, 1, 6));
    site.sim.assert_no_violation();
}

#[test]
fn a_capped_token_request_is_not_repeated() {
    let site = site();
    site.sim.fault(json!({"match": {"operation": "token"}, "effect": {"kind": "rate_limit", "retry_after": "1800"}}));
    site.paid_bookings(3);
    site.wait_for("the cap to be known", SOON, "SELECT credentials_error IS NOT NULL, 'null' FROM guestly.status");
    site.restart();
    site.paid_booking();
    site.wait_for("all to wait", SOON, "SELECT ready = 4, ready::text FROM guestly.status");
    site.wait_for_worker(&site);
    site.worker_took_a_turn();
    assert_eq!(site.sim.calls("token"), 1);
    let until: String = site.query_one("SELECT to_char(clock_timestamp() + interval '29 minutes', 'YYYY-MM-DD HH24:')");
    let later: String = site.query_one("SELECT to_char(clock_timestamp() + interval '31 minutes', 'YYYY-MM-DD HH24:')");
    let said = [site.doctor("credentials"), site.doctor("tokens")].concat().join(" | ");
    assert!(said.contains(&until) || said.contains(&later), "no time in: {said}");
    assert_eq!(site.sim.metrics()["calls_before_retry_after_ended"], 0);
}

#[test]
fn a_token_cap_of_ten_hours_is_waited_out() {
    let site = site();
    site.sim.fault(json!({"match": {"operation": "token"}, "effect": {"kind": "rate_limit", "retry_after": "36000"}}));
    site.paid_booking();
    let ten_hours = "SELECT credentials_until BETWEEN now() + interval '9 hours 55 minutes' AND now() + interval '10 hours 5 minutes', \
                     credentials_until::text FROM guestly.worker";
    site.wait_for("the cap to be known", SOON, ten_hours);
    site.restart();
    site.wait_for_worker(&site);
    site.paid_booking();
    site.worker_took_a_turn();
    site.wait_for("both to wait", SOON, ten_hours);
    assert_eq!((site.sim.calls("token"), &site.sim.metrics()["calls_before_retry_after_ended"]), (1, &json!(0)));
}

#[test]
fn at_most_five_tokens_are_requested_per_day() {
    let site = site();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(site.paid_booking());
        site.wait_all_synced(SOON);
        // As after a restore from a backup: the token is gone, its history is known.
        site.sql("DELETE FROM guestly.token");
        site.restart();
    }
    ids.push(site.paid_booking());
    site.wait_for("it to wait", SOON, "SELECT ready = 1 AND worker_pid IS NOT NULL, ready::text FROM guestly.status");
    site.worker_took_a_turn();
    let [status, detail, fix] = site.doctor("tokens");
    let free: String = site.query_one("SELECT to_char(clock_timestamp() + interval '24 hours', 'YYYY-MM-DD')");
    assert!(
        status == "warn" && detail.starts_with("5 requested in 24 hours") && fix.contains(&free),
        "{detail}; {fix}"
    );
    assert_eq!((site.sim.calls("token"), &site.sim.metrics()["tokens_refused"]), (5, &json!(0)));
    site.sim.assert_no_violation();
}

#[test]
fn a_token_near_expiry_is_renewed_by_one_caller() {
    let site = site();
    let mut ids = vec![site.paid_booking()];
    site.wait_all_synced(SOON);
    let aged =
        "expires_at = clock_timestamp() + interval '20 minutes', fetched_at = clock_timestamp() - interval '23 hours'";
    site.sql(&format!("UPDATE guestly.token SET {aged}"));
    site.restart();
    site.sim.fault(json!({"match": {"operation": "token"}, "effect": {"kind": "latency", "ms": 400}}));
    ids.extend(site.paid_bookings(20));
    site.wait_all_synced(SOON);
    site.wait_for(
        "the new token",
        SOON,
        "SELECT token_expires_at > now() + interval '23 hours', token_expires_at::text FROM guestly.status",
    );
    assert_eq!((tokens(&site), site.sim.calls("token")), (2, 2));
    let bearers: std::collections::HashSet<String> =
        site.sim.call_log(Some("create")).iter().map(|row| row["bearer"].to_string()).collect();
    assert!(bearers.len() <= 2, "{bearers:?}");
    site.assert_once_each(&ids);
}

#[test]
fn the_token_appears_in_no_view_or_log() {
    let site = site();
    let id = site.paid_booking();
    site.wait_all_synced(SOON);
    let token: String = site.query_one("SELECT access_token FROM guestly.token");
    for role in ["anon", "authenticated", "service_role", "site_owner", "guestly_admin"] {
        let refused = site.try_sql_as(role, "SELECT access_token FROM guestly.token").unwrap_err();
        assert!(refused.starts_with("42501"), "{role}: {refused}");
    }
    let shown: i64 = site.query_one(&format!(
        "SELECT count(*) FROM (SELECT s::text FROM guestly.status s UNION ALL SELECT d::text FROM guestly_doctor() d \
         UNION ALL SELECT a::text FROM guestly.attempts a UNION ALL SELECT t::text FROM guestly_timeline('{id}') t) x (line) \
         WHERE line LIKE '%{token}%' OR line LIKE '%sim-secret%'"
    ));
    assert_eq!(shown, 0);
    assert!(!site.log().contains(&token));
}
