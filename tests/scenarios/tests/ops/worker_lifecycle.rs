//! Worker processes: one for each database that has the extension, from the commit of CREATE EXTENSION to DROP EXTENSION,
//! restarted after a crash.

use guestly_scenarios::{Database, SOON, Site, StopMode, host, wait_until};
use serde_json::json;
use std::time::{Duration, Instant};

/// The bound, met in the best of several rounds because the machine may be busy.
const BACK: Duration = Duration::from_secs(5);

/// The databases with a worker process, as the server lists them.
const WORKERS: &str = "SELECT coalesce(string_agg(datname, ',' ORDER BY datname), '-') FROM pg_stat_activity \
                       WHERE backend_type = 'guestly_sync worker'";

fn wait_for_workers(site: &Site, databases: &str) {
    site.wait_for(databases, SOON, &format!("SELECT w = '{databases}', w FROM ({WORKERS}) s (w)"));
}

/// A second database with the host's tables, whose references differ from those of the first.
fn second(site: &Site) -> Database {
    site.sql("CREATE DATABASE second");
    let second = site.database("second");
    host::load(&second);
    second.sql("SELECT setval('sample.booking_number', 5000)");
    second
}

fn pay_one(database: &Database) {
    let id = host::make_bookings(database, 1);
    host::pay(database, &id);
    let synced = "SELECT bool_and(guestly_sync_status = 'synced'), string_agg(guestly_sync_error, ';') FROM bookings";
    database.wait_for("all to be synced", SOON, synced);
}

#[test]
fn only_databases_with_the_extension_have_a_worker() {
    let site = Site::bare_with(|options| options);
    let second = second(&site);
    site.sql("CREATE DATABASE third");
    site.sql("BEGIN; CREATE EXTENSION guestly_sync; ROLLBACK");
    assert_eq!(site.query_one::<String>(WORKERS), "-");
    host::create_extension(&site);
    wait_for_workers(&site, "postgres");
    host::map_listings(&site);
    host::create_extension(&second);
    host::map_listings(&second);
    wait_for_workers(&site, "postgres,second");
    pay_one(&site);
    pay_one(&second);
    assert_ne!(site.worker_pid(&site), site.worker_pid(&second));
    assert_eq!(site.sim.state().len(), 2);
    site.restart();
    wait_for_workers(&site, "postgres,second");
    pay_one(&site);
    pay_one(&second);
    second.sql("DROP EXTENSION guestly_sync");
    wait_for_workers(&site, "postgres");
    pay_one(&site);
    // No session is connected to it any more.
    site.sql("DROP DATABASE second");
    site.sql("DROP EXTENSION guestly_sync");
    wait_for_workers(&site, "-");
    host::create_extension(&site);
    host::map_listings(&site);
    wait_for_workers(&site, "postgres");
    pay_one(&site);
    assert_eq!(site.sim.state().len(), 6);
    site.sim.assert_no_violation();
    // Checking databases without the extension is not logged.
    let log = site.log();
    let loud: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("WARNING") || line.contains("FATAL") || line.contains("PANIC"))
        .collect();
    assert!(loud.iter().all(|line| line.contains("terminating background worker")), "{loud:?}");
}

#[test]
fn a_killed_worker_is_restarted() {
    let site = Site::open();
    let before = site.paid_booking();
    site.wait_synced(&before);
    let mut back = Vec::new();
    for _ in 0..3 {
        // One call hangs after its commit in Guestly: the next worker does not know its outcome.
        let calls = site.sim.calls("create");
        let hang = json!({"kind": "hang", "ms": 60_000, "when": "after"});
        site.sim.fault(json!({"match": {"operation": "create", "count": 1}, "effect": hang}));
        let ids = site.paid_bookings(6);
        site.sim.wait_for_calls("create", calls + 1, SOON);
        let old = site.kill_worker(&site, "TERM");
        let killed = Instant::now();
        let mut new = None;
        wait_until("the next worker", SOON, || {
            new = site.worker_pid(&site);
            (new.is_some_and(|new| new != old), format!("{new:?} after {old}"))
        });
        back.push(killed.elapsed());
        site.sim.clear_faults();
        site.wait_for_status(&ids, "synced");
        ids.iter().for_each(|id| drop(site.only_reservation(id)));
    }
    assert!(back.iter().min().is_some_and(|least| *least < BACK), "back after {back:?}");
    assert_eq!(site.sim.metrics()["tokens_issued"], 1, "the token outlives the worker");
    assert_eq!(site.sim.state().len(), 19);
    site.sim.assert_no_violation();
}

#[test]
fn payments_without_a_worker_are_sent_by_the_next() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 3);
    site.wait_for_worker(&site);
    // A stopped process does not see the wake-up; after the kill the server recovers from a crash.
    let pid = site.kill_worker(&site, "STOP");
    host::pay(&site, &ids);
    site.signal(pid, "KILL");
    site.wait_for_status(&ids, "synced");
    ids.iter().for_each(|id| drop(site.only_reservation(id)));
    assert!(site.log().contains("terminated by signal 9"), "the server has not noticed");
    site.sim.assert_no_violation();
}

#[test]
fn a_standby_has_no_worker_until_it_is_promoted() {
    let site = Site::open();
    let first = site.paid_booking();
    site.wait_synced(&first);
    let standby = site.start_standby(site.sim.options());
    let ids = site.paid_bookings(3);
    site.wait_for_status(&ids, "synced");
    let arrived = "SELECT count(*) = 4, count(*)::text FROM bookings WHERE guestly_sync_status = 'synced'";
    standby.wait_for("the standby to follow", SOON, arrived);
    assert_eq!(standby.query_one::<String>(WORKERS), "-");
    assert!(standby.query_one::<bool>("SELECT worker_pid IS NULL FROM guestly.status"));
    assert_eq!(site.sim.state().len(), 4);
    site.stop(StopMode::Fast);
    standby.promote();
    standby.wait_for_worker(&standby);
    pay_one(&standby);
    assert_eq!((site.sim.state().len(), site.sim.metrics()["tokens_issued"].as_u64()), (5, Some(1)));
    site.sim.assert_no_violation();
}
