//! The test support itself: servers, the host's tables, waiting, the simulator. Needs PostgreSQL but not the extension, so
//! a failure here is a fault of the machine or the support, never of the product.

use guestly_scenarios::{Cluster, Options, SOON, Sim, StopMode, host, wait_until};
use serde_json::json;
use std::panic;
use std::time::Duration;

fn bare() -> Options {
    Options::default().without_preload()
}

#[test]
fn a_restarted_server_keeps_its_data() {
    let cluster = Cluster::start(bare().setting("work_mem", "3MB"));
    assert_eq!(cluster.query_one::<String>("SHOW work_mem"), "3MB");
    assert_eq!(cluster.query_one::<String>("SHOW listen_addresses"), "");
    cluster.sql("CREATE TABLE kept AS SELECT 7 AS n");
    for mode in [StopMode::Fast, StopMode::Immediate] {
        cluster.stop(mode);
        assert!(!cluster.is_running());
        assert!(cluster.try_client().is_err(), "a stopped server accepted a connection");
        cluster.start_again();
        assert_eq!(cluster.query_one::<i32>("SELECT n FROM kept"), 7);
    }
    assert!(cluster.log().contains("automatic recovery in progress"), "an immediate stop must look like a crash");
}

#[test]
fn servers_share_only_the_system_identifier() {
    let identifier = "SELECT system_identifier FROM pg_control_system()";
    let (one, two) = (Cluster::start(bare()), Cluster::start(bare()));
    let third = Cluster::start(bare().own_identifier());
    one.sql("CREATE TABLE only_here ()");
    assert!(two.query_one::<Option<String>>("SELECT to_regclass('only_here')::text").is_none());
    assert_eq!(one.query_one::<i64>(identifier), two.query_one::<i64>(identifier));
    assert_ne!(one.query_one::<i64>(identifier), third.query_one::<i64>(identifier));
}

#[test]
fn alter_system_reaches_running_sessions() {
    let cluster = Cluster::start(bare());
    let mut session = cluster.client();
    cluster.alter_system("log_line_prefix", "it's %m ");
    wait_until("the session to see the setting", SOON, || {
        let seen: String = session.query_one("SHOW log_line_prefix", &[]).unwrap().get(0);
        (seen == "it's %m ", seen)
    });
    cluster.reset_system("log_line_prefix");
    cluster.wait_for("the reset", SOON, "SELECT s NOT LIKE 'it%', s FROM current_setting('log_line_prefix') s");
}

#[test]
fn the_server_gets_only_the_requested_environment() {
    let cluster = Cluster::start(bare().environment("GUESTLY_TEST_MODE", "on"));
    cluster.restart();
    cluster.sql("CREATE TABLE environment (line text); COPY environment FROM PROGRAM 'env'");
    assert_eq!(
        cluster.query_all::<String>("SELECT line FROM environment WHERE line LIKE 'GUEST%'"),
        ["GUESTLY_TEST_MODE=on"]
    );
    assert!(cluster.query_all::<String>("SELECT line FROM environment WHERE line LIKE 'CARGO%'").is_empty());
}

#[test]
fn sample_bookings_never_overlap() {
    let cluster = Cluster::start(bare());
    cluster.sql("CREATE DATABASE second");
    for database in [cluster.database("postgres"), cluster.database("second")] {
        host::load(&database);
        host::add_sync_columns(&database);
        assert_eq!(host::make_bookings(&database, 100).len() + host::make_bookings(&database, 50).len(), 150);
        let overlaps = "SELECT count(*) FROM bookings a JOIN bookings b ON a.property_id = b.property_id AND a.id < b.id \
                        AND a.check_in_date < b.check_out_date AND b.check_in_date < a.check_out_date";
        assert_eq!(database.query_one::<i64>(overlaps), 0);
        let odd = "SELECT count(*) FROM bookings b JOIN properties p ON p.id = b.property_id WHERE \
                   b.check_out_date - b.check_in_date <> b.nights OR b.adults + b.children > p.max_guests \
                   OR b.total <> b.subtotal + b.vat OR b.guestly_sync_status <> 'pending' \
                   OR b.booking_reference !~ '^[A-Za-z0-9-]{5,30}$'";
        assert_eq!(database.query_one::<i64>(odd), 0);
    }
}

