//! CREATE EXTENSION and `guestly_attach` on the host's table: in any schema, with and without bookings, repeatedly, without
//! preloading. Also the mapping, which can be edited but not broken.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use guestly_scenarios::{Cluster, Options, SOON, Site, host};
use std::sync::{Arc, Mutex};

/// Runs statements in one session and gives the server's notices, `LEVEL: message; hint` on one line each.
fn said(cluster: &Cluster, statements: &str) -> String {
    let words = Arc::new(Mutex::new(String::new()));
    let (ears, folder) = (Arc::clone(&words), cluster.socket_folder().display().to_string());
    let mut client = postgres::Config::new()
        .host(&folder)
        .user("postgres")
        .dbname(cluster.name())
        .notice_callback(move |notice| {
            let hint = notice.hint().unwrap_or_default();
            ears.lock().unwrap().push_str(&format!("{}: {}; {hint}\n", notice.severity(), notice.message()));
        })
        .connect(postgres::NoTls)
        .unwrap();
    client.batch_execute(statements).unwrap();
    client.simple_query("SELECT 1").unwrap();
    words.lock().unwrap().clone()
}

const COLUMNS: &str = "SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), \
    pg_get_expr(d.adbin, d.adrelid)), ', ' ORDER BY attname) FROM pg_attribute a \
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    WHERE a.attrelid = 'bookings'::regclass AND attname LIKE 'guestly%' AND NOT attisdropped";
const FIVE: &str = "guestly_reservation_id text, guestly_sync_attempts integer 0, guestly_sync_error text, \
    guestly_sync_status text 'pending'::text, guestly_synced_at timestamp with time zone";

#[test]
fn create_extension_works_in_any_schema() {
    let site = Site::bare_with(|options| options);
    site.sql("CREATE SCHEMA other");
    for schema in ["extensions", "public", "other"] {
        let create = format!("CREATE EXTENSION guestly_sync SCHEMA {schema}");
        let words = said(&site, &create);
        assert!(!words.contains("no table bookings") && !words.contains("WARNING"), "{words}");
        let place = "SELECT string_agg(DISTINCT n.nspname, ',') FROM pg_proc p JOIN pg_namespace n \
                     ON n.oid = p.pronamespace WHERE p.proname LIKE 'guestly\\_%'";
        assert_eq!(site.query_one::<String>(place), schema);
        assert_eq!(site.query_one::<String>(COLUMNS), FIVE);
        host::map_listings(&site);
        host::without_notes(&site);
        let id = site.paid_booking();
        site.wait_synced(&id);
        let known: String = site.query_one(&format!("SELECT {schema}.guestly_sync('{id}'::uuid)"));
        assert_eq!(known, "synced");
        let refused = site.try_sql("ALTER EXTENSION guestly_sync SET SCHEMA pg_catalog").unwrap_err();
        assert!(refused.starts_with("0A000"), "{refused}");
        site.sql("DROP EXTENSION guestly_sync");
        assert_eq!(site.query_one::<i64>("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'guestly%'"), 0);
    }
    assert_eq!(site.sim.state().len(), 3);
    // Paid before and while the extension was absent: reservation ids stay in the host's rows.
    assert_eq!(site.query_one::<i64>("SELECT count(guestly_reservation_id) FROM bookings"), 3);
}

#[test]
fn without_a_bookings_table_the_notice_names_attach() {
    let site = Site::bare_with(|options| options);
    for path in ["pg_catalog", "extensions"] {
        let words = said(&site, &format!("SET search_path = {path}; CREATE EXTENSION guestly_sync SCHEMA public"));
        assert!(words.contains("NOTICE: guestly_sync: no table bookings on the search path"), "{words}");
        assert!(words.contains("SELECT guestly_attach('your_table')"), "{words}");
        assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.attachment"), 0);
        site.sql("DROP EXTENSION guestly_sync");
    }
    // The search path of the session decides, not the schema of the extension.
    site.sql("CREATE SCHEMA shop; CREATE TABLE shop.bookings (id bigint PRIMARY KEY, payment_status text)");
    let words = said(&site, "SET search_path = shop, public; CREATE EXTENSION guestly_sync SCHEMA extensions");
    assert!(words.contains("several tables bookings on the search path") && words.contains("shop.bookings"), "{words}");
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.attachment"), 0);
    site.sql("DROP EXTENSION guestly_sync");
    let words = said(&site, "SET search_path = shop; CREATE EXTENSION guestly_sync SCHEMA extensions");
    assert!(words.contains("NOTICE: guestly_sync: attaching table shop.bookings, owned by"), "{words}");
    assert_eq!(site.query_one::<String>("SELECT bookings FROM guestly.attachment"), "shop.bookings");
    let refused = site.try_sql("SELECT guestly_attach('public.bookings')").unwrap_err();
    assert!(
        refused.contains("table shop.bookings is already attached") && refused.contains("guestly_detach()"),
        "{refused}"
    );
    site.sql("SELECT guestly_detach(); SELECT guestly_attach('public.bookings')");
    host::map_listings(&site);
    let id = site.paid_booking();
    site.wait_synced(&id);
    let refused = site.try_sql("SELECT guestly_attach('nowhere')").unwrap_err();
    assert!(refused.starts_with("42P01"), "{refused}");
}

