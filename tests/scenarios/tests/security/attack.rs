//! An attack by code in the host's tables, and the check that it gained nothing.

use guestly_scenarios::Site;

/// Tries everything that a superuser could do; `sample.attack_log` records the result and the role of each attempt.
pub const ATTACK: &str = r#"
CREATE TABLE sample.attack_log (at text, runs_as text, what text, result text);
GRANT USAGE ON SCHEMA sample TO PUBLIC;
GRANT INSERT, SELECT ON sample.attack_log TO PUBLIC;
CREATE ROLE mallory LOGIN;
CREATE FUNCTION sample.attack(place text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    what text;
BEGIN
    INSERT INTO sample.attack_log VALUES (place, current_user, 'being here', 'ok');
    FOREACH what IN ARRAY ARRAY[
        'ALTER ROLE mallory SUPERUSER', 'ALTER ROLE site_owner SUPERUSER', 'CREATE ROLE attack_role SUPERUSER',
        'COPY sample.attack_log TO PROGRAM ''cat >/dev/null''', 'COPY sample.attack_log FROM ''/etc/hostname''',
        'SELECT pg_read_file(''postgresql.conf'')', 'SELECT access_token FROM guestly.token',
        'UPDATE guestly.installations SET environment = ''stolen''', 'INSERT INTO guestly.field_map VALUES (''total'', ''1'')',
        'SET ROLE postgres', 'RESET ROLE', 'SET SESSION AUTHORIZATION postgres', 'RESET SESSION AUTHORIZATION',
        'SELECT set_config(''role'', ''postgres'', false)', 'SELECT set_config(''session_authorization'', ''postgres'', false)',
        'ALTER SYSTEM SET guestly_sync.base_url = ''http://127.0.0.1:1''', 'SET guestly_sync.client_secret = ''x''',
        'CREATE TEMP TABLE field_map (field text, expression text)', 'SELECT guestly_pause(''by mallory'')',
        'LOAD ''/tmp/evil.so''', 'CREATE FUNCTION sample.c() RETURNS int LANGUAGE internal AS ''pg_backend_pid'''] LOOP
        BEGIN
            EXECUTE what;
            INSERT INTO sample.attack_log VALUES (place, current_user, what, 'DONE');
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO sample.attack_log VALUES (place, current_user, what, SQLSTATE || ' ' || SQLERRM);
        END;
    END LOOP;
    -- Allowed, and gone when the owner's part is over.
    PERFORM set_config('search_path', 'sample', false), set_config('enable_indexscan', 'off', false);
    RESET ALL;
END $$;
ALTER FUNCTION sample.attack OWNER TO mallory;
"#;

pub fn site() -> Site {
    let site = Site::open();
    site.sql(ATTACK);
    site
}

/// The attack ran at this place, only as this role, and gained nothing.
pub fn assert_no_breach(site: &Site, place: &str, runs_as: &str) {
    let seen: Vec<String> =
        site.query_all(&format!("SELECT DISTINCT runs_as FROM sample.attack_log WHERE at = '{place}'"));
    assert_eq!(seen, [runs_as], "the attack at {place} ran as another role, or not at all");
    let got: Vec<String> =
        site.query_all(&format!("SELECT what FROM sample.attack_log WHERE at = '{place}' AND result = 'DONE'"));
    assert_eq!(got, Vec::<String>::new(), "the attack at {place}");
    let supers: Vec<String> = site.query_all("SELECT rolname::text FROM pg_roles WHERE rolsuper");
    assert_eq!(supers, ["postgres"]);
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.pause"), 0);
}
