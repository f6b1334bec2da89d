//! The second barrier: the extension's objects belong to `guestly_owner`, a role without login or special privileges, and
//! the worker's statements run as it. An attacker past the first barrier reaches the queue, not the server.

use super::leaks::{self, Finding, findings};
use super::notices::notices;
use guestly_scenarios::{Database, Options, Site, host};

/// Objects of the extension that do not belong to `guestly_owner`, and privileges that the role should not have; empty if all
/// is well.
const WRONG: &str = "
WITH ours AS (SELECT oid FROM pg_roles WHERE rolname = 'guestly_owner'),
     part AS (SELECT d.classid, d.objid FROM pg_depend d WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
              AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'guestly_sync'))
SELECT 'there is no role guestly_owner' WHERE NOT EXISTS (SELECT FROM ours)
UNION ALL SELECT 'schema guestly' FROM pg_namespace WHERE nspname = 'guestly' AND nspowner NOT IN (SELECT oid FROM ours)
UNION ALL SELECT 'relation ' || oid::regclass FROM pg_class WHERE relnamespace = 'guestly'::regnamespace AND relowner NOT IN (SELECT oid FROM ours)
UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE typnamespace = 'guestly'::regnamespace AND typowner NOT IN (SELECT oid FROM ours)
UNION ALL SELECT 'function ' || p.oid::regprocedure FROM pg_proc p
    WHERE (p.pronamespace = 'guestly'::regnamespace OR p.oid IN (SELECT objid FROM part WHERE classid = 'pg_proc'::regclass)) AND proowner NOT IN (SELECT oid FROM ours)
UNION ALL SELECT 'definer of a superuser ' || p.oid::regprocedure FROM pg_proc p JOIN part ON objid = p.oid AND classid = 'pg_proc'::regclass
    JOIN pg_roles r ON r.oid = p.proowner WHERE p.prosecdef AND r.rolsuper
UNION ALL SELECT concat_ws(' ', 'attributes', rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls)
    FROM pg_roles WHERE rolname = 'guestly_owner' AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolcanlogin OR rolreplication OR rolbypassrls)
UNION ALL SELECT format('%s is a member of %s', member::regrole, roleid::regrole) FROM pg_auth_members, ours WHERE ours.oid IN (roleid, member)
ORDER BY 1";

fn wrong(database: &Database) -> Vec<String> {
    database.query_all(WRONG)
}

#[test]
fn everything_belongs_to_the_owner_role() {
    for schema in ["public", "extensions"] {
        let site = Site::bare_with(|options| options);
        site.sql(&format!("CREATE EXTENSION guestly_sync SCHEMA {schema}"));
        assert_eq!(wrong(&site), Vec::<String>::new(), "in {schema}");
    }
}

#[test]
fn everything_belongs_to_the_owner_role_after_an_update() {
    for version in ["0.1.0", "0.2.0"] {
        let site = Site::bare_with(|options| options);
        site.sql(&format!("CREATE EXTENSION guestly_sync VERSION '{version}'"));
        site.sql("ALTER EXTENSION guestly_sync UPDATE");
        assert_eq!(wrong(&site), Vec::<String>::new(), "updated from {version}");
        host::map_listings(&site);
        let id = site.paid_booking();
        site.wait_synced(&id);
    }
}

#[test]
fn a_second_database_shares_the_role() {
    let site = Site::open();
    site.sql("CREATE DATABASE second");
    let second = site.database("second");
    host::set_up(&second);
    assert_eq!(wrong(&second), Vec::<String>::new());
    let ids = host::make_bookings(&second, 1);
    host::pay(&second, &ids);
    guestly_scenarios::assertions::wait_all_synced(&second, guestly_scenarios::SOON);
}

#[test]
fn an_owner_role_with_privileges_is_refused() {
    let site = Site::bare_with(|options| options);
    let install = || notices(&site, "CREATE EXTENSION guestly_sync");
    site.sql("CREATE ROLE ann LOGIN; CREATE ROLE guestly_owner");
    for (give, take) in [
        ("ALTER ROLE guestly_owner LOGIN", "ALTER ROLE guestly_owner NOLOGIN"),
        ("ALTER ROLE guestly_owner SUPERUSER", "ALTER ROLE guestly_owner NOSUPERUSER"),
        ("ALTER ROLE guestly_owner CREATEROLE", "ALTER ROLE guestly_owner NOCREATEROLE"),
        ("ALTER ROLE guestly_owner CREATEDB", "ALTER ROLE guestly_owner NOCREATEDB"),
        ("ALTER ROLE guestly_owner REPLICATION", "ALTER ROLE guestly_owner NOREPLICATION"),
        ("ALTER ROLE guestly_owner BYPASSRLS", "ALTER ROLE guestly_owner NOBYPASSRLS"),
        ("GRANT guestly_owner TO ann", "REVOKE guestly_owner FROM ann"),
        ("GRANT pg_write_all_data TO guestly_owner", "REVOKE pg_write_all_data FROM guestly_owner"),
    ] {
        site.sql(give);
        let error = install().err().unwrap_or_else(|| "it was installed".to_owned());
        let (message, hint) = error.split_once("; hint: ").unwrap_or((&error, ""));
        assert!(message.contains("guestly_owner") && hint.contains("guestly_owner"), "{give}: {error}");
        assert_eq!(site.query_one::<i64>("SELECT count(*) FROM pg_namespace WHERE nspname = 'guestly'"), 0);
        site.sql(take);
    }
    install().unwrap_or_else(|error| panic!("a role without rights was refused: {error}"));
    assert_eq!(wrong(&site), Vec::<String>::new());
}

