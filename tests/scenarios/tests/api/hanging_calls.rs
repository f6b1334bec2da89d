//! While the API hangs, the worker has no open transaction, snapshot or lock, and the statistics views show its work. Stops
//! and DROPs during a call are in `drop_and_shutdown` and `crash_recovery`.

use guestly_scenarios::{SOON, Site, pass};
use std::time::Duration;

fn assert_idle(site: &Site) {
    let idle = "SELECT a.state = 'idle' AND a.backend_xmin IS NULL AND a.backend_xid IS NULL AND a.xact_start IS NULL \
                AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype <> 'virtualxid' AND l.mode <> 'none'), \
                concat_ws(' ', a.state, a.backend_xmin, a.wait_event_type, a.wait_event) \
                FROM pg_stat_activity a WHERE a.backend_type = 'guestly_sync worker'";
    site.wait_for("a worker without claims", SOON, idle);
}

#[test]
fn no_transaction_is_open_while_guestly_hangs() {
    let site = Site::open();
    site.sim.hold("create", "before");
    let ids = site.paid_bookings(8);
    site.sim.wait_for_calls("create", 4, SOON);
    let claimed = "SELECT count(*) = 8, count(*)::text FROM guestly.queue WHERE state = 'sending'";
    site.wait_for("four in flight and four prefetched", SOON, claimed);
    assert_idle(&site);
    // A long transaction would hold back vacuum, which removes rows deleted after the call began.
    site.sql("CREATE TABLE churn AS SELECT 1 AS n; DELETE FROM churn");
    site.sql("VACUUM churn");
    assert_eq!(site.query_one::<i64>("SELECT pg_relation_size('churn')"), 0, "dead rows could not be removed");
    // DDL on the bookings is not blocked either.
    site.sql("SET lock_timeout = '20s'; ALTER TABLE bookings ADD COLUMN colour text");
    site.sim.release();
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.calls("create"), 8);
    site.assert_once_each(&ids);
}

#[test]
fn statistics_show_the_work_of_the_worker() {
    let site = Site::open_with(|options| options.setting("guestly_sync.poll_interval", "1h"));
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
    // The worker's transactions do not grow while nothing happens. Those of this test do, so the worker's
    // activity is compared, not the database's counter.
    let quiet = "SELECT clock_timestamp() - state_change > interval '3 seconds', (clock_timestamp() - state_change)::text \
                 FROM pg_stat_activity WHERE backend_type = 'guestly_sync worker'";
    site.wait_for("the first sweep to be over", SOON, quiet);
    let last = "SELECT state_change::text FROM pg_stat_activity WHERE backend_type = 'guestly_sync worker'";
    let before: String = site.query_one(last);
    for _ in 0..20 {
        site.sql("UPDATE bookings SET special_requests = 'quiet, please'");
    }
    // No condition shows that no wake-up is pending: one takes milliseconds.
    pass(Duration::from_secs(1));
    assert_eq!(site.query_one::<String>(last), before, "an update that pays nothing woke the worker");
    assert_eq!(site.sim.call_log(None).len(), 21);
}
