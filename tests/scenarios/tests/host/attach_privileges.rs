//! Privileges to attach and detach: permitted and refused callers, and that a refused call changes nothing.

use guestly_scenarios::{Database, SOON, Site};

/// A site with an administrator who owns nothing, and the site's server as a login role.
fn site() -> Site {
    let site = Site::open();
    site.sql(
        "CREATE ROLE ann LOGIN IN ROLE guestly_admin; ALTER ROLE service_role LOGIN; GRANT guestly_admin TO site_owner",
    );
    site
}

/// The attached table, or `none`.
fn attached(site: &Site) -> String {
    site.query_one("SELECT coalesce((SELECT a.bookings FROM guestly.attachment a), 'none')")
}

fn superusers(site: &Site) -> Vec<String> {
    site.query_all("SELECT rolname::text FROM pg_roles WHERE rolsuper")
}

/// The error of a call that must be refused for lack of privileges.
#[track_caller]
fn refused(database: &Database, statement: &str) {
    let error = database.try_sql(statement).err().unwrap_or_else(|| "it succeeded".to_owned());
    assert!(error.starts_with("42501") && error.contains("hint: "), "{statement}: {error}");
}

#[test]
fn only_the_owner_may_attach_or_detach() {
    let site = site();
    for role in ["ann", "service_role"] {
        refused(&site.as_user(role), "SELECT guestly_detach()");
        refused(&site.as_user(role), "SELECT guestly_attach('public.bookings')");
        refused(&site.as_user(role), "SELECT guestly_attach()");
    }
    site.sql("SELECT guestly_detach()");
    for role in ["ann", "service_role"] {
        refused(&site.as_user(role), "SELECT guestly_attach('public.bookings')");
    }
    assert_eq!(attached(&site), "none");
}

#[test]
fn members_of_the_owner_role_may_attach() {
    let site = site();
    site.sql("CREATE ROLE deputy LOGIN IN ROLE site_owner, guestly_admin");
    for role in ["site_owner", "deputy", "postgres"] {
        let session = site.as_user(role);
        session.sql("SELECT guestly_detach()");
        assert_eq!(attached(&site), "none");
        session.sql("SELECT guestly_attach('public.bookings')");
        assert_eq!(attached(&site), "public.bookings");
        let id = site.paid_booking();
        site.wait_synced(&id);
    }
}

#[test]
fn a_refused_call_does_not_wait_for_a_lock_on_the_table() {
    let site = site();
    let mut holder = site.client();
    holder.batch_execute("BEGIN; LOCK TABLE bookings IN ACCESS EXCLUSIVE MODE").unwrap();
    for call in ["guestly_detach()", "guestly_attach('public.bookings')"] {
        // A session that waits for the lock ends with 55P03.
        refused(&site.as_user("ann"), &format!("SET lock_timeout = '3s'; BEGIN; SELECT {call}"));
    }
    let waiting: i64 = site.query_one(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'bookings'::regclass \
        AND pid <> (SELECT coalesce(max(worker_pid), 0) FROM guestly.status)",
    );
    assert_eq!(waiting, 0);
    holder.batch_execute("ROLLBACK").unwrap();
}

#[test]
fn a_relation_that_is_no_table_is_refused_with_a_hint() {
    let site = site();
    site.sql(
        "SELECT guestly_detach(); DELETE FROM guestly.field_map; CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere; \
         GRANT USAGE ON FOREIGN SERVER nowhere TO site_owner",
    );
    const COLUMNS: &str = "(id bigint, payment_status text)";
    const KEYED: &str = "(id bigint PRIMARY KEY, payment_status text)";
    for (word, create) in [
        ("temporary", format!("CREATE TEMPORARY TABLE odd {KEYED}")),
        ("unlogged", format!("CREATE UNLOGGED TABLE odd {KEYED}")),
        ("foreign", format!("CREATE FOREIGN TABLE odd {COLUMNS} SERVER nowhere")),
        ("view", "CREATE VIEW odd AS SELECT 1::bigint AS id, 'paid'::text AS payment_status".to_owned()),
        (
            "materialized view",
            "CREATE MATERIALIZED VIEW odd AS SELECT 1::bigint AS id, 'paid'::text AS payment_status".to_owned(),
        ),
    ] {
        let call = format!("BEGIN; {create}; SELECT guestly_attach('odd'); COMMIT");
        let error = site.as_user("site_owner").try_sql(&call).err().unwrap_or_else(|| "it was attached".to_owned());
        assert!(error.contains(word) && error.contains("hint: "), "{word}: {error}");
        assert_eq!(attached(&site), "none", "{word}");
    }
}

#[test]
fn a_temporary_bookings_table_is_ignored() {
    let site = site();
    let mut mallory = site.as_user("service_role").client();
    mallory
        .batch_execute(
            "CREATE FUNCTION pg_temp.rise() RETURNS void LANGUAGE plpgsql AS $$ BEGIN \
                 IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN ALTER ROLE service_role SUPERUSER; END IF; END $$; \
             CREATE FUNCTION pg_temp.wrap(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN \
                 PERFORM pg_temp.rise(); RETURN 1; END $$; \
             CREATE TEMPORARY TABLE bookings (LIKE public.bookings INCLUDING ALL); \
             CREATE INDEX ON pg_temp.bookings (id) WHERE pg_temp.wrap(1) = 1",
        )
        .unwrap();
    let calls = ["guestly_detach()", "guestly_attach('pg_temp.bookings')", "guestly_attach()"];
    let ended = calls.map(|call| mallory.batch_execute(&format!("SELECT {call}")).is_ok());
    drop(mallory);
    assert_eq!(superusers(&site), ["postgres"]);
    assert_eq!(attached(&site), "public.bookings");
    assert_eq!(ended, [false; 3], "which of {calls:?} succeeded");
    let id = site.paid_booking();
    site.wait_synced(&id);
}

#[test]
fn read_privileges_follow_the_attached_table() {
    const READS: &str = "SELECT coalesce(string_agg(c.relname, ', ' ORDER BY c.relname), 'nothing') FROM pg_class c \
        WHERE c.relnamespace = 'guestly'::regnamespace AND c.relkind IN ('r', 'v') AND has_any_column_privilege('{role}', c.oid, 'SELECT')";
    let site = Site::open_with(|options| options.setting("guestly_sync.poll_interval", "1s"));
    site.sql(
        "CREATE ROLE new_owner LOGIN; GRANT ALL ON SCHEMA public TO new_owner; GRANT SELECT ON properties TO new_owner",
    );
    let reads = |role: &str| -> String { site.query_one(&READS.replace("{role}", role)) };
    let before = reads("site_owner");
    assert_ne!(before, "nothing");
    site.sql("ALTER TABLE bookings OWNER TO new_owner");
    for (role, expected) in [("new_owner", before.as_str()), ("site_owner", "nothing")] {
        let query = READS.replace("{role}", role);
        site.wait_for(
            &format!("the rights of {role}"),
            SOON,
            &format!("SELECT r.names = '{expected}', r.names FROM ({query}) AS r (names)"),
        );
    }
    assert!(!site.query_one::<bool>("SELECT has_schema_privilege('site_owner', 'guestly', 'USAGE')"));
    let id = site.paid_booking();
    site.wait_synced(&id);
    site.sql("SELECT guestly_detach()");
    assert_eq!(reads("new_owner"), "nothing");
    assert!(!site.query_one::<bool>("SELECT has_schema_privilege('new_owner', 'guestly', 'USAGE')"));
}
