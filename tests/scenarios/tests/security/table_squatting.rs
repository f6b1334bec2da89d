//! CREATE EXTENSION attaches the site's own table of bookings or none. A table planted on the superuser's search path is
//! neither attached nor planned, and a NOTICE names what was found.

use super::notices::notices;
use guestly_scenarios::{Site, host};

/// A site without the extension. Who may create in the database has put a table, with an index that attacks whoever plans a
/// query on it, where the superuser's `"$user"` points to.
fn squatted() -> Site {
    let site = Site::bare_with(|options| options);
    site.sql("CREATE ROLE squatter LOGIN; CREATE ROLE prize; GRANT CREATE ON DATABASE postgres TO squatter");
    site.as_user("squatter").sql(
        "CREATE SCHEMA postgres; GRANT ALL ON SCHEMA postgres TO PUBLIC; \
         CREATE FUNCTION postgres.rise() RETURNS void LANGUAGE plpgsql AS $$ BEGIN \
             IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN ALTER ROLE prize SUPERUSER; END IF; END $$; \
         CREATE FUNCTION postgres.wrap(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM postgres.rise(); RETURN 1; END $$; \
         CREATE TABLE postgres.bookings (id bigint PRIMARY KEY, payment_status text, check_in date, check_out date, email text); \
         CREATE INDEX ON postgres.bookings (id) WHERE postgres.wrap(1) = 1",
    );
    site
}

/// Installs the extension, and gives its notices and the attached table, or `none`.
fn install(site: &Site) -> (String, String) {
    let words = notices(site, "CREATE EXTENSION guestly_sync").unwrap_or_else(|error| panic!("{error}"));
    (words, site.query_one("SELECT coalesce((SELECT a.bookings FROM guestly.attachment a), 'none')"))
}

#[track_caller]
fn assert_no_breach(site: &Site) {
    assert_eq!(site.query_all::<String>("SELECT rolname::text FROM pg_roles WHERE rolsuper"), ["postgres"]);
    let traces: i64 = site.query_one(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'postgres.bookings'::regclass AND attname LIKE 'guestly%'",
    );
    assert_eq!(traces, 0, "the planted table was altered");
}

#[test]
fn an_ambiguous_bookings_table_is_not_attached() {
    let site = squatted();
    let (words, attached) = install(&site);
    assert_no_breach(&site);
    assert_eq!(attached, "none", "{words}");
    let notice = words.lines().find(|line| line.starts_with("NOTICE") && line.contains("postgres.bookings"));
    let notice = notice.unwrap_or_else(|| panic!("no NOTICE names the candidates: {words}"));
    assert!(notice.contains("public.bookings") && notice.contains("guestly_attach"), "{words}");
    // Its fix works.
    site.sql("SELECT guestly_attach('public.bookings'); ALTER ROLE postgres SET search_path = public, extensions");
    host::map_listings(&site);
    let id = site.paid_booking();
    site.wait_synced(&id);
    assert_no_breach(&site);
}

#[test]
fn an_untrusted_bookings_table_is_not_attached() {
    let site = squatted();
    site.sql("DROP TABLE public.bookings");
    let (words, attached) = install(&site);
    assert_no_breach(&site);
    assert_eq!(attached, "none", "{words}");
    assert!(words.lines().any(|line| line.starts_with("NOTICE") && line.contains("postgres.bookings")), "{words}");
}

#[test]
fn the_notice_names_the_attached_table_with_its_owner() {
    let site = Site::bare_with(|options| options);
    let (words, attached) = install(&site);
    assert_eq!(attached, "public.bookings", "{words}");
    let named =
        |line: &str| line.starts_with("NOTICE") && line.contains("public.bookings") && line.contains("site_owner");
    assert!(words.lines().any(named), "{words}");
}

#[test]
fn the_callers_schema_does_not_hide_a_second_table() {
    let site = Site::bare_with(|options| options);
    // The owner of the database may well have the site's table, in a schema of that name; two of them are one too many.
    site.sql("CREATE SCHEMA postgres; CREATE TABLE postgres.bookings (LIKE public.bookings INCLUDING ALL)");
    let (words, attached) = install(&site);
    assert_eq!(attached, "none", "{words}");
    assert!(words.contains("public.bookings") && words.contains("postgres.bookings"), "{words}");
}
