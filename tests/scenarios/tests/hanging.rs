//! A good guest in the server while the API hangs: no transaction, no snapshot, no lock; shutdown and DROP DATABASE are
//! not held up; and the server's statistics know what the worker does.

use guestly_scenarios::{SOON, Site, StopMode, host};
use serde_json::json;
use std::time::{Duration, Instant};

/// Lets every create hang for a minute, and waits until as many as may be in flight are.
fn hang(site: &Site) -> Vec<String> {
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "hang", "ms": 60_000}}));
    let ids = site.paid_bookings(8);
    site.sim.wait_for_calls("create", 4, SOON);
    ids
}

fn assert_idle(site: &Site) {
    let idle = "SELECT a.state = 'idle' AND a.backend_xmin IS NULL AND a.backend_xid IS NULL AND a.xact_start IS NULL \
                AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype <> 'virtualxid' AND l.mode <> 'none'), \
                concat_ws(' ', a.state, a.backend_xmin, a.wait_event_type, a.wait_event) \
                FROM pg_stat_activity a WHERE a.backend_type = 'guestly_sync worker'";
    site.wait_for("a worker that holds nothing", SOON, idle);
}

#[test]
fn nothing_is_held_and_a_fast_stop_is_fast() {
    let site = Site::open();
    let ids = hang(&site);
    assert_idle(&site);
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.queue WHERE state = 'sending'"), 4);
    // What a long transaction would hold back: a vacuum removes what was deleted after it began.
    site.sql("CREATE TABLE churn AS SELECT 1 AS n; DELETE FROM churn");
    site.sql("VACUUM churn");
    assert_eq!(site.query_one::<i64>("SELECT pg_relation_size('churn')"), 0, "dead rows could not be removed");
    // DDL on the bookings is not blocked either.
    site.sql("SET lock_timeout = '2s'; ALTER TABLE bookings ADD COLUMN colour text");
    let took = site.stop(StopMode::Fast);
    println!("pg_ctl stop -m fast took {took:?}");
    assert!(took < Duration::from_secs(2), "a fast stop took {took:?}");
    site.sim.clear_faults();
    site.start_again();
    site.wait_for_status(&ids, "synced");
    ids.iter().for_each(|id| drop(site.only_reservation(id)));
    assert_eq!(site.sim.state().len(), 8);
    site.sim.assert_no_violation();
}

#[test]
fn databases_can_be_dropped_while_the_api_hangs() {
    let site = Site::open();
    site.sql("CREATE DATABASE other");
    site.sql("CREATE DATABASE second");
    let second = site.database("second");
    host::load(&second);
    host::create_extension(&second);
    host::map_listings(&second);
    site.wait_for_worker(&second);
    second.sql("SELECT setval('sample.booking_number', 5000)");
    let ids = hang(&site);
    let theirs = host::make_bookings(&second, 2);
    host::pay(&second, &theirs);
    site.sim.wait_for_calls("create", 6, SOON);
    // One that has no part in it, and one whose own worker waits for an answer.
    for (statement, what) in [("DROP DATABASE other", "other"), ("DROP DATABASE second WITH (FORCE)", "its own")] {
        let began = Instant::now();
        site.sql(statement);
        let took = began.elapsed();
        println!("{statement} took {took:?}");
        assert!(took < Duration::from_secs(2), "dropping {what} database took {took:?}");
    }
    let gone = "SELECT count(*) = 1, string_agg(datname, ',') FROM pg_stat_activity WHERE backend_type = 'guestly_sync worker'";
    site.wait_for("one worker", SOON, gone);
    // So can the extension.
    let began = Instant::now();
    site.sql("DROP EXTENSION guestly_sync");
    assert!(began.elapsed() < Duration::from_secs(2), "DROP EXTENSION took {:?}", began.elapsed());
    site.wait_for(
        "no worker",
        SOON,
        "SELECT count(*) = 0, 'one' FROM pg_stat_activity WHERE backend_type = 'guestly_sync worker'",
    );
    assert_eq!(ids.len(), 8);
    assert!(!site.log().contains("PANIC"), "{}", site.log());
}

#[test]
fn the_statistics_and_the_activity_tell_what_the_worker_does() {
    let site = Site::open();
    let ids = site.paid_bookings(20);
    site.wait_for_status(&ids, "synced");
    site.wait_drained();
    for (table, column, least) in [
        ("guestly.attempts", "n_tup_ins", 21),
        ("guestly.reservations", "n_tup_ins", 20),
        ("guestly.queue", "n_tup_del", 20),
        ("bookings", "n_tup_upd", 40),
    ] {
        let seen = format!(
            "SELECT {column} >= {least}, {column}::text FROM pg_stat_user_tables WHERE relid = '{table}'::regclass"
        );
        site.wait_for(&format!("{column} of {table}"), SOON, &seen);
    }
    assert_idle(&site);
    let shown = "SELECT datname || ' ' || (query LIKE 'guestly_sync: %')::text FROM pg_stat_activity \
                 WHERE backend_type = 'guestly_sync worker'";
    assert_eq!(site.query_one::<String>(shown), "postgres true");
    // Idle means idle: the worker's transactions do not grow while nothing happens. Ours do, one a look: so its
    // activity is compared, not the database's counter.
    let last = "SELECT state_change::text FROM pg_stat_activity WHERE backend_type = 'guestly_sync worker'";
    let before: String = site.query_one(last);
    for _ in 0..20 {
        site.sql("UPDATE bookings SET special_requests = 'quiet, please'");
    }
    assert_eq!(site.query_one::<String>(last), before, "an update that pays nothing woke the worker");
    assert_eq!(site.sim.ledger(None).len(), 21);
}
