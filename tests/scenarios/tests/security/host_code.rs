//! Host code never runs as superuser: triggers, mapping expressions, views and types run as the owner of the bookings
//! table, cannot switch back, and fail only their own booking.

use super::attack::{assert_no_breach, site};
use guestly_scenarios::{SOON, host};

#[test]
fn a_hostile_trigger_gains_no_privileges() {
    let site = site();
    site.sql(
        "CREATE FUNCTION sample.on_booking() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.guestly_sync_status = 'synced' THEN PERFORM sample.attack(TG_NAME); END IF; \
             IF NEW.guest_company = 'raises' AND NEW.guestly_sync_status = 'synced' THEN ALTER ROLE mallory SUPERUSER; END IF; \
             RETURN NEW; END $$; \
         ALTER FUNCTION sample.on_booking OWNER TO mallory; \
         CREATE TRIGGER at_once BEFORE UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION sample.on_booking(); \
         CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON bookings DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION sample.on_booking()",
    );
    let ids = host::make_bookings(&site, 4);
    site.sql(&format!("UPDATE bookings SET guest_company = 'raises' WHERE id = '{}'", ids[2]));
    host::pay(&site, &ids);
    let (bad, good): (Vec<String>, Vec<String>) =
        ids.into_iter().partition(|id| site.row(id)["guest_company"] == "raises");
    site.wait_for_status(&good, "synced");
    site.wait_for_state(&bad[0], "failed", SOON);
    assert_no_breach(&site, "at_once", "site_owner");
    assert_no_breach(&site, "at_commit", "site_owner");
    let error: String = site.query_one("SELECT error_class || ': ' || error FROM guestly.queue");
    assert!(error.contains("the booking's row cannot be written: must be superuser"), "{error}");
    // The reservation is not lost, and the booking is synced after the trigger is gone.
    site.sql("DROP TRIGGER at_once ON bookings; DROP TRIGGER at_commit ON bookings; SELECT guestly_retry_failed()");
    site.wait_synced(&bad[0]);
    assert_eq!(site.sim.state().len(), 4);
}

#[test]
fn a_hostile_mapping_function_gains_no_privileges() {
    let site = site();
    site.sql(
        "CREATE FUNCTION sample.adults(b public.bookings) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM sample.attack('mapping'); \
             IF b.guest_company = 'raises' THEN PERFORM access_token FROM guestly.token; END IF; RETURN b.adults; END $$; \
         ALTER FUNCTION sample.adults OWNER TO mallory; \
         UPDATE guestly.field_map SET expression = 'sample.adults(b)' WHERE field = 'adults'",
    );
    let ids = host::make_bookings(&site, 4);
    site.sql(&format!("UPDATE bookings SET guest_company = 'raises' WHERE id = '{}'", ids[1]));
    host::pay(&site, &ids);
    let (bad, good): (Vec<String>, Vec<String>) =
        ids.into_iter().partition(|id| site.row(id)["guest_company"] == "raises");
    site.wait_for_status(&good, "synced");
    let error = site.wait_failed(&bad[0]);
    assert!(
        error.starts_with("invalid_booking: the booking cannot be read: permission denied for table token"),
        "{error}"
    );
    // The same from a session of a superuser.
    site.sql("DELETE FROM sample.attack_log");
    site.sql(&format!("SELECT guestly_preview('{}'), guestly_sync('{}')", good[0], good[0]));
    site.sql("SELECT * FROM guestly_backfill(); SELECT * FROM guestly_doctor()");
    assert_no_breach(&site, "mapping", "site_owner");
}

#[test]
fn deferred_admin_triggers_do_not_fire_as_the_table_owner() {
    let site = site();
    let id = host::make_bookings(&site, 1).remove(0);
    site.sql(
        "CREATE ROLE ann LOGIN IN ROLE guestly_admin; CREATE SCHEMA ann AUTHORIZATION ann; SET ROLE ann; \
         CREATE TABLE ann.bait (id integer); \
         CREATE FUNCTION ann.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO sample.attack_log VALUES ('own trigger', current_user, '', ''); RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER later AFTER INSERT ON ann.bait DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION ann.note()",
    );
    let mut ann = site.as_user("ann").client();
    ann.batch_execute(&format!("BEGIN; INSERT INTO ann.bait VALUES (1); SELECT guestly_sync('{id}', force => true)"))
        .unwrap();
    let early: i64 = ann.query_one("SELECT count(*) FROM sample.attack_log", &[]).unwrap().get(0);
    assert_eq!(early, 0, "a deferred trigger of the session fired early");
    ann.batch_execute("COMMIT").unwrap();
    assert_eq!(site.query_all::<String>("SELECT runs_as FROM sample.attack_log"), ["ann"]);
}

