//! Idle and long runs: an idle worker runs few statements and uses no processor; fifty thousand bookings leave its memory
//! flat and no file open.

use guestly_scenarios::process::{descriptors_of, memory_of, threads_of, ticks_of};
use guestly_scenarios::{Cluster, Site, host, pass};
use std::time::{Duration, Instant};

/// Statements that an idle worker may run in one poll interval of 60 s.
const PER_POLL: i64 = 2;

fn statements(site: &Cluster) -> (i64, String) {
    let rows = site.query(
        "SELECT coalesce(sum(calls), 0)::bigint, coalesce(string_agg(calls || ' x ' || left(query, 90), E'\\n'), '') \
         FROM pg_stat_statements WHERE query !~ 'pg_stat_statements'",
        &[],
    );
    (rows[0].get(0), rows[0].get(1))
}

#[test]
fn an_idle_worker_uses_no_processor() {
    // Poll intervals of five seconds; three of them are measured.
    let site = Site::open_with(|options| {
        options
            .setting("shared_preload_libraries", "guestly_sync, pg_stat_statements")
            .setting("pg_stat_statements.track", "all")
            .setting("pg_stat_statements.track_utility", "on")
            .setting("guestly_sync.poll_interval", "5s")
            // Its transactions are not those of the extension.
            .setting("autovacuum", "off")
    });
    site.sql("CREATE EXTENSION pg_stat_statements");
    let ids = site.paid_bookings(5);
    site.wait_for_status(&ids, "synced");
    site.wait_drained();
    let worker = site.wait_for_worker(&site);
    // The first sweep belongs to the work; idleness is measured after it.
    pass(Duration::from_secs(6));
    let (ticks, commits) =
        (ticks_of(worker), "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'");
    let before: i64 = site.query_one(commits);
    // A sweep that took a transaction id would write a commit record.
    let next_xid = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
    let next: String = site.query_one(next_xid);
    site.sql("SELECT pg_stat_statements_reset()");
    pass(Duration::from_secs(15));
    let (count, which) = statements(&site);
    assert!(count >= 1, "nothing was measured: no sweep ran");
    assert!(count <= 4 * PER_POLL, "{count} statements in three poll intervals:\n{which}");
    let used = ticks_of(worker) - ticks;
    assert!(used <= 15, "the idle worker used {used}0 ms of processor time in 15 s");
    let transactions = site.query_one::<i64>(commits) - before;
    // The queries of this test are included.
    assert!(transactions <= 20, "{transactions} transactions in three poll intervals");
    assert_eq!(site.query_one::<String>(next_xid), next, "transactions that changed something");
    assert_eq!(site.wait_for_worker(&site), worker, "the worker was replaced");
    eprintln!("idle: {count} statements in 15 s at a poll interval of 5 s, {used}0 ms of processor time");
}

#[test]
fn fifty_thousand_bookings_leave_memory_flat() {
    let site = Site::open_with(|options| options.setting("guestly_sync.test_mode", "on"));
    let drain = |how_many: u32| {
        let ids = host::make_bookings(&site, how_many);
        let began = Instant::now();
        host::pay(&site, &ids);
        let left = "SELECT count(*) = 0, count(*)::text FROM guestly.queue";
        site.wait_for("an empty queue", Duration::from_secs(300), left);
        began.elapsed()
    };
    drain(2_000);
    let worker = site.wait_for_worker(&site);
    let (memory, descriptors, threads) = (memory_of(worker), descriptors_of(worker), threads_of(worker));
    let took = drain(50_000);
    assert_eq!(site.wait_for_worker(&site), worker, "the worker did not survive");
    let grown = memory_of(worker).saturating_sub(memory);
    assert!(grown <= 5 * 1024, "the worker's memory grew by {grown} kB, from {memory} kB");
    assert_eq!(descriptors_of(worker), descriptors, "the number of open files grew");
    assert_eq!(threads_of(worker), threads);
    assert_eq!(site.sim.call_log(None).len(), 0, "test mode called Guestly");
    let test: i64 = site.query_one("SELECT count(*) FROM bookings WHERE guestly_reservation_id LIKE 'test-%'");
    assert_eq!(test, 52_000);
    eprintln!(
        "test mode: 50,000 bookings in {took:?}; memory {memory} kB + {grown} kB; {} descriptors",
        descriptors.len()
    );
}
