//! Upgrades: a library and SQL objects of different versions never work together, and say which command is missing. An
//! updated or restored installation equals a new one.

use guestly_scenarios::{Cluster, Database, Options, SOON, Site, host, tools};

const VERSION: &str = "0.3.0";

/// The objects of the extension as text that is equal for equal installations.
const SHAPE: &str = r#"
WITH member AS (
    SELECT d.classid, d.objid FROM pg_depend d WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
    AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'guestly_sync')
), part AS (
    SELECT 'member ' || pg_describe_object(classid, objid, 0) AS words FROM member
    UNION ALL SELECT pg_get_functiondef(objid) || coalesce(obj_description(objid, 'pg_proc'), '') || coalesce(p.proacl::text, '')
        FROM member JOIN pg_proc p ON p.oid = objid WHERE classid = 'pg_proc'::regclass
    UNION ALL SELECT format('%s %s %s %s %s', c.relname, c.relkind, c.reloptions, obj_description(c.oid, 'pg_class'),
            (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(coalesce(c.relacl, acldefault('r', c.relowner))) a WHERE a::text !~ '^site_owner='))
        FROM pg_class c WHERE c.relnamespace = 'guestly'::regnamespace AND c.relkind IN ('r', 'v', 'i')
    UNION ALL SELECT format('%s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'guestly'::regnamespace AND c.relkind IN ('r', 'v')
    UNION ALL SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace = 'guestly'::regnamespace
    UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indrelid
        WHERE c.relnamespace = 'guestly'::regnamespace
    UNION ALL SELECT pg_get_triggerdef(t.oid) || t.tgenabled::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND (c.relnamespace = 'guestly'::regnamespace OR t.tgname LIKE 'guestly%')
    UNION ALL SELECT 'dumped ' || string_agg(c::regclass::text, ' ' ORDER BY c::regclass::text)
        FROM pg_extension e, unnest(e.extconfig) c WHERE e.extname = 'guestly_sync'
    UNION ALL SELECT format('schema guestly %s', (SELECT string_agg(a::text, ' ' ORDER BY a::text)
        FROM unnest(nspacl) a WHERE a::text !~ '^site_owner=')) FROM pg_namespace WHERE nspname = 'guestly'
    UNION ALL SELECT format('%s %s belongs to %s', classid::regclass, pg_describe_object(classid, objid, 0), pg_get_userbyid(coalesce(
            (SELECT proowner FROM pg_proc WHERE classid = 'pg_proc'::regclass AND oid = objid),
            (SELECT relowner FROM pg_class WHERE classid = 'pg_class'::regclass AND oid = objid),
            (SELECT typowner FROM pg_type WHERE classid = 'pg_type'::regclass AND oid = objid),
            (SELECT nspowner FROM pg_namespace WHERE classid = 'pg_namespace'::regclass AND oid = objid)))) FROM member
    UNION ALL SELECT pg_get_viewdef('guestly.status'::regclass)
    UNION ALL SELECT format('owner reads %s: %s', relname, has_table_privilege('site_owner', oid, 'SELECT'))
        FROM pg_class WHERE relnamespace = 'guestly'::regnamespace AND relkind IN ('r', 'v')
)
SELECT words FROM part ORDER BY words COLLATE pg_catalog."C""#;

/// The parts of one installation that the other has not, in both directions.
fn differences(one: &Database, other: &Database) -> Vec<String> {
    let (left, right): (Vec<String>, Vec<String>) = (one.query_all(SHAPE), other.query_all(SHAPE));
    assert!(left.len() > 150, "the shape has only {} parts", left.len());
    let only = |mark: &str, these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|part| !those.contains(part)).map(|part| format!("{mark} {part}")).collect()
    };
    [only("-", &left, &right), only("+", &right, &left)].concat()
}

/// Pretends that the SQL objects are of this version.
fn set_version(site: &Cluster, version: &str) {
    site.sql(&format!("UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'guestly_sync'"));
}

