//! Copies are inert: a plain or custom dump restores into a new server without errors, brings the configuration and the
//! queue, and sends nothing until it is armed. Then each booking is created once.

use guestly_scenarios::{Cluster, SOON, Sim, Site, StopMode, assertions, host, tools, wait_until};
use serde_json::json;

/// The doctor's fix.
const ARM: &str = "Do nothing if the original is still running. To make this server the sender: SELECT guestly_arm();";

/// A site in the middle of its work: synced, failed, unknown, in flight, and waiting; with edited configuration. Gives the
/// ids of all that should end up in Guestly.
fn busy_site() -> (Site, Vec<String>) {
    let site = Site::open_with(|options| {
        options
            .setting("guestly_sync.concurrency", "2")
            .setting("guestly_sync.request_timeout", "60s")
            .environment("GUESTLY_ENVIRONMENT", "production")
    });
    site.sql(
        "UPDATE guestly.status_map SET guestly_status = 'reserved' WHERE booking_status = 'pending'; \
         DELETE FROM guestly.status_map WHERE booking_status = 'canceled'; \
         INSERT INTO guestly.listings VALUES ('cellar', '64b1f0aa11bb22cc33dd4499'); \
         UPDATE guestly.field_map SET expression = 'b.total + 1' WHERE field = 'total'; \
         CREATE ROLE flats_owner; GRANT flats_owner TO postgres; ALTER TABLE properties OWNER TO flats_owner; \
         GRANT SELECT ON properties TO site_owner; CREATE ROLE ann LOGIN IN ROLE guestly_admin",
    );
    let done = site.paid_bookings(3);
    site.wait_for_status(&done, "synced");
    site.sim.fault(json!([
        {"match": {"operation": "create", "nth": 1}, "effect": {"kind": "hang", "ms": 60_000, "when": "after"}},
        {"match": {"operation": "create", "nth": 2}, "effect": {"kind": "hang", "ms": 60_000, "when": "before"}}
    ]));
    let creates = site.sim.calls("create");
    let waiting = site.paid_bookings(6);
    site.sim.wait_for_calls("create", creates + 2, SOON);
    let claimed = "SELECT count(*) = 4, count(*)::text FROM guestly.queue WHERE state = 'sending'";
    site.wait_for("two calls in flight and two prefetched", SOON, claimed);
    (site, done.into_iter().chain(waiting).collect())
}

/// Another server, configured to send to the same Guestly.
fn fresh_server(sim: &Sim) -> Cluster {
    let options = sim.options().own_identifier().setting("guestly_sync.poll_interval", "500ms");
    Cluster::start(options)
}

/// The state that a dump must contain. The copy's worker recognises an orphaned claim as soon as it runs, armed or not.
const CONFIGURATION: &str = "SELECT concat_ws(E'\\n', \
    (SELECT string_agg(m::text, ';' ORDER BY booking_status) FROM guestly.status_map m), \
    (SELECT string_agg(l::text, ';' ORDER BY property) FROM guestly.listings l), \
    (SELECT string_agg(f::text, ';' ORDER BY field) FROM guestly.field_map f), \
    (SELECT string_agg(o::text, ';' ORDER BY booking_id) FROM guestly.old_bookings o), \
    (SELECT string_agg(r.booking_id || r.reservation_id, ';' ORDER BY booking_id) FROM guestly.reservations r), \
    (SELECT string_agg(q.booking_id || replace(q.state, 'sending', 'unknown') || q.arrival, ';' ORDER BY booking_id) FROM guestly.queue q), \
    (SELECT a::text FROM guestly.attachment a), (SELECT count(*)::text FROM guestly.attempts \
    WHERE error IS DISTINCT FROM 'the worker ended during the call'))";

