//! Other kinds of tables: other keys, an enum, partitions, quoted names, other columns. Each works from the payment to the
//! reservation; unsuitable tables are refused with a reason.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use guestly_scenarios::{SOON, Site, host};
use serde_json::Value;

/// A site without the usual bookings table.
fn site_without_bookings() -> Site {
    let site = Site::bare_with(|options| options);
    site.sql("DROP TABLE bookings; CREATE EXTENSION guestly_sync; INSERT INTO guestly.listings VALUES ('loft', '64b1f0aa11bb22cc33dd4401')");
    site
}

/// The columns of a table that shares only `payment_status` with the usual one.
fn columns(key: &str, payment: &str) -> String {
    format!(
        "{key}, payment_status {payment}, property text DEFAULT 'loft', customer_name text DEFAULT 'Ana María Ñandú', \
         email text DEFAULT 'ana@example.com', phone text, arrival timestamptz DEFAULT now() + interval '40 days', \
         departure timestamptz DEFAULT now() + interval '42 days', guests integer DEFAULT 2, \
         amount numeric DEFAULT 99.50"
    )
}

/// Waits until the only row of a table with this key is synced; gives what Guestly received.
fn received(site: &Site, table: &str, key: &str) -> Value {
    let synced = format!(
        "SELECT guestly_sync_status = 'synced' AND guestly_sync_attempts = 1, concat_ws(' ', guestly_sync_status, \
         guestly_sync_error) FROM {table} b WHERE {key}"
    );
    site.wait_for(&format!("{table} to be synced"), SOON, &synced);
    let id: String = site.query_one(&format!("SELECT guestly_reservation_id FROM {table} b WHERE {key}"));
    let mut found = site.sim.state();
    found.retain(|reservation| reservation["reservationId"] == id.as_str());
    assert_eq!(found.len(), 1, "{table} names {id}");
    found.remove(0)["received"].take()
}

#[test]
fn a_deferred_partition_trigger_fires_with_the_write() {
    let site = Site::bare_with(|options| options);
    site.sql(
        "CREATE TABLE parts (LIKE bookings INCLUDING DEFAULTS) PARTITION BY RANGE (check_in_date); \
         CREATE SCHEMA years; CREATE TABLE years.later PARTITION OF parts DEFAULT; \
         ALTER TABLE parts ADD PRIMARY KEY (id, check_in_date); DROP TABLE bookings; ALTER TABLE parts RENAME TO bookings; \
         ALTER TABLE bookings ADD FOREIGN KEY (property_id) REFERENCES properties; \
         ALTER TABLE bookings OWNER TO site_owner; ALTER TABLE years.later OWNER TO site_owner; GRANT USAGE ON SCHEMA years TO site_owner; \
         CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER noted AFTER UPDATE ON years.later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION noted()",
    );
    host::create_extension(&site);
    host::map_listings(&site);
    host::without_notes(&site);
    let id = site.paid_booking();
    site.wait_synced(&id);
}