#[test]
fn an_admin_role_with_other_members_is_reported() {
    let site = Site::bare_with(|options| options);
    let reported = |words: &str| words.lines().any(|line| line.starts_with("NOTICE") && line.contains("guestly_admin"));
    site.sql("CREATE ROLE ann LOGIN; CREATE ROLE guestly_admin");
    for (make, expected) in [
        ("ALTER ROLE guestly_admin LOGIN", true),
        ("ALTER ROLE guestly_admin NOLOGIN; GRANT guestly_admin TO ann", true),
        ("REVOKE guestly_admin FROM ann", false),
    ] {
        site.sql(make);
        let words = notices(&site, "CREATE EXTENSION guestly_sync").unwrap_or_else(|error| panic!("{make}: {error}"));
        assert_eq!(reported(&words), expected, "{make}: {words}");
        site.sql("DROP EXTENSION guestly_sync");
    }
}

/// Privileges of `guestly_owner`: the extension's tables, nothing of the server.
const OURS: [&str; 4] = [
    "did: SELECT access_token FROM guestly.token",
    "did: UPDATE guestly.queue SET attempts = attempts",
    "did: UPDATE guestly.installations SET environment = environment",
    "did: CREATE FUNCTION guestly.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
];

/// Findings at a place that reach beyond the extension's tables, or run as another role.
fn beyond(site: &Site, place: &str) -> Vec<Finding> {
    let within =
        |find: &Finding| find.runs_as == "guestly_owner" && (find.what == "here" || OURS.contains(&find.what.as_str()));
    findings(site).into_iter().filter(|find| find.place == place && !within(find)).collect()
}

/// A site with a superuser's attacking trigger on a table of the extension.
fn spied(tables: &[&str]) -> Site {
    let site = leaks::site();
    host::create_extension(&site);
    host::map_listings(&site);
    host::without_notes(&site);
    site.sql(
        "CREATE FUNCTION hostile.on_ours() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.attack(TG_TABLE_NAME); RETURN NULL; END $$",
    );
    for table in tables {
        site.sql(&format!(
            "CREATE TRIGGER spy AFTER INSERT OR UPDATE OR DELETE ON guestly.{table} FOR EACH STATEMENT EXECUTE FUNCTION hostile.on_ours()"
        ));
    }
    site
}

#[test]
fn the_workers_own_statements_run_as_the_owner_role() {
    const TABLES: [&str; 4] = ["attempts", "queue", "reservations", "token"];
    let site = spied(&TABLES);
    let id = site.paid_booking();
    site.wait_synced(&id);
    site.wait_at_rest();
    for table in TABLES {
        assert!(findings(&site).iter().any(|find| find.place == table), "nothing was written to guestly.{table}");
        assert_eq!(beyond(&site, table), Vec::<Finding>::new());
    }
}

#[test]
fn an_escape_reaches_only_the_queue() {
    let site = Site::open_with(|options: Options| options.environment("GUESTLY_TEST_ESCAPE", "owner"));
    site.sql(leaks::ATTACK);
    site.sql(
        "ALTER TABLE bookings DISABLE ROW LEVEL SECURITY; ALTER TABLE properties OWNER TO site_owner; \
         DO $$ BEGIN IF to_regrole('guestly_owner') IS NOT NULL THEN GRANT ALL ON bookings, properties TO guestly_owner; END IF; END $$; \
         CREATE FUNCTION hostile.on_booking() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.attack('escaped'); RETURN NEW; END $$; \
         ALTER FUNCTION hostile.on_booking OWNER TO mallory",
    );
    let id = host::make_bookings(&site, 1).remove(0);
    site.sql("CREATE TRIGGER escape BEFORE UPDATE ON bookings FOR EACH ROW WHEN (NEW.guestly_sync_status = 'synced') EXECUTE FUNCTION hostile.on_booking()");
    host::pay(&site, std::slice::from_ref(&id));
    site.wait_synced(&id);
    let seen: Vec<Finding> = findings(&site).into_iter().filter(|find| find.place == "escaped").collect();
    assert!(!seen.is_empty(), "the trigger did not fire");
    assert!(seen.iter().all(|find| find.runs_as == "guestly_owner"), "it did not escape: {seen:?}");
    assert_eq!(beyond(&site, "escaped"), Vec::<Finding>::new());
    assert_eq!(site.query_all::<String>("SELECT rolname::text FROM pg_roles WHERE rolsuper"), ["postgres"]);
}