fn goes_into_a_fresh_server(format: &str) {
    let (site, ids) = busy_site();
    // Paid while the triggers were disabled, and not found by the sweep yet.
    let missed = host::make_bookings(&site, 1).remove(0);
    site.sql(&format!(
        "SELECT guestly_pause('before the dump'); SELECT guestly_resume(); SET session_replication_role = replica; \
         UPDATE bookings SET payment_status = 'completed', status = 'confirmed' WHERE id = '{missed}'"
    ));
    // The worker's first sweep may find it now; the dump and the state that it is compared with must be of one moment.
    let (mut before, mut dump): (String, Vec<u8>) = (String::new(), Vec::new());
    wait_until("no activity", SOON, || {
        before = site.query_one(CONFIGURATION);
        dump = tools::dump(&site, format);
        (site.query_one::<String>(CONFIGURATION) == before, before.clone())
    });
    let token: String = site.query_one("SELECT access_token FROM guestly.token");
    site.stop(StopMode::Immediate);
    site.sim.clear_faults();
    let calls = site.sim.call_log(None).len();

    let copy = fresh_server(&site.sim);
    tools::make_roles(&copy, &["anon", "authenticated", "service_role", "site_owner", "flats_owner", "ann"]);
    tools::restore(&copy, format, &dump).unwrap();
    assert_eq!(copy.query_one::<String>(CONFIGURATION), before, "something is missing in the copy");
    assert_eq!(copy.query_one::<i64>("SELECT count(*) FROM guestly.token"), 0, "the token is not dumped");
    assert!(!String::from_utf8_lossy(&dump).contains(&token));

    // Until it is armed nothing is sent.
    copy.wait_for_worker(&copy);
    copy.wait_for(
        "the sweep",
        SOON,
        &format!("SELECT count(*) = 1, '' FROM guestly.queue WHERE booking_id = '{missed}'"),
    );
    let new = host::make_bookings(&copy, 1);
    host::pay(&copy, &new);
    copy.sql(&format!("SELECT guestly_sync('{}'); SELECT guestly_resume(); SELECT pg_reload_conf()", new[0]));
    let online: String = copy.query_one(
        "SELECT concat_ws(': ', status, detail, fix) FROM guestly_doctor(online => true) WHERE check_name = 'online'",
    );
    assert_eq!(online, format!("fail: the database looks like a copy: nothing is sent from this server: {ARM}"));
    copy.restart();
    copy.wait_for_worker(&copy);
    let armed: String = copy
        .query_one("SELECT status || ': ' || detail || ': ' || fix FROM guestly_doctor() WHERE check_name = 'armed'");
    assert_eq!(armed, format!("fail: sending is disabled on this server: the database looks like a copy: {ARM}"));
    assert!(!copy.query_one::<bool>("SELECT armed FROM guestly.status"));
    copy.wait_for(
        "the log to say it",
        SOON,
        "SELECT pg_read_file('../log') ~ 'the database looks like a copy.*\\n.*SELECT guestly_arm\\(\\)', ''",
    );
    assert!(!copy.log().contains("cannot work"), "{}", copy.log());
    assert_eq!(site.sim.call_log(None).len(), calls, "a copy has called Guestly");

    copy.sql("SELECT guestly_arm()");
    assertions::wait_all_synced(&copy, SOON);
    let all: Vec<String> = ids.into_iter().chain([missed]).chain(new).collect();
    assertions::assert_once_each(&copy, &site.sim, &all);
    assert_eq!(site.sim.metrics()["creates_without_look_up"], 0);
    assert!(!copy.log().contains("cannot work"), "{}", copy.log());
    // From now on it works as any other site.
    let last = host::make_bookings(&copy, 1);
    host::pay(&copy, &last);
    assertions::wait_all_synced(&copy, SOON);
    copy.sql("DROP EXTENSION guestly_sync");
}

#[test]
fn a_restored_plain_dump_is_inert_until_armed() {
    goes_into_a_fresh_server("plain");
}

#[test]
fn a_restored_custom_dump_is_inert_until_armed() {
    goes_into_a_fresh_server("custom");
}

#[test]
fn bookings_of_an_older_dump_are_looked_up_first() {
    let site = Site::open();
    site.sql("SELECT guestly_pause()");
    let ids = site.paid_bookings(3);
    let mut dump = tools::program("pg_dump");
    let dump = tools::feed(dump.args(site.arguments()).args(["--clean", "--if-exists"]), &[]).unwrap();
    site.sql("SELECT guestly_resume()");
    site.wait_all_synced(SOON);
    tools::restore(&site, "plain", &dump).unwrap();
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.queue"), 3, "the queue was restored");
    site.sql("SELECT guestly_resume()");
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.calls("create"), 3);
    site.assert_once_each(&ids);
}

/// Columns of the queue had other names then, so its rows go into the tables of that version first.
#[test]
fn a_dump_of_0_2_1_keeps_an_uncertain_create() {
    let site = Site::bare_with(|options| options.setting("guestly_sync.poll_interval", "300ms"));
    site.sql("CREATE EXTENSION guestly_sync VERSION '0.2.1'; SELECT guestly_pause('for the dump')");
    host::map_listings(&site);
    host::without_notes(&site);
    let ids = site.paid_bookings(2);
    let code = site.code(&ids[0]);
    site.sql(&format!(
        "UPDATE guestly.queue SET state = 'unknown', due_at = now(), code = '{code}', doubt_since = now(), creates = 1 \
         WHERE booking_id = '{}'",
        ids[0]
    ));
    let dump = tools::dump(&site, "custom");
    site.stop(StopMode::Immediate);

    let copy = fresh_server(&site.sim);
    tools::make_roles(&copy, &["anon", "authenticated", "service_role", "site_owner"]);
    copy.sql("CREATE EXTENSION guestly_sync VERSION '0.2.1'");
    tools::restore(&copy, "custom", &dump).unwrap();
    copy.sql("ALTER EXTENSION guestly_sync UPDATE; SELECT guestly_arm(); SELECT guestly_resume()");
    assertions::wait_all_synced(&copy, SOON);
    assertions::assert_once_each(&copy, &site.sim, &ids);
    assert_eq!(site.sim.metrics()["creates_without_look_up"], 0);
}

