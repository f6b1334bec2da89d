//! Workers that die during calls: killed, stopped, or taken down with the server. The next worker knows which claims are
//! orphaned, looks up before it creates, and every booking is synced once.

use guestly_scenarios::{AT_ONCE, SOON, Site, StopMode, host, wait_until};
use serde_json::{Value, json};

/// Some are done, and more than three times as many wait as may be in flight.
const BOOKINGS: u32 = 24;

/// A site with three bookings that are done and six creates that are held before or after their effect; the rest wait.
fn site_in_the_middle(when: &str) -> (Site, Vec<String>) {
    let site = Site::open_with(|options| options.setting("guestly_sync.concurrency", "6"));
    let ids = host::make_bookings(&site, BOOKINGS);
    host::pay(&site, &ids[..3]);
    site.wait_all_synced(SOON);
    site.sim.hold("create", when);
    host::pay(&site, &ids[3..]);
    site.sim.wait_for_calls("create", 9, SOON);
    (site, ids)
}

/// Every booking is synced once; those whose worker died during the call were looked for before anything else.
fn assert_rescued(site: &Site, ids: &[String]) {
    site.sim.release();
    site.wait_all_synced(SOON);
    site.assert_once_each(ids);
    let orphans: Vec<String> = site.query_all(
        "SELECT b.booking_reference FROM guestly.attempts a JOIN bookings b ON b.id::text = a.booking_id \
         WHERE a.operation = 'create' AND a.outcome = 'unknown' AND a.error = 'the worker ended during the call'",
    );
    assert!(orphans.len() >= 6, "calls in flight: {}", orphans.len());
    let metrics = site.sim.metrics();
    assert_eq!(metrics["creates_without_look_up"], 0);
    for code in orphans {
        let operations = site.operations_of(&code);
        let first = operations.iter().position(|name| name == "create").map_or(0, |at| at + 1);
        let next = operations.get(first).map(String::as_str);
        // If the worker died before the call was sent, the search is the first call.
        assert!(next != Some("create"), "{code}: {operations:?}");
        assert!(operations.iter().any(|name| name == "search"), "{code}: {operations:?}");
    }
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.queue"), 0);
    assert_eq!(metrics["tokens_issued"], 1, "a new worker uses the token of the last one");
}

/// A create that took effect before its answer was written is never repeated.
fn assert_nothing_created_twice(site: &Site) {
    let metrics = site.sim.metrics();
    let creates = metrics["creates_per_code"].as_object().cloned().unwrap_or_default();
    let twice: Vec<(&String, &Value)> = creates.iter().filter(|(_, count)| count.as_u64() != Some(1)).collect();
    assert!(twice.is_empty(), "created again after it took effect: {twice:?}");
}

#[test]
fn a_worker_killed_after_the_remote_commit_adopts_once() {
    let (site, ids) = site_in_the_middle("after");
    let killed = site.kill_worker(&site, "KILL");
    wait_until("another worker", SOON, || {
        let next = site.worker_pid(&site);
        (next.is_some_and(|next| next != killed), format!("{next:?}"))
    });
    assert_rescued(&site, &ids);
    assert_nothing_created_twice(&site);
}

#[test]
fn a_worker_killed_before_the_remote_commit_creates_once() {
    let (site, ids) = site_in_the_middle("before");
    site.kill_worker(&site, "KILL");
    assert_rescued(&site, &ids);
}

#[test]
fn calls_cut_by_an_immediate_stop_finish_after_restart() {
    let (site, ids) = site_in_the_middle("after");
    site.stop(StopMode::Immediate);
    site.start_again();
    assert_rescued(&site, &ids);
    assert_nothing_created_twice(&site);
}

#[test]
fn three_server_crashes_lose_no_booking() {
    let (site, ids) = site_in_the_middle("after");
    for crash in 1..=3 {
        // A killed backend makes the server restart all processes.
        let mut victim = site.client();
        let pid: i32 = victim.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        site.signal(pid, "KILL");
        wait_until("the crash", SOON, || (victim.is_closed() || victim.simple_query("SELECT").is_err(), String::new()));
        site.wait_for("the server to be back", SOON, "SELECT NOT pg_is_in_recovery(), 'in recovery'");
        site.wait_for_worker(&site);
        // The next six are held while those before them are looked up.
        if crash < 3 {
            site.sim.wait_for_calls("create", 9 + 6 * crash, SOON);
        }
    }
    assert_rescued(&site, &ids);
    assert_nothing_created_twice(&site);
}

#[test]
fn hanging_calls_do_not_delay_a_fast_stop() {
    let site = Site::open_with(|options| options.setting("guestly_sync.request_timeout", "60s"));
    site.sim.hold("create", "after");
    let ids = site.paid_bookings(6);
    site.sim.wait_for_calls("create", 4, SOON);
    let took = site.stop(StopMode::Fast);
    assert!(took < AT_ONCE, "the stop waited for Guestly: {took:?}");
    site.sim.release();
    site.start_again();
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    assert_nothing_created_twice(&site);
    let looked_up = ids.iter().filter(|id| site.operations_of(&site.code(id)) != ["create"]).count();
    assert_eq!(looked_up, 4, "only the four in flight are looked up");
}

#[test]
fn a_worker_killed_during_a_lookup_looks_up_again() {
    let site = Site::open();
    site.sim.fault(json!([
        {"match": {"operation": "create"}, "effect": {"kind": "drop_after_accept"}},
        {"match": {"operation": "search", "nth": 1}, "effect": {"kind": "hang", "ms": 60_000}}
    ]));
    let id = site.paid_booking();
    site.sim.wait_for_calls("search", 1, SOON);
    site.kill_worker(&site, "KILL");
    site.wait_all_synced(SOON);
    let operations = site.operations_of(&site.code(&id));
    assert_eq!(operations.iter().filter(|name| *name == "create").count(), 1, "{operations:?}");
    site.assert_once_each(&[id]);
}

#[test]
fn calls_of_a_killed_worker_count_against_the_limits() {
    let site = Site::open_with(|options| {
        options
            .setting("guestly_sync.concurrency", "6")
            .setting("guestly_sync.rate_per_hour", "100")
            .setting("guestly_sync.quota_share", "100")
    });
    let first = site.paid_booking();
    site.wait_all_synced(SOON);
    site.sim.hold("create", "after");
    let ids = site.paid_bookings(6);
    site.sim.wait_for_calls("create", 7, SOON);
    site.kill_worker(&site, "KILL");
    site.sim.release();
    site.wait_all_synced(SOON);
    let left: f64 = site.query_one("SELECT quota_hour FROM guestly.status");
    let calls = site.sim.metrics()["requests"].as_f64().unwrap();
    // A call comes back every 36 s.
    assert!(left < 100.0 - calls + 4.0, "{left} calls left after {calls} of 100");
    site.assert_once_each(&[vec![first], ids].concat());
}