#[test]
fn without_preload_bookings_are_queued() {
    let sim = guestly_scenarios::Sim::quick();
    let cluster = Cluster::start(Options::default().without_preload());
    host::load(&cluster);
    let words = said(&cluster, "CREATE EXTENSION guestly_sync");
    assert!(words.contains("WARNING: guestly_sync is not loaded at server start"), "{words}");
    assert!(words.contains("Add it to shared_preload_libraries"), "{words}");
    host::map_listings(&cluster);
    let ids = host::make_bookings(&cluster, 2);
    host::pay(&cluster, &ids);
    assert_eq!(cluster.query_one::<i64>("SELECT count(*) FROM guestly.queue WHERE state = 'ready'"), 2);
    let preload = "SELECT status || ': ' || fix FROM guestly_doctor() WHERE check_name = 'preload'";
    let fix: String = cluster.query_one(preload);
    assert!(fix.starts_with("fail: ALTER SYSTEM SET shared_preload_libraries = 'guestly_sync'"), "{fix}");
    // The doctor's fix works, and queued bookings are sent.
    cluster.alter_system("shared_preload_libraries", "guestly_sync");
    cluster.restart();
    for (name, value) in [
        ("enabled", "on".to_owned()),
        ("base_url", format!("{}/v1", sim.url())),
        ("token_url", format!("{}/oauth2/token", sim.url())),
        ("client_id", "sim-client".to_owned()),
        ("client_secret", "sim-secret".to_owned()),
    ] {
        cluster.alter_system(&format!("guestly_sync.{name}"), &value);
    }
    cluster.wait_for("both", SOON, "SELECT count(guestly_reservation_id) = 2, count(*)::text FROM bookings");
    assert_eq!(sim.state().len(), 2);
}

#[test]
fn attaching_again_changes_nothing() {
    let site = Site::bare_with(|options| options);
    host::add_sync_columns(&site);
    let check = "SELECT string_agg(conname || pg_get_constraintdef(oid), ';' ORDER BY conname) FROM pg_constraint \
                 WHERE conrelid = 'bookings'::regclass";
    let before: String = site.query_one(check);
    host::create_extension(&site);
    assert_eq!(site.query_one::<String>(check), before, "the host has its CHECK already");
    assert_eq!(site.query_one::<String>(COLUMNS), FIVE);
    let shape = "SELECT concat_ws(E'\\n', (SELECT string_agg(indexdef, E'\\n' ORDER BY indexdef) FROM pg_indexes \
                 WHERE tablename = 'bookings'), (SELECT string_agg(pg_get_triggerdef(oid), E'\\n' ORDER BY tgname) \
                 FROM pg_trigger WHERE tgrelid = 'bookings'::regclass), (SELECT string_agg(m::text, ';' ORDER BY \
                 field) FROM guestly.field_map m), (SELECT a::text FROM guestly.attachment a))";
    let first: String = site.query_one(shape);
    // The host's indexes on reservation id and status are reused: none is created twice.
    assert!(first.contains("bookings_guestly_open_idx") && !first.contains("guestly_failed_idx"), "{first}");
    site.sql("SELECT guestly_attach(); SELECT guestly_attach('bookings'); SELECT guestly_attach('public.bookings')");
    assert_eq!(site.query_one::<String>(shape), first);
    host::map_listings(&site);
    host::without_notes(&site);
    let id = site.paid_booking();
    site.wait_synced(&id);
    assert_eq!(site.sim.calls("create"), 1);
    // After detaching, nothing is queued and the columns keep their values.
    site.sql("SELECT guestly_detach(); SELECT guestly_detach()");
    let later = site.paid_booking();
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.queue"), 0);
    assert_eq!(site.row(&id)["guestly_sync_status"], "synced");
    site.sql("SELECT guestly_attach()");
    let last = site.paid_booking();
    site.wait_synced(&last);
    assert_eq!(site.row(&later)["guestly_sync_status"], "pending", "paid before the attachment");
}