#[test]
fn a_vault_owned_by_a_plain_role_is_not_read() {
    let site = site();
    site.sql(
        "GRANT CREATE ON DATABASE postgres TO mallory; SET ROLE mallory; CREATE SCHEMA vault; \
         CREATE FUNCTION vault.peek() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM sample.attack('vault'); \
         RETURN 'guestly_client_id'; END $$; \
         CREATE VIEW vault.decrypted_secrets AS SELECT vault.peek() AS name, 'of mallory' AS decrypted_secret \
         UNION ALL SELECT 'guestly_client_secret', 'of mallory'",
    );
    site.sql("SELECT pg_reload_conf(); SELECT * FROM guestly.status; SELECT * FROM guestly_doctor()");
    let id = site.paid_booking();
    site.wait_synced(&id);
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM sample.attack_log"), 0, "the view was read");
    assert_eq!(site.sim.calls("token"), 1, "the valid credentials of the settings were used all the time");

    // A cast by the flats' owner, run whenever a slug becomes text.
    site.sql(
        "CREATE TYPE sample.slug AS (word text); \
         CREATE FUNCTION sample.words(s sample.slug) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM sample.attack('cast'); RETURN s.word; END $$; \
         ALTER FUNCTION sample.words OWNER TO mallory; CREATE CAST (sample.slug AS text) WITH FUNCTION sample.words(sample.slug); \
         ALTER TABLE properties ALTER slug TYPE sample.slug USING row(slug)::sample.slug",
    );
    site.sql("SELECT * FROM guestly_doctor()");
    let as_superuser: i64 = site.query_one("SELECT count(*) FROM sample.attack_log WHERE runs_as = 'postgres'");
    assert_eq!(as_superuser, 0, "the doctor ran a foreign cast as superuser");
}

#[test]
fn the_trigger_ignores_objects_on_the_payers_path() {
    let site = site();
    site.sql(
        "CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO mallory; SET ROLE mallory; \
         CREATE FUNCTION evil.note(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM sample.attack('operator'); RETURN false; END $$; \
         CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.note); \
         CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.note); \
         CREATE OPERATOR evil.!~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.note); \
         CREATE FUNCTION evil.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN PERFORM sample.attack('unnest'); END $$; \
         CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM sample.attack('now'); RETURN null; END $$; \
         CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM sample.attack('clock'); RETURN null; END $$; \
         CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.note(value, value)); \
         CREATE DOMAIN evil.date AS pg_catalog.date CHECK (evil.note(value::pg_catalog.text, '')); \
         CREATE TABLE evil.queue (booking_id pg_catalog.text PRIMARY KEY, arrival pg_catalog.date)",
    );
    let ids = host::make_bookings(&site, 2);
    for id in &ids {
        let mut payer = site.client();
        payer.batch_execute("SET search_path = evil, pg_catalog, public").unwrap();
        let pay = format!("UPDATE public.bookings SET payment_status = 'completed' WHERE id = '{id}'::pg_catalog.uuid");
        payer.batch_execute(&pay).unwrap();
    }
    site.wait_for_status(&ids, "synced");
    assert_eq!(site.query_all::<String>("SELECT DISTINCT at FROM sample.attack_log"), Vec::<String>::new());
    assert_eq!(site.sim.calls("search"), 0, "queued by the trigger, not found by the sweep");
}

#[test]
fn forced_row_security_is_reported_with_its_fix() {
    let site = site();
    site.sql("ALTER TABLE bookings FORCE ROW LEVEL SECURITY");
    let id = site.paid_booking();
    let row = "SELECT status || '|' || detail || '|' || fix FROM guestly_doctor() WHERE check_name = 'row security'";
    let said: String = site.query_one(row);
    assert!(said.starts_with("warn|FORCE ROW LEVEL SECURITY"), "{said}");
    assert!(
        said.ends_with("ALTER TABLE public.bookings NO FORCE ROW LEVEL SECURITY;")
            || said.contains("ALTER TABLE bookings NO")
    );
    site.wait_for_state(&id, "failed", SOON);
    let why: String = site.query_one("SELECT error FROM guestly.queue");
    assert!(why.contains("row-level security"), "{why}");
    let fix: String = site.query_one("SELECT fix FROM guestly_doctor() WHERE check_name = 'row security'");
    site.sql(&fix);
    site.sql("SELECT guestly_retry_failed()");
    site.wait_synced(&id);
}

#[test]
fn hanging_host_code_stops_only_its_own_booking() {
    let site = site();
    site.sql(
        "CREATE FUNCTION sample.nap(b public.bookings) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN \
             IF b.guest_company = 'mapping' THEN PERFORM pg_sleep(3600); END IF; RETURN b.adults; END $$; \
         UPDATE guestly.field_map SET expression = 'sample.nap(b)' WHERE field = 'adults'; \
         CREATE FUNCTION sample.on_sync() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.guest_company = 'trigger' AND NEW.guestly_sync_status = 'synced' THEN PERFORM pg_sleep(3600); END IF; \
             RETURN NEW; END $$; \
         CREATE TRIGGER on_sync BEFORE UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION sample.on_sync()",
    );
    let ids = host::make_bookings(&site, 4);
    for (id, place) in ids.iter().zip(["mapping", "trigger"]) {
        site.sql(&format!("UPDATE bookings SET guest_company = '{place}' WHERE id = '{id}'"));
    }
    host::pay(&site, &ids);
    site.wait_for_status(&ids[2..], "synced");
    let error = site.wait_failed(&ids[0]);
    assert!(error.starts_with("internal: the booking cannot be read: code of the table did not end within"), "{error}");
    site.wait_for_state(&ids[1], "failed", SOON);
    let error: String = site.query_one(&format!("SELECT error FROM guestly.queue WHERE booking_id = '{}'", ids[1]));
    assert!(error.contains("the booking's row cannot be written: code of the table did not end within"), "{error}");
    assert_eq!(site.sim.reservations_of(&site.code(&ids[1])).len(), 1, "its reservation is kept");
}
