//! Least privilege: after CREATE EXTENSION, in any schema and under Supabase's default privileges, other roles can execute
//! and read nothing, administrators have the documented privileges, and only the owner reads the token.

use guestly_scenarios::{SOON, Site, host};
use serde_json::Value;

/// Every function of the extension, as a join partner `f (oid, name)`.
const FUNCTIONS: &str = "(SELECT p.oid, p.proname, p.proconfig, p.oid::regprocedure::text AS name FROM pg_depend d \
    JOIN pg_proc p ON p.oid = d.objid WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' \
    AND d.refclassid = 'pg_extension'::regclass \
    AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'guestly_sync')) f";
/// Every relation of the extension but indexes.
const RELATIONS: &str = "(SELECT c.oid, c.relname, c.oid::regclass::text AS name FROM pg_class c \
    WHERE c.relnamespace = 'guestly'::regnamespace AND c.relkind NOT IN ('i', 'I', 't')) r";
/// Functions that administrators may call, without overloads.
const ADMIN_FUNCTIONS: [&str; 14] = [
    "backfill_row",
    "guestly_arm",
    "guestly_attach",
    "guestly_backfill",
    "guestly_detach",
    "guestly_doctor",
    "guestly_pause",
    "guestly_preview",
    "guestly_resume",
    "guestly_retry_failed",
    "guestly_sync",
    "guestly_test_alert",
    "guestly_timeline",
    "status_row",
];

/// A site whose default privileges grant everything to everyone.
fn generous(create_extension: &str) -> Site {
    let site = Site::bare_with(|options| options);
    site.sql(
        "CREATE SCHEMA other; CREATE ROLE stranger LOGIN; \
         ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated, service_role, stranger; \
         ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role, stranger; \
         ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO anon, authenticated, stranger; \
         ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO anon, authenticated, stranger; \
         ALTER DEFAULT PRIVILEGES IN SCHEMA other GRANT ALL ON FUNCTIONS TO anon, authenticated, stranger",
    );
    site.sql(create_extension);
    host::map_listings(&site);
    site.sql("CREATE ROLE ann LOGIN IN ROLE guestly_admin");
    site
}

/// The same with the extension in this schema.
fn site_in(schema: &str) -> Site {
    generous(&format!("CREATE EXTENSION guestly_sync SCHEMA {schema}"))
}

fn rights_of(site: &Site, role: &str) -> Vec<String> {
    let mut found: Vec<String> = site.query_all(&format!(
        "SELECT name FROM {FUNCTIONS} WHERE has_function_privilege('{role}', f.oid, 'EXECUTE') ORDER BY 1"
    ));
    found.extend(site.query_all::<String>(&format!(
        "SELECT name || ' ' || p FROM {RELATIONS}, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', \
         'REFERENCES', 'TRIGGER']) AS p WHERE has_table_privilege('{role}', r.oid, p) ORDER BY 1"
    )));
    found.extend(site.query_all::<String>(&format!(
        "SELECT 'schema guestly ' || p FROM unnest(ARRAY['CREATE', 'USAGE']) AS p \
         WHERE has_schema_privilege('{role}', 'guestly', p)"
    )));
    found.extend(site.query_all::<String>(&format!(
        "SELECT name || ' column ' || p FROM {RELATIONS}, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p \
         WHERE r.relname <> 'status' AND has_any_column_privilege('{role}', r.oid, p) \
         AND NOT has_table_privilege('{role}', r.oid, p) ORDER BY 1"
    )));
    found
}

#[test]
fn unprivileged_roles_can_execute_nothing() {
    for schema in ["public", "extensions", "other"] {
        let site = site_in(schema);
        let functions: i64 = site.query_one(&format!("SELECT count(*) FROM {FUNCTIONS}"));
        let relations: i64 = site.query_one(&format!("SELECT count(*) FROM {RELATIONS}"));
        assert!(functions >= 30 && relations >= 13, "the lists are empty: {functions}, {relations}");
        for role in ["public", "anon", "authenticated", "stranger"] {
            assert_eq!(rights_of(&site, role), Vec::<String>::new(), "{role} has rights in {schema}");
        }
        for role in ["anon", "authenticated", "stranger"] {
            for statement in [
                &format!("SELECT {schema}.guestly_pause()"),
                "SELECT * FROM guestly.status",
                "SELECT * FROM guestly.token",
            ] {
                let refused = site.try_sql_as(role, statement).unwrap_err();
                assert!(refused.starts_with("42501"), "{role}: {statement}: {refused}");
            }
        }
        // The trigger works for every role that may pay.
        site.sql("CREATE ROLE cashier; GRANT SELECT, UPDATE ON bookings TO cashier; CREATE POLICY p ON bookings TO cashier USING (true)");
        let id = host::make_bookings(&site, 1).remove(0);
        site.try_sql_as("cashier", &format!("UPDATE bookings SET payment_status = 'completed' WHERE id = '{id}'"))
            .unwrap();
        site.wait_synced(&id);
    }
}

