//! DROP, CREATE and copies of databases at any moment, whatever hangs on the network; what remains is enough to resume.

use guestly_scenarios::{
    AT_ONCE, Cluster, Database, Options, SOON, Sim, Site, StopMode, assertions, host, tools, wait_until,
};
use serde_json::json;
use std::time::{Duration, Instant};

/// Every create hangs, before or after its effect.
fn hang(sim: &Sim, when: &str) {
    sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "hang", "ms": 60_000, "when": when}}));
}

/// A site with four calls in flight, and six more bookings that wait; also a database without the extension.
fn hanging_site() -> (Site, Vec<String>) {
    let site = Site::open_with(|options| options.setting("guestly_sync.request_timeout", "60s"));
    site.sql("CREATE DATABASE neighbour");
    hang(&site.sim, "after");
    let ids = site.paid_bookings(10);
    site.sim.wait_for_calls("create", 4, SOON);
    (site, ids)
}

/// Runs a statement, which must succeed at once.
fn timed(database: &Database, statement: &str) {
    let mut client = database.client();
    let began = Instant::now();
    if let Err(error) = client.batch_execute(statement) {
        panic!("{statement}: {error:?}");
    }
    let took = began.elapsed();
    assert!(took < AT_ONCE, "{statement} took {took:?}");
}

#[test]
fn drop_extension_during_calls_is_quick() {
    let (site, ids) = hanging_site();
    let done = "SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute WHERE attrelid = 'bookings'::regclass AND attname LIKE 'guestly%'";
    let columns: String = site.query_one(done);
    let since: String = site.query_one("SELECT attached_at::text FROM guestly.attachment");
    timed(&site, "DROP EXTENSION guestly_sync");
    assert_eq!(site.query_one::<String>(done), columns);
    let left: i64 = site.query_one("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'guestly%'");
    assert_eq!(left, 0, "triggers stay behind");
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM pg_namespace WHERE nspname = 'guestly'"), 0);
    wait_until("the worker to exit", SOON, || {
        let there: i64 =
            site.query_one("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'guestly_sync worker'");
        (there == 0, there.to_string())
    });
    // A sale without the extension is an ordinary update.
    let away = site.paid_booking();
    site.sim.clear_faults();
    // In one transaction: waiting bookings are sent as soon as the extension exists, and the listings were dropped.
    let listings = host::LISTINGS.map(|(property, listing)| format!("('{property}', '{listing}')")).join(", ");
    site.sql(&format!("BEGIN; CREATE EXTENSION guestly_sync; INSERT INTO guestly.listings VALUES {listings}; COMMIT"));
    assert_eq!(site.query_one::<String>("SELECT attached_at::text FROM guestly.attachment"), since);
    site.wait_for_status(&ids, "synced");
    site.wait_drained();
    site.assert_once_each(&ids);
    assert_eq!(site.sim.metrics()["creates_without_look_up"], 0);
    let listed: Vec<String> = site.query_all("SELECT booking_id FROM guestly_backfill()");
    assert_eq!(listed, std::slice::from_ref(&away), "payments made meanwhile are not sent automatically");
    site.sql("SELECT * FROM guestly_backfill(dry_run => false)");
    site.wait_synced(&away);
}

#[test]
fn a_rolled_back_drop_extension_changes_nothing() {
    let site = Site::open();
    site.sql("BEGIN; DROP EXTENSION guestly_sync; ROLLBACK");
    site.sql("CREATE ROLE stranger LOGIN");
    site.as_user("stranger").try_sql("DROP EXTENSION guestly_sync").unwrap_err();
    let id = site.paid_booking();
    site.wait_synced(&id);
    let again = "SELECT guestly_detach(); DROP EXTENSION guestly_sync; CREATE EXTENSION guestly_sync; DROP EXTENSION guestly_sync";
    site.sql(again);
}

