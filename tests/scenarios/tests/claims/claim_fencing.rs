//! Outcomes that cannot be written, and rows that change during a call: raising triggers, locks of other sessions, edited
//! queue rows. An outcome is never lost and a call never repeated.

use guestly_scenarios::{SOON, Site, host, wait_until};
use serde_json::json;

/// A trigger of the host that raises when the worker writes `condition`.
fn raise(site: &Site, condition: &str) {
    site.sql(&format!(
        "CREATE FUNCTION closed_on_sundays() RETURNS trigger LANGUAGE plpgsql AS $$ \
         BEGIN RAISE EXCEPTION 'the books are closed on Sundays'; END $$; \
         CREATE TRIGGER closed BEFORE UPDATE ON bookings FOR EACH ROW WHEN ({condition}) \
         EXECUTE FUNCTION closed_on_sundays()"
    ));
}

/// A site whose creates wait for `sim.release()`, so that something can happen during one.
fn held_site() -> Site {
    let site = Site::open();
    site.sim.hold("create", "before");
    site
}

/// Lets the calls go on and waits until so many have been answered.
fn answer(site: &Site, calls: usize) {
    site.sim.release();
    wait_until("the answers", SOON, || {
        let answered = site.sim.call_log(Some("create")).len();
        (answered >= calls, answered.to_string())
    });
}

#[test]
fn a_trigger_that_always_raises_parks_only_its_booking() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 6);
    raise(&site, &format!("NEW.guestly_sync_status = 'synced' AND NEW.id = '{}'", ids[2]));
    host::pay(&site, &ids);
    site.wait_for_state(&ids[2], "failed", SOON);
    let words: String = site.query_one("SELECT error_class || ': ' || error FROM guestly.queue");
    assert_eq!(words, "internal: the booking's row cannot be written: the books are closed on Sundays");
    let others: Vec<String> = ids.iter().filter(|id| **id != ids[2]).cloned().collect();
    site.wait_for_status(&others, "synced");
    site.assert_once_each(&others);
    let held = site.sim.reservations_of(&site.code(&ids[2]));
    let kept: String =
        site.query_one(&format!("SELECT reservation_id FROM guestly.reservations WHERE booking_id = '{}'", ids[2]));
    assert_eq!((held.len(), &held[0]["reservationId"]), (1, &json!(kept)), "the reservation is not lost");
    site.sql("DROP TRIGGER closed ON bookings");
    site.query_one::<i64>("SELECT guestly_retry_failed()");
    site.wait_all_synced(SOON);
    assert_eq!((site.sim.calls("create"), site.sim.calls("search")), (6, 0), "a known reservation needs no call");
    site.assert_once_each(&ids);
}

#[test]
fn a_trigger_that_raises_briefly_only_delays_its_booking() {
    // Write-back is retried for half a minute.
    let site = Site::open_with(|options| {
        options.setting("guestly_sync.backoff_base", "500ms").setting("guestly_sync.backoff_max", "5min")
    });
    raise(&site, "NEW.guestly_sync_status IN ('synced', 'failed')");
    // Sequences are not rolled back.
    site.sql(
        "CREATE TABLE closed AS SELECT 'Sunday' AS day; CREATE SEQUENCE knocks; GRANT SELECT ON closed TO PUBLIC; \
         GRANT USAGE ON SEQUENCE knocks TO PUBLIC; \
         CREATE OR REPLACE FUNCTION closed_on_sundays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF EXISTS (SELECT FROM public.closed) THEN PERFORM nextval('public.knocks'); \
         RAISE EXCEPTION 'the books are closed on Sundays'; END IF; RETURN NEW; END $$",
    );
    let ids = host::make_bookings(&site, 2);
    // A booking that fails before any call.
    site.sql(&format!("UPDATE bookings SET adults = 0 WHERE id = '{}'", ids[1]));
    host::pay(&site, &ids);
    site.sim.wait_for_calls("create", 1, SOON);
    site.wait_for("the worker to retry", SOON, "SELECT last_value >= 5, last_value::text FROM knocks");
    site.sql("DELETE FROM closed");
    site.wait_synced(&ids[0]);
    assert!(site.wait_failed(&ids[1]).starts_with("invalid_booking: "));
    assert_eq!(site.log_of(&ids[0]), ["create:created"], "written without another call");
    assert_eq!(site.log_of(&ids[1]), ["plan:refused"]);
    site.assert_once_each(&ids[..1]);
}

#[test]
fn a_parked_booking_says_so_in_its_row() {
    let site = Site::open();
    raise(&site, "NEW.guestly_sync_status = 'synced'");
    let id = site.paid_booking();
    assert_eq!(site.wait_failed(&id), "internal: the booking's row cannot be written: the books are closed on Sundays");
    site.sql("DROP TRIGGER closed ON bookings");
    site.query_one::<i64>("SELECT guestly_retry_failed()");
    site.wait_all_synced(SOON);
    site.assert_once_each(&[id]);
}