#[test]
fn paying_an_unknown_booking_fails_the_test() {
    let cluster = Cluster::start(bare());
    host::load(&cluster);
    let ids = host::make_bookings(&cluster, 12);
    let by_number = "SELECT id::text FROM bookings ORDER BY booking_reference";
    assert_eq!(ids, cluster.query_all::<String>(by_number));
    host::pay(&cluster, &ids[..5]);
    host::pay_by_webhook(&cluster, &ids[5]);
    let paid = "SELECT count(*) FROM bookings WHERE payment_status = 'completed' AND status = 'confirmed' \
                AND stripe_charge_id LIKE 'ch%'";
    assert_eq!(cluster.query_one::<i64>(paid), 6);
    let unknown = panic::catch_unwind(|| host::pay(&cluster, &["00000000-0000-0000-0000-000000000000".to_owned()]));
    assert!(unknown.is_err(), "paying a booking that is not there must fail the test");
}

#[test]
fn host_roles_have_the_privileges_of_the_real_site() {
    let cluster = Cluster::start(bare());
    host::load(&cluster);
    host::make_bookings(&cluster, 1);
    let pay = "UPDATE bookings SET payment_status = 'completed'";
    cluster.try_sql_as("anon", pay).unwrap();
    assert_eq!(cluster.query_one::<i64>("SELECT count(*) FROM bookings WHERE payment_status = 'completed'"), 0);
    cluster.try_sql_as("authenticated", pay).unwrap();
    assert_eq!(cluster.query_one::<i64>("SELECT count(*) FROM bookings WHERE payment_status = 'completed'"), 1);
    let refused = cluster.try_sql_as("authenticated", "UPDATE bookings SET payment_status = 'paid'").unwrap_err();
    assert!(refused.starts_with("23514"), "the host's check knows no 'paid': {refused}");
}

#[test]
fn a_failed_wait_reports_the_last_value() {
    let waited =
        panic::catch_unwind(|| wait_until("a condition", Duration::from_millis(60), || (false, "a cloud".to_owned())));
    let words = *waited.unwrap_err().downcast::<String>().unwrap();
    assert!(words.contains("a condition") && words.contains("a cloud"), "{words}");
}

#[test]
fn a_stopped_primary_can_be_copied_after_failover() {
    let primary = Cluster::start(bare());
    primary.sql("CREATE TABLE followed AS SELECT 1 AS n");
    let standby = primary.start_standby(bare());
    standby.wait_for("the table", SOON, "SELECT to_regclass('followed') IS NOT NULL, 'no table'");
    assert!(standby.query_one::<bool>("SELECT pg_is_in_recovery()"));
    primary.stop(StopMode::Immediate);
    standby.promote();
    standby.sql("INSERT INTO followed VALUES (2)");
    let copy = Cluster::start_copy_of(&primary, bare());
    assert_eq!(copy.query_one::<i64>("SELECT count(*) FROM followed"), 1);
}

#[test]
fn the_simulator_reports_violations() {
    let sim = Sim::quick().without_limits();
    assert_eq!(sim.get("knobs")["limits"], false);
    let known = sim.post("listings", &json!([]));
    for (flat, listing) in host::LISTINGS {
        let found = known.as_array().unwrap().iter().any(|row| row["id"] == listing);
        assert!(found, "the listing of {flat} is not in {known}");
    }
    assert!(sim.state().is_empty() && sim.reservations_of("FLAT-000001").is_empty());
    assert_eq!((sim.calls("create"), sim.metrics()["tokens_issued"].as_u64()), (0, Some(0)));
    sim.assert_no_violation();
    assert!(ureq::get(format!("{}/v1/nowhere", sim.url())).call().is_err());
    assert!(sim.violations().iter().any(|row| row["id"] == "ROUTE"));
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(|| sim.assert_no_violation()));
    assert!(outcome.is_err(), "a fatal violation must fail the test");
    assert_eq!(sim.call_log(None).len(), 1);
    sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "status", "code": 503}}));
    assert_eq!(sim.get("faults").as_array().map(Vec::len), Some(1));
    sim.clear_faults();
    assert_eq!(sim.get("faults").as_array().map(Vec::len), Some(0));
}

#[test]
fn the_server_has_the_settings_of_its_simulator() {
    let sim = Sim::quick();
    // Without the library they are placeholders, as any name with a dot.
    let cluster = Cluster::start(sim.options().without_preload());
    let url = cluster.query_one::<String>("SHOW guestly_sync.base_url");
    assert_eq!(url, format!("{}/v1", sim.url()));
    assert_eq!(cluster.query_one::<String>("SHOW guestly_sync.settle"), "2000ms");
    sim.stop();
    assert!(ureq::get(sim.url()).call().is_err(), "a stopped simulator answered");
}
