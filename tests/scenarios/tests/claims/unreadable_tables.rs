//! An unreadable table is not an empty one: the worker retries, and requests nothing from Guestly that it may have already.
//! A deleted row is restored.

use guestly_scenarios::{SOON, Sim, Site, pass, wait_until};
use serde_json::json;
use std::time::{Duration, Instant};

/// A site whose Guestly counts tokens, and limits nothing else.
fn site() -> Site {
    let sim = Sim::quick();
    sim.knobs(json!({"limits": false, "token_cap": 5}));
    Site::open_on(sim, |options| {
        let unlimited = ["second", "minute", "hour"].map(|window| format!("guestly_sync.rate_per_{window}"));
        let options = options.setting("guestly_sync.poll_interval", "2s");
        unlimited.iter().fold(options, |options, name| options.setting(name, "0"))
    })
}

fn tokens(site: &Site) -> u64 {
    site.sim.calls("token")
}

/// Sells one booking after each of the restarts: all are synced once, with one access token in all.
fn assert_one_token_serves(site: &Site, ids: &mut Vec<String>, restarts: usize) {
    for _ in 0..restarts {
        site.restart();
        ids.push(site.paid_booking());
        site.wait_all_synced(SOON);
    }
    assert_eq!(tokens(site), 1);
    site.assert_once_each(ids);
    site.assert_worker_is_small(site);
}

#[test]
fn a_locked_table_at_startup_costs_no_token() {
    let site = site();
    let mut ids = vec![site.paid_booking()];
    site.wait_all_synced(SOON);
    assert_eq!(tokens(&site), 1);
    for table in ["guestly.token", "guestly.token_requests", "guestly.worker", "guestly.token", "guestly.token"] {
        let mut session = site.client();
        session.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).unwrap();
        site.signal(worker(&site), "TERM");
        ids.push(site.paid_booking());
        let waits = "SELECT count(*) > 0, count(*)::text FROM pg_stat_activity WHERE backend_type = 'guestly_sync worker' AND wait_event_type = 'Lock'";
        site.wait_for("the new worker to wait for the lock", SOON, waits);
        site.worker_waited_in_vain();
        session.batch_execute("COMMIT").unwrap();
        site.wait_all_synced(SOON);
        assert_eq!(tokens(&site), 1, "{table}");
    }
    site.assert_once_each(&ids);
    site.assert_worker_is_small(&site);
}

/// The worker's process; nothing is read that the test may have locked.
fn worker(site: &Site) -> i32 {
    let mut pid = None;
    wait_until("a worker", SOON, || {
        let pids: Vec<i32> =
            site.query_all("SELECT pid FROM pg_stat_activity WHERE backend_type = 'guestly_sync worker'");
        pid = pids.first().copied();
        (pid.is_some(), format!("{pids:?}"))
    });
    pid.unwrap_or_default()
}

#[test]
fn an_unstored_token_is_stored_later() {
    let site = site();
    site.sim.hold("token", "after");
    let mut ids = vec![site.paid_booking()];
    site.sim.wait_for_calls("token", 1, SOON);
    let mut session = site.client();
    session.batch_execute("BEGIN; LOCK TABLE guestly.token IN ACCESS EXCLUSIVE MODE").unwrap();
    site.sim.release();
    site.worker_waited_in_vain();
    // Bookings do not wait for that table: outcomes are recorded and calls leave.
    site.wait_all_synced(SOON);
    ids.extend(site.paid_bookings(2));
    site.wait_all_synced(SOON);
    session.batch_execute("COMMIT").unwrap();
    site.wait_for("the token", SOON, "SELECT count(*) = 1, count(*)::text FROM guestly.token");
    let logged = "SELECT count(*) FROM guestly.attempts WHERE operation = 'token'";
    assert_eq!(site.query_one::<i64>(logged), 1);
    assert_one_token_serves(&site, &mut ids, 5);
}