#[test]
fn a_raising_trigger_does_not_stop_lookups() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 1);
    raise(&site, "NEW.guestly_sync_status IS NOT NULL");
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "drop_after_accept"}}));
    site.sql("ALTER TABLE bookings DISABLE TRIGGER closed");
    host::pay(&site, &ids);
    site.sql("ALTER TABLE bookings ENABLE TRIGGER closed");
    site.wait_for_state(&ids[0], "failed", SOON);
    let held = site.sim.reservations_of(&site.code(&ids[0]));
    let kept: String = site.query_one("SELECT reservation_id FROM guestly.reservations");
    assert_eq!((held.len(), &held[0]["reservationId"]), (1, &json!(kept)), "found, though no row could record it");
    site.sql("DROP TRIGGER closed ON bookings");
    site.query_one::<i64>("SELECT guestly_retry_failed()");
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.calls("create"), 1);
    site.assert_once_each(&ids);
}

#[test]
fn a_locked_booking_is_written_after_its_release() {
    let site = held_site();
    let ids = site.paid_bookings(4);
    site.sim.wait_for_calls("create", 4, SOON);
    let mut session = site.client();
    let lock = format!("BEGIN; SELECT FROM bookings WHERE id = '{}' FOR UPDATE", ids[1]);
    session.batch_execute(&lock).unwrap();
    answer(&site, 4);
    let others: Vec<String> = ids.iter().filter(|id| **id != ids[1]).cloned().collect();
    site.wait_for_status(&others, "synced");
    assert_eq!(site.query_one::<String>("SELECT state FROM guestly.queue"), "sending", "the outcome waits in memory");
    session.batch_execute("COMMIT").unwrap();
    site.wait_all_synced(SOON);
    assert_eq!((site.sim.calls("create"), site.sim.calls("search")), (4, 0));
    site.assert_once_each(&ids);
}

#[test]
fn an_outcome_waiting_for_a_lock_survives_a_killed_worker() {
    let site = held_site();
    let id = site.paid_booking();
    site.sim.wait_for_calls("create", 1, SOON);
    let mut session = site.client();
    session.batch_execute(&format!("BEGIN; SELECT FROM bookings WHERE id = '{id}' FOR UPDATE")).unwrap();
    answer(&site, 1);
    site.worker_looked_again();
    // This also ends the session that holds the lock.
    site.kill_worker(&site, "KILL");
    site.wait_all_synced(SOON);
    assert_eq!(site.log_of(&id).last().map(String::as_str), Some("look_up:adopted"));
    assert_eq!(site.sim.calls("create"), 1);
    site.assert_once_each(&[id]);
}

#[test]
fn long_table_locks_only_delay() {
    for table in ["bookings", "guestly.queue", "guestly.reservations", "guestly.attempts"] {
        let site = held_site();
        // Four are in flight, two wait.
        let ids = site.paid_bookings(6);
        site.sim.wait_for_calls("create", 4, SOON);
        let mut session = site.client();
        session.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).unwrap();
        answer(&site, 4);
        site.worker_waited_in_vain();
        session.batch_execute("COMMIT").unwrap();
        site.wait_all_synced(SOON);
        assert_eq!((site.sim.calls("create"), site.sim.calls("search")), (6, 0), "{table}");
        assert!(site.worker_pid(&site).is_some(), "{table}");
        site.assert_once_each(&ids);
    }
}

#[test]
fn reversed_lock_order_does_not_block_the_session() {
    let site = held_site();
    let id = site.paid_booking();
    site.sim.wait_for_calls("create", 1, SOON);
    let mut session = site.client();
    // Its deadlock check runs after a minute, so it is never the victim.
    session.batch_execute("SET deadlock_timeout = '60s'; SET lock_timeout = '30s'").unwrap();
    session.batch_execute("BEGIN; SELECT FROM guestly.queue FOR UPDATE").unwrap();
    answer(&site, 1);
    // The worker repeatedly locks the booking and waits for the queue row; this session waits for the booking.
    site.worker_looked_again();
    session.batch_execute(&format!("UPDATE bookings SET special_requests = 'quiet' WHERE id = '{id}'")).unwrap();
    site.worker_looked_again();
    assert_eq!(site.booking(&id).status, "pending");
    session.batch_execute("COMMIT").unwrap();
    site.wait_all_synced(SOON);
    assert_eq!(site.row(&id)["special_requests"], "quiet");
    assert_eq!((site.sim.calls("create"), site.sim.calls("search")), (1, 0));
    assert!(!site.log().contains("deadlock detected"));
    site.assert_once_each(&[id]);
}

#[test]
fn a_queue_row_edited_during_its_call_creates_once() {
    for change in [
        "UPDATE guestly.queue SET state = 'ready'",
        "UPDATE guestly.queue SET state = 'waiting', due_at = now()",
        "UPDATE guestly.queue SET state = 'failed', error_class = 'internal'",
        "DELETE FROM guestly.queue",
        "DELETE FROM guestly.queue; SELECT guestly_sync(id) FROM bookings",
    ] {
        let site = held_site();
        let id = site.paid_booking();
        site.sim.wait_for_calls("create", 1, SOON);
        site.sql(change);
        site.sim.release();
        site.wait_all_synced(SOON);
        assert_eq!(site.sim.calls("create"), 1, "{change}");
        site.assert_once_each(&[id]);
    }
}

#[test]
fn a_queue_row_edited_during_a_lost_call_is_looked_up() {
    let site = held_site();
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "drop_after_accept"}}));
    let id = site.paid_booking();
    site.sim.wait_for_calls("create", 1, SOON);
    site.sql("UPDATE guestly.queue SET state = 'ready'");
    site.sim.release();
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.calls("create"), 1);
    site.assert_once_each(&[id]);
}
