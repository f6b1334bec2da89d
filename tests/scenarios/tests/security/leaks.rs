//! The attack of `hostile_tables` and its findings. Each finding is a line of the server's log, which survives a rollback.

use guestly_scenarios::Site;
use std::collections::BTreeSet;

/// `hostile.attack(place)` logs its role and tries to become another. `attack.entry` names the entry point; the worker
/// has none, and the site's own statements are `site`: there
/// only the role counts, since its `RESET ROLE` is its own. `mallory` owns the function and `properties`, `site_owner` owns `bookings`.
pub const ATTACK: &str = r#"
CREATE SCHEMA hostile;
CREATE ROLE mallory LOGIN;
CREATE ROLE heir LOGIN;
-- Made a superuser in place of the attacker, so that one success is not the cause of the next.
CREATE ROLE prize;
ALTER ROLE service_role LOGIN;
GRANT ALL ON SCHEMA hostile TO PUBLIC;
GRANT ALL ON SCHEMA public TO mallory, heir;
GRANT USAGE ON SCHEMA sample TO site_owner, heir;
GRANT ALL ON SEQUENCE sample.booking_number TO site_owner, heir;
ALTER TABLE properties OWNER TO mallory;
GRANT SELECT, REFERENCES ON properties TO site_owner, heir;
ALTER ROLE site_owner SET attack.entry = 'site';
ALTER ROLE mallory SET attack.entry = 'site';
ALTER ROLE heir SET attack.entry = 'site';
CREATE FUNCTION hostile.attack(place text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    entry CONSTANT text := coalesce(nullif(current_setting('attack.entry', true), ''), 'worker');
    me CONSTANT text := current_user;
    statement text;
BEGIN
    RAISE LOG 'attack|%|%|%|%|', entry, place, me, CASE WHEN (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = me) THEN 'as a superuser' ELSE 'here' END;
    -- What is tried below may plan the hostile table itself.
    IF entry IN ('site', 'control') OR current_setting('attack.busy', true) = 'yes' THEN
        RETURN;
    END IF;
    PERFORM set_config('attack.busy', 'yes', false);
    FOREACH statement IN ARRAY ARRAY[
        'ALTER ROLE prize SUPERUSER',
        'SET ROLE postgres', 'SET ROLE guestly_owner', 'SET ROLE service_role', 'RESET ROLE', 'SET LOCAL ROLE NONE',
        'SET SESSION AUTHORIZATION postgres', 'SET SESSION AUTHORIZATION guestly_owner', 'SET SESSION AUTHORIZATION service_role',
        'RESET SESSION AUTHORIZATION', 'SELECT set_config(''role'', ''none'', false)', 'SELECT set_config(''role'', ''postgres'', true)',
        'SELECT set_config(''session_authorization'', ''postgres'', false)', 'COPY (SELECT 1) TO PROGRAM ''cat >/dev/null''',
        'SELECT pg_read_file(''postgresql.conf'')', 'SELECT access_token FROM guestly.token',
        'UPDATE guestly.installations SET environment = environment', 'UPDATE guestly.queue SET attempts = attempts',
        'GRANT guestly_owner TO mallory', 'CREATE FUNCTION guestly.mine() RETURNS integer LANGUAGE sql AS ''SELECT 1'''] LOOP
        BEGIN
            EXECUTE statement;
            RAISE LOG 'attack|%|%|%|did: %|', entry, place, me, statement;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
    PERFORM set_config('attack.busy', 'no', false);
END $$;
ALTER FUNCTION hostile.attack OWNER TO mallory;
"#;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// `guestly_doctor as ann`, `worker`, …
    pub entry: String,
    /// The vector.
    pub place: String,
    /// The role that the code ran as.
    pub runs_as: String,
    /// `here`, `as a superuser`, or the statement that should have failed.
    pub what: String,
}

/// A site with the attack, before the extension.
pub fn site() -> Site {
    let site = Site::bare_with(|options| options.setting("guestly_sync.poll_interval", "1s"));
    site.sql(ATTACK);
    site
}

/// All different findings, in order.
pub fn findings(site: &Site) -> BTreeSet<Finding> {
    let mut all = BTreeSet::new();
    for line in site.log().lines() {
        let Some((_, find)) = line.split_once("LOG:  attack|") else { continue };
        let [entry, place, runs_as, what, ..] = find.split('|').collect::<Vec<_>>()[..] else { continue };
        let [entry, place, runs_as, what] = [entry, place, runs_as, what].map(str::to_owned);
        all.insert(Finding { entry, place, runs_as, what });
    }
    all
}
