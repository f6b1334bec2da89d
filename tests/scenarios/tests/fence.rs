//! Outcomes that cannot be written, and rows that change under a call: triggers of the host that raise, locks of other
//! sessions, hands in the queue. What Guestly did is never lost and never done twice. Against a real server and the
//! simulator.

use guestly_scenarios::{SOON, Site, host, wait_until};
use postgres::Client;
use serde_json::json;
use std::time::Duration;

/// How long somebody holds a lock in these tests: longer than the worker waits for one.
const HELD: Duration = Duration::from_millis(1500);

/// A trigger of the host that raises when the worker writes `condition`.
fn raise(site: &Site, condition: &str) {
    site.sql(&format!(
        "CREATE FUNCTION closed_on_sundays() RETURNS trigger LANGUAGE plpgsql AS $$ \
         BEGIN RAISE EXCEPTION 'the books are closed on Sundays'; END $$; \
         CREATE TRIGGER closed BEFORE UPDATE ON bookings FOR EACH ROW WHEN ({condition}) \
         EXECUTE FUNCTION closed_on_sundays()"
    ));
}

/// Slow creates, so that something can happen during one.
fn slow_site() -> Site {
    let site = Site::open();
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "latency", "ms": 600}}));
    site
}

/// Holds what `statement` locks for a while, then lets go.
fn hold(mut session: Client, statement: &str) {
    session
        .batch_execute(&format!("BEGIN; {statement}; SELECT pg_sleep({}); COMMIT", HELD.as_secs_f64()))
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_trigger_that_raises_for_ever_parks_its_booking_keeps_the_reservation_and_spares_the_others() {
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
    assert_eq!((site.sim.calls("create"), site.sim.calls("search")), (6, 0), "what is known needs no call");
    site.assert_once_each(&ids);
}

#[test]
fn a_trigger_that_raises_during_doubt_does_not_stop_the_look_ups() {
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
    assert_eq!((held.len(), &held[0]["reservationId"]), (1, &json!(kept)), "found, though no row could say so");
    site.sql("DROP TRIGGER closed ON bookings");
    site.query_one::<i64>("SELECT guestly_retry_failed()");
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.calls("create"), 1);
    site.assert_once_each(&ids);
}

#[test]
fn a_booking_locked_by_a_sale_is_written_when_it_is_released_and_holds_up_no_other() {
    let site = slow_site();
    let ids = site.paid_bookings(4);
    site.sim.wait_for_calls("create", 4, SOON);
    let mut session = site.client();
    let lock = format!("BEGIN; SELECT FROM bookings WHERE id = '{}' FOR UPDATE", ids[1]);
    session.batch_execute(&lock).unwrap();
    let others: Vec<String> = ids.iter().filter(|id| **id != ids[1]).cloned().collect();
    site.wait_for_status(&others, "synced");
    assert_eq!(site.query_one::<String>("SELECT state FROM guestly.queue"), "sending", "the outcome waits in memory");
    session.batch_execute("COMMIT").unwrap();
    site.wait_all_synced(SOON);
    assert_eq!((site.sim.calls("create"), site.sim.calls("search")), (4, 0));
    site.assert_once_each(&ids);
}

#[test]
fn a_worker_killed_while_an_outcome_waits_for_a_lock_finds_it_again() {
    let site = slow_site();
    let id = site.paid_booking();
    site.sim.wait_for_calls("create", 1, SOON);
    let mut session = site.client();
    session.batch_execute(&format!("BEGIN; SELECT FROM bookings WHERE id = '{id}' FOR UPDATE")).unwrap();
    wait_until("the answer", SOON, || (!site.sim.ledger(Some("create")).is_empty(), String::new()));
    // Takes the session with the lock along.
    site.kill_worker(&site, "KILL");
    site.wait_all_synced(SOON);
    assert_eq!(site.log_of(&id).last().map(String::as_str), Some("look_up:adopted"));
    assert_eq!(site.sim.calls("create"), 1);
    site.assert_once_each(&[id]);
}

#[test]
fn locks_on_whole_tables_longer_than_the_worker_waits_only_delay() {
    for table in ["bookings", "guestly.queue", "guestly.reservations", "guestly.attempts"] {
        let site = slow_site();
        let ids = host::make_bookings(&site, 6);
        host::pay(&site, &ids[..3]);
        site.sim.wait_for_calls("create", 3, SOON);
        hold(site.client(), &format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
        host::pay(&site, &ids[3..]);
        hold(site.client(), &format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
        site.wait_all_synced(SOON);
        assert_eq!((site.sim.calls("create"), site.sim.calls("search")), (6, 0), "{table}");
        assert!(site.worker_pid(&site).is_some(), "{table}");
        site.assert_once_each(&ids);
    }
}

#[test]
fn a_queue_row_changed_by_hand_during_its_call_ends_in_one_reservation() {
    for change in [
        "UPDATE guestly.queue SET state = 'ready'",
        "UPDATE guestly.queue SET state = 'waiting', due_at = now()",
        "UPDATE guestly.queue SET state = 'failed', error_class = 'internal'",
        "DELETE FROM guestly.queue",
        "DELETE FROM guestly.queue; SELECT guestly_sync(id) FROM bookings",
    ] {
        let site = slow_site();
        let id = site.paid_booking();
        site.sim.wait_for_calls("create", 1, SOON);
        site.sql(change);
        site.wait_all_synced(SOON);
        assert_eq!(site.sim.calls("create"), 1, "{change}");
        site.assert_once_each(&[id]);
    }
}

#[test]
fn a_queue_row_changed_by_hand_during_a_call_whose_answer_is_lost_is_looked_up_all_the_same() {
    let site = slow_site();
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "drop_after_accept"}}));
    let id = site.paid_booking();
    site.sim.wait_for_calls("create", 1, SOON);
    site.sql("UPDATE guestly.queue SET state = 'ready'");
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.calls("create"), 1);
    site.assert_once_each(&[id]);
}
