//! Locked rows of the extension and orphaned claims: none of them stops another booking.

use guestly_scenarios::{SOON, Site, host, wait_until};

fn site() -> Site {
    Site::open_with(|options| options.setting("guestly_sync.poll_interval", "500ms"))
}

/// Ends the worker and waits for the next one.
fn next_worker(site: &Site) {
    let ended = site.kill_worker(site, "TERM");
    wait_until("another worker", SOON, || {
        let next = site.worker_pid(site);
        (next.is_some_and(|next| next != ended), format!("{next:?}"))
    });
}

#[test]
fn a_locked_orphaned_claim_stops_no_other_booking() {
    let site = site();
    site.sim.hold("create", "after");
    let id = site.paid_booking();
    site.sim.wait_for_calls("create", 1, SOON);
    let mut holder = site.client();
    holder.batch_execute("BEGIN; SELECT FROM guestly.queue FOR UPDATE").unwrap();
    next_worker(&site);
    site.sim.release();
    let other = site.paid_booking();
    site.wait_synced(&other);
    assert_eq!(site.query_one::<String>("SELECT state FROM guestly.queue"), "sending", "its call is in flight");
    holder.batch_execute("COMMIT").unwrap();
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.calls("create"), 2);
    site.assert_once_each(&[id, other]);
}

#[test]
fn locked_bookings_at_the_queue_head_stop_none_behind() {
    let site = Site::open();
    site.sql("SELECT guestly_pause()");
    let ids = host::make_bookings(&site, 12);
    // Outcomes without a call are written at once, which the lock prevents.
    let list = ids[..8].join("','");
    site.sql(&format!("UPDATE bookings SET guest_email = 'unknown' WHERE id IN ('{list}')"));
    host::pay(&site, &ids);
    site.sql(&format!("UPDATE guestly.queue SET arrival = current_date WHERE booking_id IN ('{list}')"));
    let mut holder = site.client();
    holder.batch_execute(&format!("BEGIN; SELECT FROM bookings WHERE id IN ('{list}') FOR UPDATE")).unwrap();
    site.sql("SELECT guestly_resume()");
    site.wait_for_status(&ids[8..], "synced");
    assert_eq!(
        site.query_one::<i64>("SELECT count(*) FROM guestly.queue WHERE state = 'ready'"),
        8,
        "they are in flight"
    );
    holder.batch_execute("COMMIT").unwrap();
    site.wait_for_status(&ids[..8], "failed");
}

#[test]
fn new_bookings_go_before_changes() {
    let site = Site::open_with(|options| options.setting("guestly_sync.concurrency", "1"));
    let ids = site.paid_bookings(3);
    site.wait_all_synced(SOON);
    site.sql("SELECT guestly_pause()");
    // Old enough to be treated as orphaned.
    site.sql("UPDATE guestly.reservations SET changed_at = NULL");
    site.sql(
        "UPDATE bookings SET adults = 4, children = 0, check_in_date = '2001-01-01', check_out_date = '2001-01-05'",
    );
    let sale = site.paid_booking();
    site.sql("SELECT guestly_resume()");
    site.wait_synced(&sale);
    let order =
        "SELECT operation FROM guestly.attempts WHERE booking_id IS NOT NULL ORDER BY started_at OFFSET 3 LIMIT 1";
    assert_eq!(
        site.query_one::<String>(order),
        "create",
        "{:?}",
        ids.iter().map(|id| site.log_of(id)).collect::<Vec<_>>()
    );
}

#[test]
fn an_unqueueable_change_stops_no_new_booking() {
    let site = site();
    let id = site.paid_booking();
    site.wait_all_synced(SOON);
    site.alter_system("guestly_sync.enabled", "off");
    site.sql(&format!("UPDATE bookings SET adults = 4, children = 0 WHERE id = '{id}'"));
    let mut holder = site.client();
    holder.batch_execute("BEGIN; SELECT FROM guestly.changes FOR UPDATE").unwrap();
    site.alter_system("guestly_sync.enabled", "on");
    let other = site.paid_booking();
    site.wait_synced(&other);
    holder.batch_execute("COMMIT").unwrap();
    site.wait_for(
        "the change",
        SOON,
        "SELECT count(*) = 1, count(*)::text FROM guestly.attempts WHERE operation = 'guests' AND outcome = 'changed'",
    );
    site.alter_system("guestly_sync.enabled", "off");
    site.sql(&format!("UPDATE bookings SET adults = 3 WHERE id = '{id}'"));
    site.sql("ALTER TABLE guestly.changes RENAME COLUMN arrival TO away");
    site.alter_system("guestly_sync.enabled", "on");
    let third = host::make_bookings(&site, 1);
    host::pay(&site, &third);
    site.wait_for_status(&third, "synced");
    assert!(site.log().contains("cannot queue changed bookings"), "{}", site.log());
}
