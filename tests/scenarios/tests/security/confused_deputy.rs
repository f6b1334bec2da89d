//! Confused deputy: roles with some privileges try to use those of others through the extension. The roles are the owner of
//! the properties, an administrator with tables in the schema, an administrator who renames a table briefly, and code that
//! runs as the owner role.

use guestly_scenarios::{SOON, Site};

/// A plain server: `site` owns app.bookings, `mallory` may create in the schema and is an administrator.
fn site() -> Site {
    let site = Site::empty_on(guestly_scenarios::Sim::quick().without_limits(), |options| {
        options.setting("guestly_sync.poll_interval", "300ms")
    });
    site.sql(
        "CREATE ROLE site LOGIN; CREATE ROLE mallory LOGIN; CREATE SCHEMA app AUTHORIZATION site; GRANT ALL ON SCHEMA app TO mallory",
    );
    site.as_user("site").sql(
        "CREATE TABLE app.properties (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), slug text UNIQUE, is_active boolean DEFAULT true); \
         CREATE TABLE app.bookings (id bigint PRIMARY KEY, payment_status text, guest_name text, guest_email text, \
         check_in_date date, check_out_date date, total numeric, \
         property_id uuid CONSTRAINT b_fk REFERENCES app.properties (id) DEFERRABLE INITIALLY DEFERRED); \
         INSERT INTO app.properties (slug) VALUES ('canal-loft')",
    );
    site.sql(
        "CREATE TABLE public.attack_log (who text); GRANT ALL ON public.attack_log TO PUBLIC; CREATE EXTENSION guestly_sync; \
         GRANT guestly_admin TO mallory",
    );
    site
}

fn attach(site: &Site) {
    site.sql(
        "SELECT guestly_attach('app.bookings'); INSERT INTO guestly.listings VALUES ('canal-loft', '64b1f0aa11bb22cc33dd4401')",
    );
}

fn pay(site: &Site, id: i64) {
    site.sql(&format!(
        "INSERT INTO app.bookings SELECT {id}, 'paid', 'Ada Example', 'ada@example.com', current_date + 40 + {id} * 3, \
         current_date + 42 + {id} * 3, 100, p.id FROM app.properties p"
    ));
}

fn wait_synced(site: &Site, id: i64) {
    let row = format!("SELECT guestly_sync_status = 'synced', guestly_sync_error FROM app.bookings WHERE id = {id}");
    site.wait_for("the booking", SOON, &row);
}

fn attack_log(site: &Site) -> Vec<String> {
    site.query_all("SELECT DISTINCT who FROM public.attack_log")
}

/// Planning a statement on the properties runs code of their owner, also where the mapping asks for a slug.
#[test]
fn the_properties_owner_gains_no_privileges_on_bookings() {
    let site = site();
    site.sql("ALTER TABLE app.properties OWNER TO mallory");
    site.as_user("mallory").sql(
        "CREATE FUNCTION app.note() RETURNS void LANGUAGE plpgsql AS $$ BEGIN IF current_user <> 'mallory' THEN \
             INSERT INTO public.attack_log VALUES (current_user); END IF; END $$; \
         CREATE FUNCTION app.planned(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM app.note(); RETURN 1; END $$; \
         CREATE INDEX ON app.properties ((app.planned(1)))",
    );
    attach(&site);
    // The site's foreign key reads another role's table; its code there does not concern the extension.
    pay(&site, 1);
    wait_synced(&site, 1);
    site.sql("DELETE FROM public.attack_log");
    site.sql("UPDATE app.bookings SET total = 200, check_out_date = check_out_date + 1 WHERE id = 1");
    site.wait_for(
        "the change",
        SOON,
        "SELECT NOT EXISTS (SELECT FROM guestly.queue) AND NOT EXISTS (SELECT FROM guestly.changes), ''",
    );
    site.sql("SELECT guestly_preview('1'); SELECT * FROM guestly_doctor(); SELECT guestly_sync('1'); SELECT * FROM guestly_backfill()");
    assert_eq!(attack_log(&site), Vec::<String>::new());
    // The slug is read all the same.
    let listing: String = site.query_one("SELECT listing_id FROM guestly.reservations WHERE booking_id = '1'");
    assert_eq!(listing, "64b1f0aa11bb22cc33dd4401");
}

/// SET CONSTRAINTS names a schema and a name, and fires the pending triggers of every table that has a constraint of it.
#[test]
fn a_constraint_of_the_same_name_does_not_fire_as_the_owner() {
    let site = site();
    attach(&site);
    pay(&site, 1);
    wait_synced(&site, 1);
    let mut mallory = site.as_user("mallory").client();
    mallory
        .batch_execute(
            "CREATE TABLE app.bait (i integer); CREATE FUNCTION app.spring() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 INSERT INTO public.attack_log VALUES (current_user); RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER b_fk AFTER INSERT ON app.bait DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.spring(); \
             BEGIN; INSERT INTO app.bait VALUES (1); SELECT guestly_sync('1', force => true); SELECT guestly_retry_failed(); COMMIT",
        )
        .unwrap();
    assert_eq!(attack_log(&site), ["mallory"]);
}

