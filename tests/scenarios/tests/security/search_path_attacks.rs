//! Objects planted on the search path are not used: functions and operators, checks of a domain, an expression that is more
//! than one.

use super::attack::{ATTACK, assert_no_breach, site};
use guestly_scenarios::{SOON, Site};

/// Functions and operators that match a call better than those of pg_catalog, as mallory could create them in any schema where
/// he may create. Each of them does what it should, after the attack.
fn plant(site: &Site, schema: &str) {
    // Once as each role: an operator would run for every row of a catalog.
    site.sql(
        "CREATE OR REPLACE FUNCTION sample.attack_once() RETURNS void LANGUAGE plpgsql AS $$ BEGIN \
         IF NOT EXISTS (SELECT FROM sample.attack_log WHERE at = 'planted' AND runs_as = current_user) THEN \
             PERFORM sample.attack('planted'); END IF; END $$; \
         ALTER FUNCTION sample.attack_once OWNER TO mallory",
    );
    site.sql(&format!(
        "GRANT CREATE, USAGE ON SCHEMA {schema} TO mallory; SET ROLE mallory; \
         CREATE FUNCTION {schema}.format(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM sample.attack_once(); RETURN pg_catalog.format($1, VARIADIC ARRAY[$2]); END $$; \
         CREATE FUNCTION {schema}.format(text, text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM sample.attack_once(); RETURN pg_catalog.format($1, VARIADIC ARRAY[$2, $3]); END $$; \
         CREATE FUNCTION {schema}.set_config(text, varchar, boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM sample.attack_once(); RETURN pg_catalog.set_config($1, $2::text, $3); END $$; \
         CREATE FUNCTION {schema}.quote_ident(name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM sample.attack_once(); RETURN pg_catalog.quote_ident($1::text); END $$; \
         CREATE FUNCTION {schema}.concat(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM sample.attack_once(); RETURN $1 OPERATOR (pg_catalog.||) $2; END $$"
    ));
    for (left, right) in
        [("oid", "regclass"), ("oid", "regprocedure"), ("oid", "regnamespace"), ("oid", "integer"), ("text", "name")]
    {
        site.sql(&format!(
            "SET ROLE mallory; \
             CREATE FUNCTION {schema}.same({left}, {right}) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
                 PERFORM sample.attack_once(); RETURN $1::text OPERATOR (pg_catalog.=) $2::{left}::text; END $$; \
             CREATE OPERATOR {schema}.= (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {schema}.same)"
        ));
    }
}

/// No planted object ran as superuser.
fn assert_unused(site: &Site) {
    let as_superuser: Vec<String> =
        site.query_all("SELECT DISTINCT at FROM sample.attack_log WHERE runs_as = 'postgres' OR result = 'DONE'");
    assert_eq!(as_superuser, Vec::<String>::new());
    assert_eq!(site.query_all::<String>("SELECT rolname::text FROM pg_roles WHERE rolsuper"), ["postgres"]);
}

#[test]
fn the_mapping_ignores_objects_planted_on_its_path() {
    let site = site();
    ["public", "extensions"].into_iter().for_each(|schema| plant(&site, schema));
    site.sql("SELECT guestly_attach(); SELECT * FROM guestly_doctor(); SELECT guestly_arm()");
    site.sql("UPDATE guestly.field_map SET expression = 'b.adults + CASE WHEN b.early_checkin THEN 1 ELSE 0 END' WHERE field = 'adults'");
    site.sql("SELECT guestly_detach(); SELECT guestly_attach()");
    assert_unused(&site);
    site.sql("DROP EXTENSION guestly_sync");
    site.sql("CREATE EXTENSION guestly_sync");
    assert_unused(&site);
    // The planted operator works, and its attack too.
    site.sql("SELECT 1 WHERE 1::oid OPERATOR (public.=) 1");
    assert_eq!(site.query_one::<i64>("SELECT count(DISTINCT at) FROM sample.attack_log"), 1);
}

#[test]
fn an_update_ignores_objects_planted_on_the_path() {
    let site = Site::bare_with(|options| options);
    site.sql("CREATE EXTENSION guestly_sync VERSION '0.1.0'");
    site.sql(ATTACK);
    ["public", "extensions"].into_iter().for_each(|schema| plant(&site, schema));
    site.sql("ALTER EXTENSION guestly_sync UPDATE");
    assert_unused(&site);
}