#[test]
fn hanging_calls_do_not_delay_drop_database() {
    let (site, ids) = hanging_site();
    let other = site.database("neighbour");
    timed(&other, "CREATE DATABASE copy TEMPLATE postgres");
    timed(&other, "DROP DATABASE copy");
    timed(&site, "DROP DATABASE neighbour");
    site.sql("CREATE DATABASE neighbour");
    // The worker resumes without a second create.
    site.sim.clear_faults();
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    assert_eq!(site.sim.metrics()["creates_without_look_up"], 0);

    // Its own database, by a role that owns it and is no superuser.
    hang(&site.sim, "before");
    site.sql("CREATE ROLE keeper LOGIN CREATEDB");
    for (name, statement) in [("shop", "DROP DATABASE shop"), ("mall", "DROP DATABASE mall WITH (FORCE)")] {
        site.sql(&format!("CREATE DATABASE {name}"));
        let shop = site.database(name);
        host::set_up(&shop);
        site.sql(&format!("ALTER DATABASE {name} OWNER TO keeper"));
        let calls = site.sim.calls("create");
        host::pay(&shop, &host::make_bookings(&shop, 2));
        site.sim.wait_for_calls("create", calls + 2, SOON);
        timed(&other.as_user("keeper"), &format!("CREATE DATABASE copy_of_{name} TEMPLATE {name}"));
        site.wait_for_worker(&shop);
        timed(&other.as_user("keeper"), statement);
    }
    // Renaming one's own database.
    timed(&other, "ALTER DATABASE postgres RENAME TO renamed");
    site.database("renamed").wait_for(
        "the worker to be back",
        SOON,
        "SELECT worker_pid IS NOT NULL, '' FROM guestly.status",
    );
}

#[test]
fn a_cluster_made_by_pg_upgrade_waits_to_be_armed() {
    let site = Site::open();
    let done = site.paid_bookings(2);
    site.wait_for_status(&done, "synced");
    hang(&site.sim, "after");
    let waiting = site.paid_bookings(5);
    site.sim.wait_for_calls("create", 6, SOON);
    site.stop(StopMode::Fast);
    site.sim.clear_faults();
    let calls = site.sim.call_log(None).len();

    let new = Cluster::start(site.sim.options().own_identifier());
    new.stop(StopMode::Fast);
    let work = new.socket_folder().join("upgrade");
    tools::make_folder(&work);
    let upgrade = |more: &[&str]| {
        let mut command = tools::program("pg_upgrade");
        let bin = tools::folder_of_programs();
        command
            .current_dir(&work)
            .arg("-b")
            .arg(&bin)
            .arg("-B")
            .arg(&bin)
            .arg("-d")
            .arg(site.data())
            .arg("-D")
            .arg(new.data());
        command.args(["-U", "postgres", "-s"]).arg(&work).args(more);
        tools::feed(&mut command, &[]).unwrap_or_else(|error| panic!("{error}"))
    };
    upgrade(&["--check"]);
    upgrade(&[]);
    assert_eq!(site.sim.call_log(None).len(), calls, "Guestly was called during the upgrade");
    new.start_again();
    new.wait_for(
        "the log to say it",
        SOON,
        "SELECT pg_read_file('../log') LIKE '%the database looks like a copy%', ''",
    );
    assert!(!new.query_one::<bool>("SELECT armed FROM guestly.status"));
    new.sql("SELECT guestly_arm()");
    assertions::wait_all_synced(&new, SOON);
    assertions::assert_once_each(&new, &site.sim, &[done, waiting].concat());
    new.sql("DROP EXTENSION guestly_sync");
}

#[test]
fn binary_upgrade_mode_starts_no_launcher() {
    let cluster = Cluster::start(Options::default().setting("guestly_sync.enabled", "on"));
    host::set_up(&cluster);
    cluster.wait_for_worker(&cluster);
    cluster.stop(StopMode::Fast);
    cluster.start_with(&["-b"]);
    let ours: i64 = cluster.query_one("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'guestly%'");
    assert_eq!(ours, 0);
    cluster.stop(StopMode::Fast);
    cluster.start_again();
    cluster.wait_for_worker(&cluster);
}

/// The quickest of three rounds measures the worker, not the machine.
fn assert_within_two_seconds(what: &str, mut round: impl FnMut() -> Duration) {
    let best = (0..3).map(|_| round()).min().unwrap();
    assert!(best < Duration::from_secs(2), "{what} took {best:?} at best");
}

#[test]
fn calls_in_flight_delay_no_stop_beyond_two_seconds() {
    assert_within_two_seconds("a fast stop", || hanging_site().0.stop(StopMode::Fast));
    let site = Site::open_with(|options| options.setting("guestly_sync.request_timeout", "60s"));
    hang(&site.sim, "after");
    for (what, before) in
        [("DROP DATABASE neighbour", "CREATE DATABASE neighbour"), ("DROP EXTENSION guestly_sync", "SELECT 1")]
    {
        assert_within_two_seconds(what, || {
            site.sql(before);
            site.sql("CREATE EXTENSION IF NOT EXISTS guestly_sync");
            site.sql("DELETE FROM guestly.listings");
            host::map_listings(&site);
            let calls = site.sim.calls("create");
            site.paid_booking();
            site.sim.wait_for_calls("create", calls + 1, SOON);
            let mut client = site.client();
            let began = Instant::now();
            client.batch_execute(what).unwrap();
            began.elapsed()
        });
    }
}
