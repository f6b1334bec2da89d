//! A streaming standby sends nothing in recovery and finishes the work after its promotion, also during a drain; the old
//! primary sends nothing that it cannot record.

use guestly_scenarios::assertions::{assert_once_each, wait_all_synced};
use guestly_scenarios::{Cluster, Options, SOON, Site, StopMode, host, wait_until};
use serde_json::json;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// Options for a standby of this site, which sends to the same Guestly.
fn options(site: &Site) -> Options {
    let windows = ["second", "minute", "hour"].map(|window| format!("guestly_sync.rate_per_{window}"));
    windows.iter().fold(site.sim.options(), |options, name| options.setting(name, "0"))
}

fn caught_up(site: &Site, standby: &Cluster) {
    let here: String = site.query_one("SELECT pg_current_wal_lsn()::text");
    let query = format!("SELECT pg_last_wal_replay_lsn() >= '{here}', pg_last_wal_replay_lsn()::text");
    standby.wait_for("the standby to catch up", SOON, &query);
}

#[test]
fn a_standby_in_recovery_sends_nothing() {
    let site = Site::open();
    let standby = site.start_standby(options(&site));
    site.sql("SELECT guestly_pause('the primary stands still')");
    let ids = site.paid_bookings(5);
    caught_up(&site, &standby);
    assert_eq!(standby.query_one::<i64>("SELECT ready FROM guestly.status"), 5);
    assert_eq!(standby.query_one::<Option<i32>>("SELECT worker_pid FROM guestly.status"), None);
    standby.sql("SELECT pg_reload_conf()");
    let processes = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'guestly_sync%'";
    assert_eq!(standby.query_one::<i64>(processes), 0);
    assert_eq!(site.sim.metrics()["requests"], 0);
    site.sql("SELECT guestly_resume()");
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
}

#[test]
fn a_promoted_standby_finishes_the_drain() {
    let site = Site::open();
    let standby = site.start_standby(options(&site));
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "latency", "ms": 80, "max_ms": 200, "when": "after"}}));
    let ids = site.paid_bookings(60);
    caught_up(&site, &standby);
    site.sim.wait_for_calls("create", 15, SOON);
    site.stop(StopMode::Immediate);
    standby.promote();
    let database = standby.database("postgres");
    wait_all_synced(&database, LONG);
    assert_once_each(&database, &site.sim, &ids);
    site.sim.assert_no_violation();
    assert_eq!(site.sim.state().len(), 60);
    let more = host::make_bookings(&database, 3);
    host::pay(&database, &more);
    wait_all_synced(&database, LONG);
    assert_eq!(site.sim.metrics()["tokens_issued"], 1, "the token was restored");
}

#[test]
fn a_lagging_standby_creates_nothing_twice() {
    let site = Site::open();
    let standby = site.start_standby(options(&site));
    let before = host::make_bookings(&site, 20);
    site.sql("SELECT guestly_pause('until all are queued')");
    host::pay(&site, &before);
    caught_up(&site, &standby);
    // From here on the standby receives no WAL: it will know of no intent.
    let receiver: i32 = standby.query_one("SELECT pid FROM pg_stat_wal_receiver");
    standby.sql("ALTER SYSTEM SET primary_conninfo = ''");
    standby.sql("SELECT pg_reload_conf()");
    wait_until("the receiver to end", SOON, || {
        let left: i64 = standby.query_one(&format!("SELECT count(*) FROM pg_stat_wal_receiver WHERE pid = {receiver}"));
        (left == 0, left.to_string())
    });
    site.sql("SELECT guestly_resume()");
    site.wait_all_synced(SOON);
    site.stop(StopMode::Immediate);
    standby.promote();
    let database = standby.database("postgres");
    assert_eq!(site.sim.calls("create"), 20);
    // What the standby last knew is that all wait, and that sending is paused.
    database.sql("SELECT guestly_resume()");
    wait_all_synced(&database, LONG);
    assert_eq!(site.sim.calls("create"), 20, "reservations of the old primary were created again");
    assert_once_each(&database, &site.sim, &before);
    site.sim.assert_no_violation();
}

#[test]
fn an_old_primary_that_cannot_commit_sends_nothing() {
    let site = Site::open();
    let standby = site.start_standby(options(&site));
    let ids = site.paid_bookings(3);
    site.wait_all_synced(SOON);
    // Sessions of this test must not wait for a standby that is gone.
    site.sql("CREATE ROLE watcher SUPERUSER LOGIN; ALTER ROLE watcher SET synchronous_commit = local");
    let watcher = site.as_user("watcher");
    site.alter_system("synchronous_standby_names", "*");
    site.wait_for(
        "the standby to be synchronous",
        SOON,
        "SELECT sync_state = 'sync', sync_state FROM pg_stat_replication",
    );
    let more = site.paid_bookings(3);
    site.wait_all_synced(SOON);
    site.sql("SELECT guestly_pause('the failover')");
    let waiting = site.paid_bookings(4);
    caught_up(&site, &standby);
    site.stop(StopMode::Immediate);
    standby.promote();
    let database = standby.database("postgres");
    database.sql("SELECT guestly_resume()");
    wait_all_synced(&database, LONG);
    let calls = site.sim.metrics()["requests"].clone();
    site.start_again();
    // Its commits are no longer confirmed, not even that of an intent.
    watcher.sql("SELECT guestly_resume()");
    watcher.wait_for(
        "the old primary's worker to hang in a commit",
        SOON,
        "SELECT bool_or(wait_event = 'SyncRep'), string_agg(wait_event, ' ') FROM pg_stat_activity \
         WHERE backend_type LIKE 'guestly_sync worker%'",
    );
    assert_eq!(site.sim.metrics()["requests"], calls, "it sent what it could not record");
    assert_once_each(&database, &site.sim, &[ids, more, waiting].concat());
    site.sim.assert_no_violation();
}
