//! Without a worker, the status view and the doctor report it and name the fix.

use guestly_scenarios::{SOON, Site};

#[test]
fn the_doctor_reports_a_missing_worker() {
    let site = Site::open();
    let worker = site.wait_for_worker(&site);
    let launcher: i32 = site.query_one("SELECT pid FROM pg_stat_activity WHERE backend_type = 'guestly_sync launcher'");
    site.signal(launcher, "STOP");
    site.signal(worker, "TERM");
    site.wait_for("no worker", SOON, "SELECT worker_pid IS NULL, worker_pid::text FROM guestly.status");
    let row = site.doctor_line("worker");
    assert!(row.0 == "fail: no worker for this database" && row.1.contains("max_worker_processes"), "{row:?}");
    site.signal(launcher, "CONT");
    site.wait_for_worker(&site);
    assert!(site.doctor_line("worker").0.starts_with("ok: process "));
}

#[test]
fn a_server_without_a_free_worker_slot_says_so() {
    let site = Site::open_with(|options| {
        options.setting("max_worker_processes", "1").setting("max_logical_replication_workers", "0")
    });
    site.wait_for("the log to say it", SOON, "SELECT pg_read_file('../log') LIKE '%raise max_worker_processes%', ''");
    let row = site.doctor_line("worker");
    assert!(row.0 == "fail: no worker for this database" && row.1.contains("max_worker_processes"), "{row:?}");
}