#[test]
fn every_primary_key_type_works() {
    let site = site_without_bookings();
    let long = "k".repeat(120);
    for (kind, id) in [
        ("uuid", "1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
        ("bigint", "9007199254740993"),
        ("integer", "42"),
        ("text", r#"O'Brien \ "7" – Zürich 東京"#),
        ("text", long.as_str()),
        ("varchar(60)", "A-1"),
    ] {
        let quoted = id.replace('\'', "''");
        site.sql(&format!("CREATE TABLE stays ({})", columns(&format!("id {kind} PRIMARY KEY"), "text")));
        site.sql("SELECT guestly_attach('stays')");
        site.sql(&format!("INSERT INTO stays (id, payment_status) VALUES ('{quoted}', 'pending')"));
        let argument = format!("'{quoted}'::{}", kind.split('(').next().unwrap());
        let refused = site.try_sql(&format!("SELECT guestly_sync({argument})")).unwrap_err();
        assert!(refused.starts_with("55000") && refused.contains("is not paid"), "{kind}: {refused}");
        let preview: Value = site.query_one(&format!("SELECT guestly_preview({argument})"));
        site.sql("UPDATE stays SET payment_status = 'succeeded'");
        let body = received(&site, "stays", "true");
        assert_eq!(preview["body"], body, "{kind}: the preview is what is sent");
        let code = body["confirmationCode"].as_str().unwrap();
        assert!(code.starts_with("GS-") && code.len() == 23, "{kind}: {code}");
        assert_eq!(body["originId"], if id.chars().count() > 50 { code } else { id });
        assert_eq!(body["guest"]["firstName"], "Ana");
        assert_eq!(body["guest"]["lastName"], "María Ñandú");
        assert_eq!((&body["guestsCount"], &body["accommodationFare"]), (&2.into(), &99.5.into()));
        let events: Vec<String> = site.query_all(&format!("SELECT event FROM guestly_timeline({argument})"));
        assert!(events.contains(&"create".to_owned()) && events.contains(&"synced".to_owned()), "{events:?}");
        let again: String = site.query_one(&format!("SELECT guestly_sync({argument})"));
        assert_eq!(again, "synced");
        site.sql("SELECT guestly_detach(); DROP TABLE stays; TRUNCATE guestly.field_map, guestly.reservations, guestly.attempts");
    }
    site.sim.assert_no_violation();
}

#[test]
fn quoted_identifiers_work() {
    let site = site_without_bookings();
    site.sql(&format!(
        "CREATE SCHEMA \"The \"\"Site\"\"\"; SET search_path = \"The \"\"Site\"\"\", public; \
         CREATE TYPE \"Payment\" AS ENUM ('open', 'paid', 'Completed'); \
         CREATE TABLE \"Host's Büchungen\" ({}); SELECT guestly_attach('\"Host''s Büchungen\"')",
        columns("\"Booking No\" bigint PRIMARY KEY", "\"Payment\" DEFAULT 'open'")
    ));
    let table = "\"The \"\"Site\"\"\".\"Host's Büchungen\"";
    site.sql(&format!("INSERT INTO {table} (\"Booking No\") VALUES (1), (2), (3); UPDATE {table} SET payment_status = 'paid' WHERE \"Booking No\" = 1"));
    // Case is ignored: 'Completed' is paid.
    site.sql(&format!("UPDATE {table} SET payment_status = 'Completed' WHERE \"Booking No\" = 2"));
    for number in 1..=2 {
        let body = received(&site, table, &format!("\"Booking No\" = {number}"));
        assert_eq!(body["originId"], number.to_string());
    }
    site.sql(&format!("SELECT guestly_attach('{}')", table.replace('\'', "''")));
    assert_eq!(site.sim.state().len(), 2);
    // Triggers and columns survive a rename of the table.
    site.sql(&format!("ALTER TABLE {table} RENAME TO renamed; SELECT guestly_attach('\"The \"\"Site\"\"\".renamed')"));
    site.sql("UPDATE \"The \"\"Site\"\"\".renamed SET payment_status = 'paid'");
    received(&site, "\"The \"\"Site\"\"\".renamed", "\"Booking No\" = 3");
    assert_eq!(site.sim.state().len(), 3, "the two that were sent are not sent again");
}

#[test]
fn a_payment_may_move_a_row_between_partitions() {
    let site = site_without_bookings();
    site.sql(&format!(
        "CREATE TABLE by_time ({}, PRIMARY KEY (id, arrival)) PARTITION BY RANGE (arrival); \
         CREATE TABLE by_time_rest PARTITION OF by_time DEFAULT; SELECT guestly_attach('by_time'); \
         CREATE TABLE by_time_2041 PARTITION OF by_time FOR VALUES FROM ('2041-01-01') TO ('2042-01-01'); \
         INSERT INTO by_time (id) VALUES (1), (2); \
         INSERT INTO by_time (id, arrival, departure) VALUES (3, '2041-05-01', '2041-05-03')",
        columns("id bigint", "text")
    ));
    site.sql("UPDATE by_time SET payment_status = 'paid' WHERE id IN (1, 3)");
    // Written directly to the partition, as some tools do.
    site.sql("UPDATE by_time_rest SET payment_status = 'completed' WHERE id = 2");
    for id in 1..=3 {
        received(&site, "by_time", &format!("id = {id}"));
    }
    site.sql("SELECT guestly_detach(); TRUNCATE guestly.field_map, guestly.reservations, guestly.attempts");
    site.sql(&format!(
        "CREATE TABLE by_state ({}, PRIMARY KEY (id, payment_status)) PARTITION BY LIST (payment_status); \
         CREATE TABLE paid_ones PARTITION OF by_state FOR VALUES IN ('paid'); \
         CREATE TABLE open_ones PARTITION OF by_state DEFAULT; SELECT guestly_attach('by_state'); \
         INSERT INTO by_state (id, payment_status) VALUES (11, 'open'), (12, 'paid')",
        columns("id bigint", "text")
    ));
    site.sql("UPDATE by_state SET payment_status = 'paid' WHERE id = 11");
    for id in 11..=12 {
        received(&site, "by_state", &format!("id = {id}"));
    }
    assert_eq!((site.sim.state().len(), site.sim.calls("create")), (5, 5));
    site.sim.assert_no_violation();
}

#[test]
fn unsuitable_tables_are_refused_with_a_reason() {
    let site = site_without_bookings();
    for (make, name, code, word) in [
        ("CREATE TABLE no_key (id uuid, payment_status text)", "no_key", "42P16", "primary key"),
        ("CREATE TABLE odd_key (id point, payment_status text)", "odd_key", "42P16", "primary key"),
        ("CREATE TABLE two (a int, b int, payment_status text, PRIMARY KEY (a, b))", "two", "42P16", "primary key"),
        ("CREATE TABLE unpaid (id uuid PRIMARY KEY)", "unpaid", "42703", "payment_status"),
        ("CREATE VIEW seen AS SELECT 1 AS id, 'paid' AS payment_status", "seen", "42809", "not a table"),
    ] {
        site.sql(make);
        let refused = site.try_sql(&format!("SELECT guestly_attach('{name}')")).unwrap_err();
        assert!(refused.starts_with(code) && refused.contains(word) && refused.contains("hint: "), "{name}: {refused}");
        let left = format!(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = '{name}'::regclass AND attname LIKE 'guestly%'"
        );
        assert_eq!(site.query_one::<i64>(&left), 0, "{name} was half attached");
    }
    let refused = site.try_sql("SELECT guestly_sync('x')").unwrap_err();
    assert!(refused.starts_with("55000") && refused.contains("guestly_attach"), "{refused}");
}

#[test]
fn columns_with_extension_operators_are_compared_as_text() {
    let site = Site::open();
    site.sql(
        "CREATE EXTENSION hstore WITH SCHEMA extensions; ALTER TABLE bookings ADD COLUMN extra extensions.hstore; \
         UPDATE guestly.field_map SET expression = 'coalesce((b.extra -> ''adults'')::integer, b.adults)' WHERE field = 'adults'",
    );
    let id = site.paid_booking();
    site.wait_all_synced(SOON);
    site.alter_system("guestly_sync.enabled", "off");
    site.sql(&format!("UPDATE bookings SET extra = 'adults => 3' WHERE id = '{id}'"));
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.changes"), 1);
}

#[test]
fn attaching_again_blocks_no_sale() {
    // With the notes in the mapping, which attaching would bring back.
    let site = Site::bare_with(|options| options);
    host::create_extension(&site);
    let ids = host::make_bookings(&site, 2);
    let mut holder = site.client();
    holder.batch_execute(&format!("BEGIN; UPDATE bookings SET adults = 2 WHERE id = '{}'", ids[0])).unwrap();
    site.sql("SET lock_timeout = '20s'; SELECT guestly_attach()");
    let change =
        "UPDATE guestly.field_map SET expression = 'b.adults + b.early_checkin::integer' WHERE field = 'adults'";
    let refused = site.try_sql(&format!("SET statement_timeout = '20s'; {change}")).unwrap_err();
    assert!(refused.starts_with("55P03") && refused.contains("hint: Try again"), "{refused}");
    holder.batch_execute("COMMIT").unwrap();
    site.sql(change);
    site.sql("ALTER TABLE bookings DISABLE TRIGGER guestly_update; SELECT guestly_attach()");
    let at_work = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'guestly%' AND tgenabled = 'O'";
    assert_eq!(site.query_one::<i64>(at_work), 6, "attaching repairs them");
}

#[test]
fn two_broken_mappings_can_be_repaired_one_by_one() {
    let site = Site::open();
    site.sql("ALTER TABLE bookings RENAME adults TO grown_ups; ALTER TABLE bookings RENAME children TO kids");
    site.sql("UPDATE guestly.field_map SET expression = 'b.grown_ups' WHERE field = 'adults'");
    site.sql("UPDATE guestly.field_map SET expression = 'b.kids' WHERE field = 'children'");
    let watched: Vec<String> = site.query_one("SELECT watched FROM guestly.attachment");
    assert!(watched.contains(&"grown_ups".to_owned()) && watched.contains(&"kids".to_owned()), "{watched:?}");
}