#[test]
fn an_update_revokes_default_privileges() {
    let site = generous("CREATE EXTENSION guestly_sync VERSION '0.1.0'");
    site.sql(
        "CREATE ROLE clerk; GRANT USAGE ON SCHEMA guestly TO clerk; GRANT SELECT, INSERT ON guestly.listings TO clerk; \
         GRANT SELECT ON guestly.alerts TO clerk; GRANT EXECUTE ON FUNCTION guestly_doctor(boolean) TO clerk; \
         GRANT UPDATE ON guestly.listings TO guestly_admin; REVOKE EXECUTE ON FUNCTION guestly_arm() FROM service_role",
    );
    let granted = [
        "guestly_doctor(boolean)",
        "guestly.alerts SELECT",
        "guestly.listings INSERT",
        "guestly.listings SELECT",
        "schema guestly USAGE",
    ];
    let of_clerk = || -> Vec<String> {
        rights_of(&site, "clerk").into_iter().filter(|right| !right.contains(" column ")).collect()
    };
    assert_eq!(of_clerk(), granted);
    site.sql("ALTER EXTENSION guestly_sync UPDATE");
    for role in ["public", "anon", "authenticated", "stranger"] {
        assert_eq!(rights_of(&site, role), Vec::<String>::new(), "{role} has rights");
    }
    assert_eq!(of_clerk(), granted);
    assert!(rights_of(&site, "guestly_admin").contains(&"guestly.listings UPDATE".to_owned()));
    assert!(!rights_of(&site, "service_role").contains(&"guestly_arm()".to_owned()));
}

#[test]
fn an_update_runs_no_foreign_function_of_the_schema() {
    let site = generous("CREATE EXTENSION guestly_sync VERSION '0.1.0'");
    let function = "guestly.column_expression(regclass, text, text, text, text)";
    site.try_sql_as(
        "stranger",
        &format!("CREATE FUNCTION {function} RETURNS text LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE stranger SUPERUSER; RETURN NULL; END $$"),
    )
    .unwrap();
    let refused = site.try_sql("ALTER EXTENSION guestly_sync UPDATE").unwrap_err();
    assert!(
        refused.contains("guestly.column_expression(regclass,text,text,text,text) is not part of guestly_sync"),
        "{refused}"
    );
    assert!(!site.query_one::<bool>("SELECT rolsuper FROM pg_roles WHERE rolname = 'stranger'"));
    site.sql(&format!("DROP FUNCTION {function}"));
    site.sql("ALTER EXTENSION guestly_sync UPDATE");
}

#[test]
fn admin_roles_have_only_the_documented_privileges() {
    for schema in ["public", "other"] {
        let site = site_in(schema);
        for role in ["service_role", "guestly_admin"] {
            let mut names: Vec<String> = site.query_all(&format!(
                "SELECT DISTINCT proname::text FROM {FUNCTIONS} WHERE has_function_privilege('{role}', f.oid, 'EXECUTE') \
                 ORDER BY 1"
            ));
            names.sort();
            assert_eq!(names, ADMIN_FUNCTIONS, "{role}");
            let relations: Vec<String> = rights_of(&site, role)
                .into_iter()
                .filter(|right| right.starts_with("guestly.") && !right.contains('('))
                .collect();
            assert_eq!(
                relations,
                ["guestly.attempts SELECT", "guestly.queue SELECT", "guestly.status SELECT"],
                "{role}"
            );
        }
        for role in ["service_role", "ann"] {
            site.sql(&format!("SELECT {schema}.guestly_pause('while the rights are tried')"));
            let id = site.paid_booking();
            let calls = format!(
                "SET search_path = {schema}; SELECT * FROM guestly.status; SELECT * FROM guestly.queue; SELECT * FROM \
                 guestly.attempts; SELECT guestly_sync('{id}'), guestly_sync('{id}'::uuid), guestly_preview('{id}'::uuid); \
                 SELECT * FROM guestly_timeline('{id}'); SELECT * FROM guestly_doctor(); SELECT * FROM guestly_backfill(); \
                 SELECT guestly_retry_failed(), guestly_retry_failed('refused', 1); \
                 SELECT guestly_pause('{role}'), guestly_arm(), guestly_resume()"
            );
            site.try_sql_as(role, &calls).unwrap_or_else(|error| panic!("{role} in {schema}: {error}"));
            site.wait_synced(&id);
            for statement in [
                "SELECT * FROM guestly.token",
                "SELECT * FROM guestly.installations",
                "UPDATE guestly.queue SET attempts = 0",
                "DELETE FROM guestly.attempts",
                "INSERT INTO guestly.field_map VALUES ('total', 'b.vat')",
                &format!("SELECT {schema}.guestly_detach()"),
                &format!("SELECT {schema}.guestly_attach('public.bookings')"),
                "SELECT guestly.define_columns('public.bookings'::regclass)",
                "SELECT guestly.setting_values()",
                "SELECT guestly.paid_bookings()",
            ] {
                let refused = site.try_sql_as(role, statement).unwrap_err();
                assert!(refused.starts_with("42501"), "{role}: {statement}: {refused}");
            }
        }
    }
}