#[test]
fn a_briefly_renamed_table_is_not_detached_by_others() {
    let site = site();
    attach(&site);
    site.sql("ALTER TABLE app.bookings RENAME TO bookings_x");
    let refused = site.try_sql_as("mallory", "SELECT guestly_detach()").unwrap_err();
    assert!(refused.starts_with("42501") && refused.contains("site"), "{refused}");
    site.sql("ALTER TABLE app.bookings_x RENAME TO bookings; GRANT guestly_admin TO site");
    pay(&site, 1);
    wait_synced(&site, 1);
    // Its owner may, under whatever name it has.
    site.sql("ALTER TABLE app.bookings RENAME TO bookings_x");
    site.try_sql_as("site", "SELECT guestly_detach()").unwrap();
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.attachment"), 0);
}

/// Code that runs as the owner of the extension's functions can replace them; DROP EXTENSION runs none of them as superuser.
#[test]
fn a_replaced_function_does_not_run_at_drop_extension() {
    let site = site();
    attach(&site);
    site.sql(
        "GRANT ALL ON public.attack_log TO guestly_owner; SET ROLE guestly_owner; \
         CREATE OR REPLACE FUNCTION guestly.prepare_drop() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.attack_log VALUES (current_user); END $$",
    );
    site.sql("DROP EXTENSION guestly_sync");
    assert_eq!(attack_log(&site), ["guestly_owner"]);
}

#[test]
fn quoting_all_identifiers_changes_nothing() {
    let site = site();
    site.sql("SET quote_all_identifiers = on; SELECT guestly_attach('app.bookings')");
    site.sql("INSERT INTO guestly.listings VALUES ('canal-loft', '64b1f0aa11bb22cc33dd4401')");
    pay(&site, 1);
    wait_synced(&site, 1);
    site.sql("SELECT guestly_attach('app.bookings'); SELECT guestly_sync('1')");
    site.alter_system("quote_all_identifiers", "on");
    pay(&site, 2);
    wait_synced(&site, 2);
    site.sql("SELECT guestly_attach('app.bookings'); SELECT guestly_detach(); SELECT guestly_attach('app.bookings')");
}

#[test]
fn the_doctor_names_code_of_other_roles_on_the_table() {
    let site = site();
    attach(&site);
    let says = |site: &Site| -> String {
        site.query_one(
            "SELECT concat_ws('|', status, detail) FROM guestly_doctor() WHERE check_name = 'code of others'",
        )
    };
    assert_eq!(says(&site), "ok|none on the table");
    site.sql("GRANT TRIGGER ON app.bookings TO mallory");
    site.as_user("mallory").sql(
        "CREATE FUNCTION app.trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; \
         CREATE TRIGGER trap BEFORE UPDATE ON app.bookings FOR EACH ROW EXECUTE FUNCTION app.trap()",
    );
    let said = says(&site);
    assert!(said.starts_with("warn|trigger trap on app.bookings runs a function owned by mallory"), "{said}");
    let fix: String = site.query_one("SELECT fix FROM guestly_doctor() WHERE check_name = 'code of others'");
    site.sql(&fix);
    assert_eq!(says(&site), "ok|none on the table");
}

/// The mapping of 0.2.0 found its functions on the search path of the host's code, and read other roles' properties with the
/// privileges of the owner of the bookings.
#[test]
fn an_update_corrects_the_mapping_of_the_former_version() {
    let site = site();
    site.sql("DROP EXTENSION guestly_sync; ALTER TABLE app.properties OWNER TO mallory; GRANT SELECT ON app.properties TO site");
    site.sql("CREATE EXTENSION guestly_sync VERSION '0.2.0'; SELECT guestly_attach('app.bookings')");
    let mapping = "SELECT field || ' ' || expression FROM guestly.field_map WHERE field IN ('guest_first_name', 'guest_last_name', \
                   'property') ORDER BY 1";
    assert_eq!(site.query_all::<String>(mapping).len(), 3);
    site.sql("ALTER EXTENSION guestly_sync UPDATE");
    let updated: Vec<String> = site.query_all(mapping);
    site.sql("DROP EXTENSION guestly_sync; CREATE EXTENSION guestly_sync; SELECT guestly_attach('app.bookings')");
    assert_eq!(updated, site.query_all::<String>(mapping), "it is what a fresh installation writes");
    assert!(updated.len() == 2 && updated.iter().all(|line| line.contains("pg_catalog.")), "{updated:?}");
}