#[test]
fn a_second_database_of_the_same_server_is_a_copy_too() {
    let site = Site::open_with(|options| options.setting("guestly_sync.poll_interval", "200ms"));
    let id = site.paid_booking();
    site.wait_synced(&id);
    site.sql("CREATE DATABASE staging TEMPLATE postgres");
    let copy = site.database("staging");
    assert!(!copy.query_one::<bool>("SELECT armed FROM guestly.status"));
    assert!(site.query_one::<bool>("SELECT armed FROM guestly.status"), "the original is still allowed to send");
    let ids = host::make_bookings(&copy, 1);
    host::pay(&copy, &ids);
    let calls = site.sim.call_log(None).len();
    site.wait_for_worker(&copy);
    copy.worker_looked_again();
    assert_eq!(site.sim.call_log(None).len(), calls, "a copy has called Guestly");
    copy.sql("SELECT guestly_arm()");
    assertions::wait_all_synced(&copy, SOON);
    assert_eq!(site.sim.state().len(), 2);
}

#[test]
fn a_physical_clone_under_another_environment_is_inert() {
    let site = Site::open_with(|options| options.environment("GUESTLY_ENVIRONMENT", "production"));
    let id = site.paid_booking();
    site.wait_synced(&id);
    site.sql("SELECT guestly_pause()");
    let waiting = site.paid_bookings(2);
    site.sql("SELECT guestly_resume()");
    site.wait_for_status(&waiting, "synced");
    site.stop(StopMode::Fast);
    let calls = site.sim.call_log(None).len();

    let clone = Cluster::start_copy_of(&site, site.sim.options().environment("GUESTLY_ENVIRONMENT", "staging"));
    let ids = host::make_bookings(&clone, 2);
    host::pay(&clone, &ids);
    clone.wait_for(
        "the log to say it",
        SOON,
        "SELECT pg_read_file('../log') LIKE '%the database looks like a copy%', ''",
    );
    assert!(!clone.query_one::<bool>("SELECT armed FROM guestly.status"));
    // The original continues unchanged.
    site.start_again();
    let later = site.paid_booking();
    site.wait_synced(&later);
    assert!(!clone.query_one::<bool>("SELECT armed FROM guestly.status"));
    let creates: Vec<_> = site.sim.call_log(None).into_iter().skip(calls).collect();
    assert!(
        creates
            .iter()
            .all(|row| row["confirmationCode"].is_null() || row["confirmationCode"] == site.code(&later).as_str()),
        "{creates:?}"
    );
    site.stop(StopMode::Fast);
    // Without `environment` both appear to be the same server: the name identifies a clone.
    clone.alter_system("guestly_sync.environment", "production");
    clone.wait_for("the clone to be armed by its name", SOON, "SELECT armed, '' FROM guestly.status");
    assertions::wait_all_synced(&clone, SOON);
}

#[test]
fn an_armed_clone_looks_up_calls_in_flight() {
    let (site, ids) = busy_site();
    site.stop(StopMode::Immediate);
    site.sim.clear_faults();
    let calls = site.sim.call_log(None).len();
    let clone = Cluster::start_copy_of(&site, site.sim.options().environment("GUESTLY_ENVIRONMENT", "staging"));
    clone.wait_for(
        "the claims to be orphaned",
        SOON,
        "SELECT count(*) = 4, string_agg(state, ' ') FROM guestly.queue WHERE state = 'unknown'",
    );
    assert_eq!(site.sim.call_log(None).len(), calls, "a clone has called Guestly");
    clone.sql("SELECT guestly_arm()");
    assertions::wait_all_synced(&clone, SOON);
    assertions::assert_once_each(&clone, &site.sim, &ids);
    assert_eq!(site.sim.metrics()["creates_without_look_up"], 0);
}

#[test]
fn bookings_that_had_failed_in_a_copy_are_looked_up() {
    let site = Site::open();
    // It fails before it is ever sent: nothing in the copy's own log says that Guestly may have it.
    site.sql("DELETE FROM guestly.listings");
    let id = site.paid_booking();
    site.wait_failed(&id);
    site.sql("SELECT guestly_pause('for the move')");
    let dump = tools::dump(&site, "custom");
    site.sql("SELECT guestly_resume()");
    host::map_listings(&site);
    site.sql("SELECT guestly_retry_failed()");
    site.wait_synced(&id);
    site.stop(StopMode::Fast);

    let copy = fresh_server(&site.sim);
    tools::make_roles(&copy, &["anon", "authenticated", "service_role", "site_owner"]);
    tools::restore(&copy, "custom", &dump).unwrap();
    host::map_listings(&copy);
    copy.sql("SELECT guestly_arm(); SELECT guestly_retry_failed()");
    assert_eq!(copy.query_one::<String>("SELECT pause_reason FROM guestly.status WHERE paused"), "for the move");
    copy.sql("SELECT guestly_resume()");
    assertions::wait_all_synced(&copy, SOON);
    assertions::assert_once_each(&copy, &site.sim, &[id]);
}