#[test]
fn a_deleted_worker_row_is_restored() {
    let site = site();
    let mut ids = vec![site.paid_booking()];
    site.wait_all_synced(SOON);
    site.sql("TRUNCATE guestly.worker");
    let status: String = site.query_one("SELECT concat_ws(' ', breaker, ready, armed) FROM guestly.status");
    assert_eq!(status, "closed 0 t");
    assert_eq!(site.doctor("tls")[0], "ok");
    ids.push(site.paid_booking());
    site.wait_all_synced(SOON);
    let back = "SELECT count(*) = 1 AND bool_and(last_success_at IS NOT NULL AND cardinality(rate_levels) = 3), \
                string_agg(w::text, ' ') FROM guestly.worker w";
    site.wait_for("the row", SOON, back);
    for check in ["tls", "worker", "credentials", "guestly"] {
        assert_eq!(site.doctor(check)[0], "ok", "{check}");
    }
    // The first write restores the whole row.
    for action in ["SELECT detail FROM guestly_doctor(online => true) WHERE check_name = 'online'", "reload"] {
        site.sql("TRUNCATE guestly.worker");
        if action == "reload" {
            site.sql("SELECT pg_reload_conf()");
        } else {
            let said: String = site.query_one(action);
            assert!(said.starts_with("Guestly accepted"), "{said}");
        }
        site.wait_for("the row", SOON, "SELECT count(*) = 1, count(*)::text FROM guestly.worker");
    }
    assert!(site.try_sql("INSERT INTO guestly.worker DEFAULT VALUES").is_err_and(|error| error.starts_with("23505")));
    assert_one_token_serves(&site, &mut ids, 1);
}

#[test]
fn a_lock_does_not_delay_the_next_sweep() {
    let site = site();
    let ids = vec![site.paid_booking()];
    site.wait_all_synced(SOON);
    let mut session = site.client();
    session.batch_execute("BEGIN; LOCK TABLE guestly.queue IN ACCESS EXCLUSIVE MODE").unwrap();
    site.worker_waited_in_vain();
    pass(Duration::from_millis(2_500));
    session.batch_execute("COMMIT").unwrap();
    let began = Instant::now();
    let missed = guestly_scenarios::host::make_bookings(&site, 1);
    guestly_scenarios::host::update_all(
        &site,
        &missed,
        "SET session_replication_role = replica",
        "payment_status = 'completed', status = 'confirmed'",
    );
    site.wait_for_status(&missed, "synced");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    site.assert_once_each(&[ids, missed].concat());
    site.assert_worker_is_small(&site);
}

#[test]
fn fifty_online_checks_make_at_most_two_calls() {
    let site = site();
    let id = site.paid_booking();
    site.wait_all_synced(SOON);
    let online = "SELECT detail FROM guestly_doctor(online => true) WHERE check_name = 'online'";
    let (before, began) = (site.sim.calls("search"), Instant::now());
    let said: Vec<String> = (0..50).map(|_| site.query_one(online)).collect();
    let (calls, took) = (site.sim.calls("search") - before, began.elapsed());
    assert!((1..=1 + took.as_secs() / 10).contains(&calls), "{calls} calls in {took:?}");
    assert!(!said[0].contains("from memory"), "{}", said[0]);
    assert!(said[1].ends_with(" s old)") && said[1].starts_with("Guestly accepted the credentials"), "{}", said[1]);
    // A reload and changed credentials cause a new request.
    let before = site.sim.calls("search");
    site.sql("SELECT pg_reload_conf()");
    let anew = || {
        let said: String = site.query_one(online);
        (!said.contains("from memory"), said)
    };
    wait_until("a new sweep", Duration::from_secs(8), anew);
    assert_eq!(site.sim.calls("search") - before, 1);
    site.alter_system("guestly_sync.client_secret", "another");
    let refused = || {
        let said: String = site.query_one(online);
        (!said.starts_with("Guestly accepted"), said)
    };
    wait_until("the new credentials to be tried", SOON, refused);
    site.assert_once_each(&[id]);
    site.assert_worker_is_small(&site);
}
