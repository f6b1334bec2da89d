//! A deadlock between the worker's write and a session of the host: the server aborts the worker's transaction, which is
//! then repeated.

use guestly_scenarios::{SOON, Site};

const DEADLOCK: &str = "detected deadlock while waiting";

/// The host's trigger, fired by the worker's write, waits for a row that a session has locked; that session then waits for
/// the worker's row.
fn cross(site: &Site) -> String {
    site.sim.hold("create", "after");
    let before = site.sim.calls("create");
    let id = site.paid_booking();
    site.sim.wait_for_calls("create", before + 1, SOON);
    let mut session = site.client();
    let mut run = |sql: &str| session.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    run("SET deadlock_timeout = '30s'; BEGIN; UPDATE occupancy SET nights = nights + 100 WHERE flat = 1");
    site.sim.release();
    let waits = "SELECT count(*) > 0, 'not yet' FROM pg_stat_activity \
                 WHERE backend_type = 'guestly_sync worker' AND wait_event_type = 'Lock'";
    site.wait_for("the worker to wait for the session", SOON, waits);
    run(&format!("UPDATE bookings SET updated_at = now() WHERE id = '{id}'; COMMIT"));
    site.wait_all_synced(SOON);
    id
}

#[test]
fn an_outcome_is_written_again_after_a_deadlock() {
    // Slightly shorter than the worker's lock_timeout: by then the session waits too.
    let site = Site::open_with(|options| options.setting("deadlock_timeout", "400ms").setting("log_lock_waits", "on"));
    site.sql("CREATE TABLE occupancy (flat integer PRIMARY KEY, nights integer); INSERT INTO occupancy VALUES (1, 0)");
    site.sql("GRANT ALL ON occupancy TO PUBLIC");
    site.sql(
        "CREATE FUNCTION count_nights() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.guestly_sync_status = 'synced' THEN UPDATE public.occupancy SET nights = nights + 1 WHERE flat = 1; END IF; \
         RETURN NEW; END $$; \
         CREATE TRIGGER count_nights AFTER UPDATE OF guestly_sync_status ON bookings \
         FOR EACH ROW EXECUTE FUNCTION count_nights()",
    );
    let mut ids = Vec::new();
    // On a busy machine the worker may give up the lock before the session waits for it.
    while ids.len() < 20 && !site.log().contains(DEADLOCK) {
        ids.push(cross(&site));
    }
    assert!(site.log().contains(DEADLOCK), "no deadlock happened, so nothing was tested");
    let nights = i32::try_from(ids.len()).unwrap_or_default() * 101;
    assert_eq!(site.query_one::<i32>("SELECT nights FROM occupancy"), nights, "each is written once");
    site.assert_once_each(&ids);
}
