//! Reuse of running servers: a reused server has no trace of the previous test, and a server that a test stopped is not
//! reused. Needs the installed extension, because all shared servers load its library.

use guestly_scenarios::{Cluster, Options, Pool, SOON, StopMode, host, wait_until};
use std::sync::Arc;

/// A pool with one server, which a test has used.
fn used_by(test: impl FnOnce(&Cluster)) -> Arc<Pool> {
    let pool = Arc::new(Pool::default());
    let cluster = Cluster::start_in(&pool, Options::default().setting("work_mem", "3MB"));
    test(&cluster);
    drop(cluster);
    pool
}

#[test]
fn a_reused_server_has_an_empty_database() {
    let pool = used_by(|cluster| host::set_up(cluster));
    assert_eq!(pool.idle_servers(), 1);
    let next = Cluster::start_in(&pool, Options::default());
    assert_eq!(pool.idle_servers(), 0, "it must be the same server");
    let objects = "SELECT count(*) FROM pg_class WHERE oid >= 16384";
    assert_eq!(next.query_one::<i64>(objects), 0);
    assert_eq!(next.query_one::<i64>("SELECT count(*) FROM pg_extension WHERE extname <> 'plpgsql'"), 0);
}

#[test]
fn a_reused_server_has_no_roles_of_the_previous_test() {
    let pool = used_by(|cluster| {
        host::set_up(cluster);
        cluster.sql("CREATE ROLE visitor LOGIN; GRANT SET ON PARAMETER work_mem TO visitor; ALTER ROLE visitor SET work_mem = '5MB'");
    });
    let next = Cluster::start_in(&pool, Options::default());
    assert_eq!(next.query_all::<String>("SELECT rolname::text FROM pg_roles WHERE oid >= 16384"), Vec::<String>::new());
}

#[test]
fn a_reused_server_has_the_settings_of_its_test() {
    let pool = used_by(|cluster| cluster.alter_system("maintenance_work_mem", "17MB"));
    let next = Cluster::start_in(&pool, Options::default().setting("guestly_sync.source", "another"));
    let read = |name: &str| next.query_one::<String>(&format!("SELECT current_setting('{name}')"));
    assert_eq!(["guestly_sync.source", "work_mem", "maintenance_work_mem"].map(read), ["another", "4MB", "64MB"]);
}

#[test]
fn the_log_of_a_reused_server_begins_with_its_test() {
    let pool = used_by(|cluster| cluster.sql("DO $$ BEGIN RAISE LOG 'a line of the first test'; END $$"));
    let next = Cluster::start_in(&pool, Options::default().setting("guestly_sync.client_secret", "canary"));
    next.sql("DO $$ BEGIN RAISE LOG 'a line of the second test'; END $$");
    let log = next.log();
    assert!(log.contains("a line of the second test"), "{log}");
    assert!(!log.contains("a line of the first test") && !log.contains("canary"), "{log}");
}

#[test]
fn a_reused_server_starts_a_worker() {
    let pool = used_by(|cluster| {
        host::set_up(cluster);
        cluster.wait_for_worker(cluster);
    });
    let next = Cluster::start_in(&pool, Options::default());
    host::set_up(&next);
    next.wait_for_worker(&next);
}

#[test]
fn a_stopped_server_is_not_reused() {
    let pool = used_by(|cluster| {
        cluster.stop(StopMode::Immediate);
        cluster.start_again();
    });
    assert_eq!(pool.idle_servers(), 0);
}

#[test]
fn a_crashed_server_is_not_reused() {
    let pool = used_by(|cluster| {
        let mut session = cluster.client();
        let pid: i32 = session.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        // The server may take this connection away before it answers.
        let _cut = cluster.try_sql(&format!("COPY (SELECT) TO PROGRAM 'kill -KILL {pid}'"));
        wait_until("the server to recover", SOON, || {
            let log = cluster.log();
            (log.contains("reinitializing") && cluster.try_client().is_ok(), log)
        });
    });
    assert_eq!(pool.idle_servers(), 0);
}

#[test]
fn a_setting_that_needs_a_restart_gets_a_new_server() {
    let pool = used_by(|_| ());
    let other = Cluster::start_in(&pool, Options::default().setting("max_prepared_transactions", "3"));
    assert_eq!(other.query_one::<String>("SHOW max_prepared_transactions"), "3");
    drop(other);
    assert_eq!(pool.idle_servers(), 1);
}
