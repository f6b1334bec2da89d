//! An unknown outcome is remembered: whatever happens to a booking, its row or its log before the next attempt, Guestly is
//! asked before another create.

use guestly_scenarios::{SOON, Site, host, wait_until};
use serde_json::json;

/// One paid booking whose create took effect without an answer, and whose look-ups do not get through.
fn in_doubt() -> (Site, Vec<String>) {
    let site = Site::open();
    site.sim.fault(json!([
        {"match": {"operation": "create", "nth": 1}, "effect": {"kind": "drop_after_accept"}},
        {"match": {"operation": "search"}, "effect": {"kind": "drop_before_accept"}},
    ]));
    let ids = site.paid_bookings(1);
    site.wait_for_state(&ids[0], "unknown", SOON);
    (site, ids)
}

/// It was adopted in the end; the only create is the one that got no answer.
fn assert_adopted(site: &Site, ids: &[String]) {
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.calls("create"), ids.len() as u64, "no create without a lookup");
    site.assert_once_each(ids);
}

#[test]
fn an_uncertain_unmappable_booking_is_looked_up_first() {
    let (site, ids) = in_doubt();
    site.sql("DELETE FROM guestly.listings");
    site.wait_for_state(&ids[0], "failed", SOON);
    // The log is pruned after its retention.
    site.sql("TRUNCATE guestly.attempts");
    host::map_listings(&site);
    site.sim.clear_faults();
    assert_eq!(site.query_one::<i64>("SELECT guestly_retry_failed()"), 1);
    assert_adopted(&site, &ids);
}

#[test]
fn an_uncertain_reinserted_booking_is_looked_up_first() {
    let (site, ids) = in_doubt();
    // Between two lookups: the outcome of one in flight would describe the deletion in other words.
    let delete = "DO $$ BEGIN PERFORM FROM guestly.queue WHERE state <> 'sending' FOR UPDATE; \
                  IF NOT FOUND THEN RAISE 'a lookup is in flight'; END IF; \
                  CREATE TABLE kept AS SELECT * FROM bookings; DELETE FROM bookings; END $$";
    wait_until("no lookup to be in flight", SOON, || {
        let result = site.try_sql(delete);
        (result.is_ok(), format!("{result:?}"))
    });
    site.wait_drained();
    let timeline: String = site.query_one(&format!(
        "SELECT string_agg(detail, '; ') FROM guestly_timeline('{}') WHERE detail LIKE '%deleted%'",
        ids[0]
    ));
    assert!(timeline.contains("the booking was deleted"), "{timeline}");
    let reported: String =
        site.query_one("SELECT kind || ' ' || coalesce(reference, '') || ': ' || sentence FROM guestly.alerts");
    let code = site.query_one::<String>("SELECT booking_reference FROM kept");
    assert_eq!(reported, format!("deleted {code}: the booking was deleted while its outcome at Guestly was unknown"));
    site.sim.clear_faults();
    site.sql("INSERT INTO bookings SELECT * FROM kept");
    assert_adopted(&site, &ids);
}

#[test]
fn an_uncertain_deleted_queue_row_is_looked_up_first() {
    let (site, ids) = in_doubt();
    site.sql("DELETE FROM guestly.queue");
    site.sim.clear_faults();
    assert_adopted(&site, &ids);
}

#[test]
fn guestly_sync_of_a_swept_booking_looks_up_first() {
    let site = Site::open_with(|options| options.setting("guestly_sync.poll_interval", "1s"));
    let ids = site.paid_bookings(1);
    site.wait_all_synced(SOON);
    // The state after a restore from yesterday's backup.
    site.sql("SELECT guestly_pause()");
    site.sql("UPDATE bookings SET guestly_reservation_id = NULL, guestly_sync_status = 'pending'");
    site.sql("TRUNCATE guestly.reservations, guestly.attempts");
    site.wait_for("the sweep", SOON, "SELECT verify_first, state FROM guestly.queue");
    let answer: String = site.query_one(&format!("SELECT guestly_sync('{}')", ids[0]));
    assert_eq!(answer, "queued");
    site.sql("SELECT guestly_resume()");
    assert_adopted(&site, &ids);
}

#[test]
fn a_locked_queue_row_delays_no_sale() {
    let site = Site::open();
    // Both outcomes arrive together, while the first row is locked.
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "latency", "ms": 700}}));
    let ids = site.paid_bookings(2);
    site.sim.wait_for_calls("create", 2, SOON);
    let mut holder = site.client();
    let mut hold = holder.transaction().unwrap();
    hold.execute("SELECT FROM guestly.queue WHERE booking_id = $1 FOR UPDATE", &[&ids[0]]).unwrap();
    let mut sale = site.client();
    sale.batch_execute("SET lock_timeout = '250ms'").unwrap();
    wait_until("the other booking to be synced", SOON, || {
        // Longer than a transaction of the worker takes, shorter than it waits for a lock.
        sale.batch_execute("UPDATE bookings SET updated_at = now()").expect("a sale waits for the lock on a queue row");
        (site.booking(&ids[1]).status == "synced", "waiting".to_owned())
    });
    assert_eq!(site.booking(&ids[0]).status, "pending");
    hold.commit().unwrap();
    assert_adopted(&site, &ids);
}

#[test]
fn a_booking_deleted_during_its_create_raises_an_alert() {
    let site = Site::open();
    site.sim
        .fault(json!({"match": {"operation": "create"}, "effect": {"kind": "latency", "ms": 700, "when": "after"}}));
    let ids = site.paid_bookings(1);
    site.wait_for_state(&ids[0], "sending", SOON);
    site.sql("DELETE FROM bookings");
    site.wait_drained();
    let held = site.sim.state();
    let reported: Vec<String> = site.query_all("SELECT kind || ': ' || sentence FROM guestly.alerts");
    let id = held[0]["reservationId"].as_str().unwrap();
    assert_eq!(reported, [format!("deleted: the booking was deleted, and Guestly has reservation {id}")]);
    assert_eq!(site.query_one::<String>("SELECT reservation_id FROM guestly.reservations"), id);
}