fn idles_and_says(version: &str, fix: &str, logged: &str) {
    let site = Site::open_with(|options| options.setting("guestly_sync.poll_interval", "300ms"));
    let first = site.paid_bookings(20);
    set_version(&site, version);
    let later = site.paid_bookings(5);
    let doctor = "SELECT status || '|' || detail || '|' || fix FROM guestly_doctor() WHERE check_name = 'version'";
    let said: String = site.query_one(doctor);
    assert_eq!(said, format!("fail|library {VERSION}, SQL objects {version}|{fix}"));
    site.wait_for(
        "the log to say it",
        SOON,
        &format!(
            "SELECT pg_read_file('../log') LIKE '%the SQL objects are version {version}: nothing is sent%{logged}%', ''"
        ),
    );
    // Calls in flight finish; no new one starts.
    site.wait_for("calls to end", SOON, "SELECT count(*) = 0, '' FROM guestly.queue WHERE state = 'sending'");
    let calls = site.sim.call_log(None).len();
    site.kill_worker(&site, "TERM");
    site.wait_for_worker(&site);
    site.wait_for("a sweep", SOON, "SELECT count(*) >= 5, count(*)::text FROM guestly.queue");
    assert_eq!(site.sim.call_log(None).len(), calls, "sent with SQL objects of another version");
    set_version(&site, VERSION);
    site.wait_for_status(&[first.clone(), later.clone()].concat(), "synced");
    site.assert_once_each(&[first, later].concat());
    let said: String = site.query_one("SELECT status FROM guestly_doctor() WHERE check_name = 'version'");
    assert_eq!(said, "ok");
}

#[test]
fn a_library_newer_than_the_sql_names_the_command() {
    idles_and_says("0.0.9", "ALTER EXTENSION guestly_sync UPDATE;", "Run ALTER EXTENSION guestly_sync UPDATE");
}

#[test]
fn sql_newer_than_the_library_asks_for_a_restart() {
    idles_and_says("0.10.0", "Restart the server: it still runs the older library", "Restart the server");
}

#[test]
fn a_restored_installation_is_the_same_as_a_fresh_one() {
    let site = Site::open();
    let ids = site.paid_bookings(3);
    site.wait_for_status(&ids, "synced");
    site.sql("CREATE DATABASE fresh");
    site.sql("CREATE DATABASE restored");
    let (fresh, restored) = (site.database("fresh"), site.database("restored"));
    host::set_up(&fresh);
    tools::restore(&restored, "custom", &tools::dump(&site, "custom")).unwrap();
    assert_eq!(differences(&fresh, &restored), Vec::<String>::new());
    assert_eq!(differences(&fresh, &site), Vec::<String>::new());
    // The comparison detects a difference.
    restored.sql("GRANT SELECT ON guestly.token TO anon; ALTER TABLE guestly.queue ALTER attempts SET DEFAULT 1; DROP INDEX guestly.queue_ready");
    assert!(differences(&fresh, &restored).len() >= 3);
}

/// The SQL of the released versions; the set-up installs what is in `tests/fixtures` beside what is shipped.
fn released(server: &Database) -> Vec<String> {
    let query =
        "SELECT version FROM pg_available_extension_versions WHERE name = 'guestly_sync' AND version <> $1 ORDER BY 1";
    let found: Vec<String> = server.query_all(&query.replace("$1", &format!("'{VERSION}'")));
    assert!(found.starts_with(&["0.1.0".to_owned(), "0.2.0".to_owned(), "0.2.1".to_owned()]), "{found:?}");
    found
}

#[test]
fn every_former_version_updates_to_a_fresh_installation() {
    let fresh = Cluster::start(Options::default());
    host::set_up(&fresh);
    for version in released(&fresh) {
        let site = Site::bare_with(|options| options.setting("guestly_sync.poll_interval", "300ms"));
        site.sql(&format!("CREATE EXTENSION guestly_sync VERSION '{version}'"));
        host::map_listings(&site);
        let ids = host::make_bookings(&site, 60);
        let (before, meanwhile) = ids.split_at(20);
        host::pay(&site, before);
        std::thread::scope(|scope| {
            let sales = scope.spawn(|| meanwhile.iter().for_each(|id| host::pay(&site, std::slice::from_ref(id))));
            site.sql("ALTER EXTENSION guestly_sync UPDATE");
            host::without_notes(&site);
            sales.join().unwrap();
        });
        site.wait_for_status(&ids, "synced");
        site.assert_once_each(&ids);
        assert_eq!(differences(&fresh, &site), Vec::<String>::new(), "updated from {version}");
    }
}