#[test]
fn only_the_owner_reads_the_token() {
    let site = site_in("public");
    let id = site.paid_booking();
    site.wait_synced(&id);
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.token"), 1, "one is readable");
    let readers: Vec<String> = site.query_all(
        "SELECT r.rolname::text FROM pg_roles r WHERE NOT r.rolsuper AND r.rolname <> 'guestly_owner' AND NOT pg_has_role(r.oid, 'pg_read_all_data', 'USAGE') \
         AND (has_table_privilege(r.oid, 'guestly.token', 'SELECT') OR has_any_column_privilege(r.oid, 'guestly.token', 'SELECT'))",
    );
    assert_eq!(readers, Vec::<String>::new());
    for role in ["site_owner", "guestly_admin", "service_role", "authenticated"] {
        let refused = site.try_sql_as(role, "SELECT access_token FROM guestly.token").unwrap_err();
        assert!(refused.starts_with("42501"), "{role}: {refused}");
    }
}

#[test]
fn every_function_has_a_pinned_search_path() {
    for schema in ["public", "other"] {
        let site = site_in(schema);
        let loose: Vec<String> = site.query_all(&format!(
            "SELECT name FROM {FUNCTIONS} WHERE NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (f.proconfig), false)"
        ));
        assert_eq!(loose, Vec::<String>::new());
    }
}

#[test]
fn no_sql_is_built_from_unquoted_input() {
    let site = Site::bare_with(|options| options);
    // The server forbids quotes in an extension's schema name, and nowhere else.
    site.sql(
        "CREATE SCHEMA \"Our; Odd\"; CREATE SCHEMA \"o'dd; --\"; CREATE TABLE \"o'dd; --\".\"book\"\"ings' $$\" (\"i'd; --\" text \
         PRIMARY KEY, payment_status text, \"check_in\" date, check_out date, listing_id text, guest_name text, email text, \
         total numeric)",
    );
    site.sql("CREATE EXTENSION guestly_sync SCHEMA \"Our; Odd\"");
    site.sql("SELECT \"Our; Odd\".guestly_detach(); DELETE FROM guestly.field_map");
    site.sql("SELECT \"Our; Odd\".guestly_attach('\"o''dd; --\".\"book\"\"ings'' $$\"')");
    site.sql("INSERT INTO guestly.listings VALUES ('it''s; --', '64b1f0aa11bb22cc33dd4401')");
    site.sql(
        "INSERT INTO \"o'dd; --\".\"book\"\"ings' $$\" VALUES ('a''; DROP TABLE x; --', 'paid', current_date + 40, \
         current_date + 42, 'it''s; --', 'Ada Example', 'ada@example.com', 100)",
    );
    site.wait_for(
        "the odd booking to be synced",
        SOON,
        "SELECT guestly_sync_status = 'synced', guestly_sync_error FROM \"o'dd; --\".\"book\"\"ings' $$\"",
    );
    let id = "a''; DROP TABLE x; --";
    let known: String = site.query_one(&format!("SELECT \"Our; Odd\".guestly_sync('{id}')"));
    assert_eq!(known, "synced");
    let story: i64 = site.query_one(&format!("SELECT count(*) FROM \"Our; Odd\".guestly_timeline('{id}')"));
    assert!(story >= 2);
    let body: Value = site.query_one(&format!("SELECT \"Our; Odd\".guestly_preview('{id}')"));
    assert_eq!(body["method"], "POST");
    for wrong in ["'; DROP SCHEMA guestly CASCADE; --", "$1", "\\", "%s", "\" OR true"] {
        let refused = site.try_sql(&format!("SELECT \"Our; Odd\".guestly_sync($q${wrong}$q$)")).unwrap_err();
        assert!(refused.starts_with("P0002"), "{wrong}: {refused}");
    }
    site.sql("SELECT \"Our; Odd\".guestly_pause($q$'; DROP SCHEMA guestly CASCADE; --$q$); SELECT \"Our; Odd\".guestly_doctor()");
    site.sql("SELECT \"Our; Odd\".guestly_detach(); DROP EXTENSION guestly_sync");
}

#[test]
fn the_doctor_reports_an_owner_that_gained_privileges() {
    let site = Site::open();
    let says = |site: &Site| -> String {
        site.query_one("SELECT concat_ws('|', status, detail, fix) FROM guestly_doctor() WHERE check_name = 'roles'")
    };
    assert!(says(&site).starts_with("ok|"), "{}", says(&site));
    site.sql("CREATE ROLE clerk; GRANT guestly_owner TO clerk; ALTER ROLE guestly_owner LOGIN CREATEDB");
    assert!(
        says(&site).starts_with("fail|") && says(&site).contains("LOGIN, CREATEDB, the members clerk"),
        "{}",
        says(&site)
    );
    let fix: String = site.query_one("SELECT fix FROM guestly_doctor() WHERE check_name = 'roles'");
    site.sql(&fix);
    assert!(says(&site).starts_with("ok|"), "{}", says(&site));
}