#[test]
fn domain_checks_run_as_the_owner_during_analysis() {
    let site = site();
    site.sql(
        "CREATE FUNCTION sample.spring(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM sample.attack('domain'); \
         RETURN true; END $$; ALTER FUNCTION sample.spring OWNER TO mallory; \
         CREATE DOMAIN sample.trap AS text CHECK (sample.spring(value)); \
         UPDATE guestly.field_map SET expression = 'cardinality(''{{x}}''::sample.trap[])' WHERE field = 'adults'; SELECT guestly_attach()",
    );
    assert_no_breach(&site, "domain", "site_owner");
}

#[test]
fn an_editor_of_the_mapping_gains_no_privileges() {
    let site = site();
    site.sql(
        "CREATE ROLE editor LOGIN; GRANT USAGE ON SCHEMA guestly TO editor; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON guestly.field_map TO editor",
    );
    let mut editor = site.as_user("editor").client();
    editor
        .batch_execute(
            "SET check_function_bodies = off; \
             INSERT INTO guestly.field_map VALUES ('company', '1) AS a FROM bookings b; ALTER ROLE editor SUPERUSER; SELECT (1')",
        )
        .unwrap();
    let edit = "UPDATE guestly.field_map SET expression = 'b.adults' WHERE field = 'adults'";
    // Another row may be corrected meanwhile, with a WARNING; the wrong one is checked and never run.
    site.as_user("editor").sql(edit);
    assert_eq!(site.query_all::<String>("SELECT rolname::text FROM pg_roles WHERE rolsuper"), ["postgres"]);
    let refused = site.try_sql("SELECT guestly_attach()").unwrap_err();
    assert!(refused.contains("the expression for 'company' is wrong: more than one statement"), "{refused}");
    assert_eq!(site.query_all::<String>("SELECT rolname::text FROM pg_roles WHERE rolsuper"), ["postgres"]);
}

/// A role that may create schemas makes the schema `extensions`, which a plain server does not have, and puts operators there
/// that match a comparison of the host's varchar key better than the server's own.
#[test]
fn operators_in_a_planted_extension_schema_are_ignored() {
    let site = Site::empty_on(guestly_scenarios::Sim::quick().without_limits(), |options| {
        options.setting("guestly_sync.poll_interval", "300ms")
    });
    site.sql(
        "CREATE ROLE dev LOGIN; DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO dev', current_database()); END $$; \
         CREATE ROLE site LOGIN; GRANT CREATE ON SCHEMA public TO site",
    );
    site.as_user("dev").sql(
        "CREATE SCHEMA extensions; GRANT USAGE ON SCHEMA extensions TO PUBLIC; CREATE TABLE extensions.attack_log (who text); \
         GRANT INSERT ON extensions.attack_log TO PUBLIC; \
         CREATE FUNCTION extensions.same(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO extensions.attack_log VALUES (current_user); RETURN $1::text OPERATOR (pg_catalog.=) $2::text; END $$; \
         CREATE OPERATOR extensions.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = extensions.same); \
         CREATE FUNCTION extensions.split_part(varchar, text, integer) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO extensions.attack_log VALUES (current_user); RETURN 'Eve'; END $$; \
         CREATE FUNCTION extensions.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO extensions.attack_log VALUES (current_user); RETURN QUERY SELECT pg_catalog.unnest($1); END $$",
    );
    site.as_user("site").sql(
        "CREATE TABLE public.bookings (id varchar(20) PRIMARY KEY, payment_status varchar(20), status varchar(20) DEFAULT 'confirmed', \
         check_in date, check_out date, property varchar(40), guest_name varchar(80), email varchar(80), total numeric)",
    );
    site.sql(
        "CREATE EXTENSION guestly_sync; INSERT INTO guestly.listings VALUES ('canal-loft', '64b1f0aa11bb22cc33dd4401')",
    );
    site.sql(
        "INSERT INTO bookings VALUES ('b1', 'unpaid', 'confirmed', current_date + 40, current_date + 42, 'canal-loft', 'Ada Example', \
         'ada@example.com', 100)",
    );
    site.sql("UPDATE bookings SET payment_status = 'paid' WHERE id::text = 'b1'");
    site.wait_for("the booking", SOON, "SELECT guestly_sync_status::text = 'synced', guestly_sync_error FROM bookings");
    site.sql("SELECT guestly_sync('b1'); SELECT guestly_preview('b1'); SELECT * FROM guestly_backfill(); SELECT * FROM guestly_doctor()");
    assert_eq!(site.query_all::<String>("SELECT who FROM extensions.attack_log"), Vec::<String>::new());
}