#[test]
fn statuses_newly_counted_as_paid_stay_old_after_update() {
    let site = Site::bare_with(|options| options.setting("guestly_sync.poll_interval", "300ms"));
    site.sql("ALTER TABLE bookings DROP CONSTRAINT bookings_payment_status_check");
    let ids = host::make_bookings(&site, 3);
    let pay = |ids: &[String], before: &str| {
        host::update_all(&site, ids, before, "payment_status = 'COMPLETED', status = 'confirmed'")
    };
    pay(&ids[..2], "SELECT");
    site.sql("CREATE EXTENSION guestly_sync VERSION '0.1.0'");
    host::map_listings(&site);
    site.sql("ALTER EXTENSION guestly_sync UPDATE");
    host::without_notes(&site);
    pay(&ids[2..], "SET session_replication_role = replica");
    site.wait_for_status(&ids[2..], "synced");
    assert_eq!(site.sim.state().len(), 1, "an old booking was sent");
    let index = "SELECT pg_get_indexdef('bookings_guestly_open_idx'::regclass)";
    assert!(site.query_one::<String>(index).contains("btrim(payment_status"), "the index of 0.1.0");
}

/// The state that a worker of the former version left: a synced booking, a failed one, an uncertain one, a log, a pause, an
/// alert, and today's token with its history. Gives the ids in that order.
fn left_by_the_former_version(site: &Site) -> Vec<String> {
    host::create_extension(site);
    host::map_listings(site);
    host::without_notes(site);
    let held = site.paid_booking();
    site.wait_synced(&held);
    site.wait_drained();
    site.sql(
        "CREATE SCHEMA kept; CREATE TABLE kept.token AS TABLE guestly.token; CREATE TABLE kept.token_requests AS TABLE guestly.token_requests; \
         CREATE TABLE kept.attempts AS TABLE guestly.attempts; \
         CREATE TABLE kept.reservations AS SELECT booking_id, reservation_id, confirmation_code, status, listing_id, check_in, \
         check_out, adults, children, infants, pets, adopted, recorded_at FROM guestly.reservations; \
         DROP EXTENSION guestly_sync; CREATE EXTENSION guestly_sync VERSION '0.1.0'",
    );
    host::map_listings(site);
    host::without_notes(site);
    let ids = site.paid_bookings(2);
    site.sql(&format!(
        "DELETE FROM guestly.reservations; INSERT INTO guestly.token TABLE kept.token; \
         INSERT INTO guestly.token_requests TABLE kept.token_requests; INSERT INTO guestly.attempts TABLE kept.attempts; \
         INSERT INTO guestly.reservations (booking_id, reservation_id, confirmation_code, status, listing_id, check_in, check_out, \
         adults, children, infants, pets, adopted, recorded_at) TABLE kept.reservations; \
         UPDATE guestly.queue SET state = 'failed', error_class = 'refused', error = 'no' WHERE booking_id = '{}'; \
         UPDATE guestly.queue SET state = 'unknown', error_class = 'unknown_outcome', error = 'no answer came', attempts = 1, \
         creates = 1, code = '{}', doubt_since = now() WHERE booking_id = '{}'; \
         INSERT INTO guestly.alerts (kind, booking_id, cause, sentence) VALUES ('booking_failed', '{}', 'refused', 'no'); \
         SELECT guestly_pause('for the update')",
        ids[0],
        site.code(&ids[1]),
        ids[1],
        ids[0]
    ));
    [vec![held], ids].concat()
}