#[test]
fn an_invalid_mapping_edit_is_refused() {
    let site = Site::open();
    let found = site.query_one::<String>(
        "SELECT string_agg(field || '=' || expression, '|' ORDER BY field) FROM guestly.field_map",
    );
    for part in
        ["guest_email=b.guest_email", "check_in=b.check_in_date", "total=b.total", "reference=b.booking_reference"]
    {
        assert!(found.split('|').any(|pair| pair == part), "{part} is not in {found}");
    }
    assert!(found.contains("SELECT p.slug FROM"), "a property is known by its slug: {found}");
    for (wrong, code, word) in [
        ("b.no_such_column", "42703", "no_such_column"),
        ("b.total +", "42601", "syntax error"),
        ("b.total) FROM bookings b; DROP TABLE bookings; --", "42601", "syntax"),
        ("sum(b.total)", "42803", "GROUP BY"),
        ("(SELECT x.total FROM bookings x, y)", "42P01", "y"),
    ] {
        let write = format!("UPDATE guestly.field_map SET expression = $w${wrong}$w$ WHERE field = 'total'");
        let refused = site.try_sql(&write).unwrap_err();
        assert!(refused.starts_with(code) && refused.contains(word), "{wrong}: {refused}");
        assert!(refused.contains("the expression for 'total' is wrong") && refused.contains("hint: "), "{refused}");
    }
    let refused = site.try_sql("INSERT INTO guestly.field_map VALUES ('colour', '1')").unwrap_err();
    assert!(refused.starts_with("22023") && refused.contains("guest_email"), "{refused}");
    site.sql(
        "UPDATE guestly.field_map SET expression = 'b.total + 10 -- the city''s tax' WHERE field = 'total'; \
              UPDATE guestly.field_map SET expression = 'upper(b.guest_last_name)' WHERE field = 'guest_last_name'",
    );
    let id = site.paid_booking();
    site.wait_synced(&id);
    let (row, reservation) = (site.row(&id), site.only_reservation(&id));
    assert_eq!(reservation["accommodationFare"].as_f64(), row["total"].as_f64().map(|total| total + 10.0));
    let name = row["guest_last_name"].as_str().unwrap().to_uppercase();
    assert_eq!(reservation["guest"]["lastName"], name);
}

#[test]
fn a_mapped_column_can_be_migrated_in_one_transaction() {
    let site = Site::open_with(|options| options.setting("guestly_sync.poll_interval", "300ms"));
    let done = site.paid_booking();
    site.wait_synced(&done);
    site.alter_system("guestly_sync.enabled", "off");
    site.worker_took_a_turn();
    let since = "SELECT attached_at::text FROM guestly.attachment";
    let before: String = site.query_one(since);
    // One queued; one missed by the triggers while the sweep is off; one paid in the migration itself.
    let waiting = site.paid_booking();
    let ids = host::make_bookings(&site, 2);
    let pay =
        |id: &str| format!("UPDATE bookings SET payment_status = 'completed', status = 'confirmed' WHERE id = '{id}'");
    site.sql(&format!("SET session_replication_role = replica; {}", pay(&ids[0])));
    let change = "ALTER TABLE bookings ALTER guest_phone TYPE varchar(40)";
    let refused = site.try_sql(change).unwrap_err();
    assert!(refused.contains("used in a trigger definition"), "{refused}");
    site.sql(&format!("BEGIN; {}; SELECT guestly_detach(); {change}; SELECT guestly_attach(); COMMIT", pay(&ids[1])));
    assert_eq!(site.query_one::<String>(since), before);
    assert_eq!(
        site.query_one::<i64>("SELECT count(*) FROM guestly.old_bookings"),
        0,
        "a paid booking counts as an old one"
    );
    site.alter_system("guestly_sync.enabled", "on");
    let all = [vec![done, waiting], ids].concat();
    site.wait_for_status(&all, "synced");
    site.assert_once_each(&all);
}