#[test]
fn former_state_survives_the_update() {
    let site = Site::bare_with(|options| options.setting("guestly_sync.poll_interval", "300ms"));
    let ids = left_by_the_former_version(&site);
    site.restart();
    site.wait_for(
        "the log to say it",
        SOON,
        "SELECT pg_read_file('../log') ~ 'SQL objects are version 0.1.0: nothing is sent.*\\n.*Run ALTER EXTENSION guestly_sync UPDATE', ''",
    );
    // The former version's own doctor and status report the same.
    let said: Vec<String> = site.query_all(
        "SELECT concat_ws('|', status, detail, fix) FROM guestly_doctor(online => true) WHERE check_name IN ('version', 'online') ORDER BY check_name DESC",
    );
    assert_eq!(said[0], format!("fail|library {VERSION}, SQL objects 0.1.0|ALTER EXTENSION guestly_sync UPDATE;"));
    assert!(said[1].contains("nothing is sent. Run ALTER EXTENSION guestly_sync UPDATE."), "{said:?}");
    let status =
        "SELECT concat_ws(' ', worker_pid IS NOT NULL, paused, failed, unknown, tokens_24h) FROM guestly.status";
    assert_eq!(site.query_one::<String>(status), "t t 1 1 1");
    let calls = site.sim.call_log(None).len();
    site.sql("SELECT guestly_resume(); SELECT pg_reload_conf()");
    site.worker_looked_again();
    assert_eq!(site.sim.call_log(None).len(), calls, "sent with SQL objects of another version");
    assert!(!site.log().contains("cannot work"), "{}", site.log());

    site.sql("SELECT guestly_pause('for the update'); ALTER EXTENSION guestly_sync UPDATE");
    assert_eq!(site.query_one::<String>(status), "t t 1 1 1");
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.attempts WHERE operation = 'create'"), 1);
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.alerts WHERE state = 'waiting'"), 1);
    site.sql("SELECT guestly_resume(); SELECT guestly_retry_failed()");
    site.wait_for_status(&ids, "synced");
    site.assert_once_each(&ids);
    assert_eq!(site.sim.metrics()["creates_without_look_up"], 0);
    // A booking that was synced before the update is changed, not created again.
    let creates = site.sim.calls("create");
    site.sql(&format!("UPDATE bookings SET adults = 3, children = 0, infants = 0 WHERE id = '{}'", ids[0]));
    site.wait_for(
        "the change",
        SOON,
        &format!("SELECT adults = 3, adults::text FROM guestly.reservations WHERE booking_id = '{}'", ids[0]),
    );
    assert_eq!(site.sim.calls("create"), creates);
    assert_eq!(site.only_reservation(&ids[0])["numberOfGuests"]["numberOfAdults"], 3);
    assert_eq!(site.sim.calls("token"), 1, "the saved token was not used");
    assert!(!site.log().contains("cannot work"), "{}", site.log());
}

/// A row of each state in the queue of a former version, none of them due.
fn queue_of_a_former_version(site: &Site, version: &str) -> Vec<String> {
    site.sql(&format!("CREATE EXTENSION guestly_sync VERSION '{version}'; SELECT guestly_pause('for the update')"));
    host::map_listings(site);
    host::without_notes(site);
    let ids = site.paid_bookings(4);
    let code = site.code(&ids[2]);
    let rows = [
        format!("('{}', 'ready', 0, now(), NULL, NULL, 0, NULL, NULL)", ids[0]),
        format!("('{}', 'waiting', 3, now() + interval '1 min', NULL, NULL, 0, 'unavailable', 'no server')", ids[1]),
        format!(
            "('{}', 'unknown', 1, now() + interval '1 min', '{code}', now(), 1, 'unknown_outcome', 'no answer')",
            ids[2]
        ),
        format!("('{}', 'failed', 8, now(), NULL, NULL, 0, 'refused', 'no')", ids[3]),
    ];
    site.sql(&format!(
        "DELETE FROM guestly.queue; \
         INSERT INTO guestly.queue (booking_id, state, attempts, due_at, code, doubt_since, creates, error_class, error) \
         VALUES {}",
        rows.join(", ")
    ));
    ids
}

#[test]
fn each_state_of_the_queue_survives_every_update() {
    let own_words = "booking_id, state, attempts, due_at, queued_at, error_class, error";
    for version in released(&Cluster::start(Options::default())) {
        let site = Site::bare_with(|options| {
            options.setting("guestly_sync.poll_interval", "300ms").setting("guestly_sync.backoff_max", "5min")
        });
        let ids = queue_of_a_former_version(&site, &version);
        let rows = |renamed: &str| -> Vec<String> {
            site.query_all(&format!(
                "SELECT concat_ws('|', {own_words}, {renamed}) FROM guestly.queue ORDER BY booking_id"
            ))
        };
        let before = rows("code, doubt_since, creates");
        site.sql("ALTER EXTENSION guestly_sync UPDATE");
        site.worker_looked_again();
        assert_eq!(before, rows("confirmation_code, uncertain_since, unconfirmed_creates"), "updated from {version}");
        // The unknown one is looked up before it is created.
        site.sql("SELECT guestly_retry_failed(); UPDATE guestly.queue SET due_at = now(); SELECT guestly_resume()");
        site.wait_for_status(&ids, "synced");
        site.assert_once_each(&ids);
        assert_eq!(site.sim.metrics()["creates_without_look_up"], 0, "updated from {version}");
    }
}
