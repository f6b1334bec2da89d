//! Bookings that were paid before the installation: listed, looked up, then created by arrival date, with progress that can
//! be watched and paused.

use guestly_scenarios::{Options, SOON, Site, host};
use serde_json::{Value, json};

/// A site with bookings that were paid before the extension was installed.
fn old_site(how_many: u32, more: impl FnOnce(Options) -> Options) -> (Site, Vec<String>) {
    let site = Site::bare_with(more);
    let ids = site.paid_bookings(how_many);
    install(&site);
    (site, ids)
}

fn install(site: &Site) {
    host::create_extension(site);
    host::map_listings(site);
    host::without_notes(site);
}

/// The result of `guestly_backfill`: the number of bookings for each action.
fn backfill(site: &Site, arguments: &str) -> Value {
    site.query_one(&format!(
        "SELECT coalesce(jsonb_object_agg(a.action, a.times), '{{}}') FROM \
         (SELECT f.action, count(*) AS times FROM guestly_backfill({arguments}) f GROUP BY f.action) a"
    ))
}

/// The waiting and the total number of bookings of the backfill.
fn progress(site: &Site) -> (i64, i64) {
    let row = &site.query("SELECT backfill_left, backfill_total FROM guestly.status", &[])[0];
    (row.get(0), row.get(1))
}

/// Guestly already has this booking, with its code and its id as the origin.
fn made_earlier(site: &Site, id: &str) {
    let row = site.row(id);
    let listing = host::LISTINGS.iter().find(|(slug, _)| row["slug"] == *slug).unwrap().1;
    let guests = row["adults"].as_u64().unwrap() + row["children"].as_u64().unwrap();
    let reservation = json!({
        "confirmationCode": row["booking_reference"], "origin": "guestly_sync", "originId": id, "listingId": listing,
        "checkInDateLocalized": row["check_in_date"], "checkOutDateLocalized": row["check_out_date"], "guestsCount": guests,
    });
    site.sim.post("foreign-reservation", &reservation);
}

#[test]
fn a_backfill_creates_only_missing_reservations() {
    let (site, ids) = old_site(200, |options| options.setting("guestly_sync.concurrency", "8"));
    let (there, missing): (Vec<_>, Vec<_>) = ids.iter().enumerate().partition(|(place, _)| place % 10 == 3);
    there.iter().for_each(|(_, id)| made_earlier(&site, id));
    site.sql(&format!("UPDATE bookings SET created_at = '2020-01-01' WHERE id = '{}'", ids[7]));
    assert_eq!(backfill(&site, ""), json!({"would be queued": 200}));
    assert_eq!(backfill(&site, "since => '2021-01-01'"), json!({"would be queued": 199}));
    assert_eq!((site.sim.call_log(None).len(), progress(&site)), (0, (0, 0)), "a list sends and queues nothing");
    assert_eq!(backfill(&site, "dry_run => false"), json!({"queued": 200}));
    site.wait_all_synced(SOON * 2);
    site.assert_once_each(&ids);
    assert_eq!(progress(&site), (0, 200));
    for (_, id) in &there {
        assert_eq!(site.log_of(id), ["look_up:adopted"]);
    }
    for (_, id) in &missing {
        assert_eq!(site.operations_of(&site.code(id)), ["search", "create"], "booking {id}");
    }
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.reservations WHERE adopted"), 20);
    assert_eq!(["create", "search", "get", "update"].map(|operation| site.sim.calls(operation)), [180, 200, 0, 0]);
    assert_eq!(backfill(&site, "dry_run => false"), json!({}), "nothing is left to do");
    assert_eq!(progress(&site), (0, 200), "a backfill that queues nothing leaves the last one's progress");
}

#[test]
fn a_backfill_sends_earlier_arrivals_first() {
    let (site, ids) = old_site(24, |options| options.setting("guestly_sync.concurrency", "1"));
    // The sample's bookings arrive in order of their numbers; here the last one does first.
    site.sql("UPDATE bookings SET check_in_date = current_date + 400 - 3 * substring(booking_reference FROM '\\d+')::integer");
    site.sql("UPDATE bookings SET check_out_date = check_in_date + 2");
    site.sql("SELECT guestly_pause()");
    let listed: Vec<String> = site.query_all("SELECT booking_id FROM guestly_backfill(dry_run => false)");
    let wanted: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(listed, wanted, "the list is in order of arrival too");
    let sale = host::make_bookings(&site, 1).remove(0);
    site.sql(&format!(
        "UPDATE bookings SET check_in_date = current_date + 1, check_out_date = current_date + 2 WHERE id = '{sale}'"
    ));
    host::pay(&site, std::slice::from_ref(&sale));
    site.sql("SELECT guestly_resume()");
    site.wait_all_synced(SOON);
    let mut creates = site.sim.call_log(Some("create"));
    creates.sort_by_key(|row| row["seq"].as_u64());
    let sent: Vec<&str> = creates.iter().filter_map(|row| row["confirmationCode"].as_str()).collect();
    let wanted: Vec<String> = [sale].iter().chain(&wanted).map(|id| site.code(id)).collect();
    assert_eq!(sent, wanted);
    site.sim.assert_no_violation();
}

#[test]
fn a_paused_backfill_survives_a_restart() {
    let (site, ids) = old_site(60, |options| options.setting("guestly_sync.poll_interval", "200ms"));
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "latency", "ms": 60}}));
    assert_eq!(backfill(&site, "dry_run => false"), json!({"queued": 60}));
    let some = "SELECT backfill_left < backfill_total, backfill_left::text FROM guestly.status";
    site.wait_for("some bookings to be done", SOON, some);
    site.sql("SELECT guestly_pause('enough for today')");
    site.wait_for("calls to end", SOON, "SELECT sending = 0, sending::text FROM guestly.status");
    let (left, calls) = (progress(&site), site.sim.call_log(None).len());
    assert!(left.0 > 0 && left.1 == 60, "{left:?}");
    site.restart();
    site.wait_for_worker(&site);
    // The worker runs, as the sweep shows, and sends nothing.
    site.sql("ALTER TABLE bookings DISABLE TRIGGER ALL");
    let missed = site.paid_booking();
    site.sql("ALTER TABLE bookings ENABLE TRIGGER ALL");
    site.wait_for_state(&missed, "ready", SOON);
    assert_eq!((progress(&site), site.sim.call_log(None).len()), (left, calls));
    assert_eq!(backfill(&site, ""), json!({"already queued": left.0 + 1}));
    site.sql("SELECT guestly_resume()");
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    assert_eq!(progress(&site), (0, 60));
}

#[test]
fn test_mode_reservations_count_as_missing() {
    let site = Site::open_with(|options| options.setting("guestly_sync.test_mode", "on"));
    let ids = site.paid_bookings(3);
    site.wait_all_synced(SOON);
    assert!(ids.iter().all(|id| site.booking(id).reservation.unwrap().starts_with("test-")));
    site.alter_system("guestly_sync.test_mode", "off");
    site.wait_for("the end of test mode", SOON, "SELECT NOT test_mode, '' FROM guestly.status");
    assert_eq!(backfill(&site, "dry_run => false"), json!({"queued": 3}));
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    assert_eq!((progress(&site), site.sim.calls("create")), ((0, 3), 3));
}

#[test]
fn a_backfill_leaves_out_past_stays() {
    let (site, ids) = old_site(3, |options| options);
    let stay = |id: &str, from: &str, to: &str| {
        site.sql(&format!("UPDATE bookings SET check_in_date = current_date {from}, check_out_date = current_date {to} WHERE id = '{id}'"));
    };
    stay(&ids[0], "- 9", "- 2");
    stay(&ids[1], "- 1", "+ 3");
    assert_eq!(backfill(&site, ""), json!({"skipped: the stay is over": 1, "would be queued": 2}));
    assert_eq!(backfill(&site, "dry_run => false"), json!({"skipped: the stay is over": 1, "queued": 2}));
    site.wait_for_status(&ids[1..], "synced");
    site.wait_drained();
    assert_eq!((progress(&site), site.sim.calls("create"), site.log_of(&ids[0])), ((0, 2), 2, vec![]));
}

#[test]
fn backfill_progress_counts_retries_again() {
    let (site, ids) = old_site(4, |options| options);
    site.sql(&format!("UPDATE bookings SET adults = 0 WHERE id = '{}'", ids[2]));
    backfill(&site, "dry_run => false");
    let error = site.wait_failed(&ids[2]);
    assert!(error.starts_with("invalid_booking: "), "{error}");
    site.wait_for("the rest", SOON, "SELECT backfill_left = 0, backfill_left::text FROM guestly.status");
    assert_eq!(progress(&site), (0, 4));
    site.sql("SELECT guestly_pause()");
    assert_eq!(site.query_one::<i64>("SELECT guestly_retry_failed()"), 1);
    assert_eq!(progress(&site), (1, 4));
    site.sql(&format!("UPDATE bookings SET adults = 1 WHERE id = '{}'", ids[2]));
    site.sql("SELECT guestly_resume()");
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
}

#[test]
fn a_long_backfill_is_stale_only_for_early_arrivals() {
    let (site, ids) = old_site(2, |options| {
        options.setting("guestly_sync.poll_interval", "200ms").setting("guestly_sync.stale_after", "300ms")
    });
    site.sql(&format!(
        "UPDATE bookings SET check_in_date = current_date + 1, check_out_date = current_date + 3 WHERE id = '{}'",
        ids[1]
    ));
    site.sql("SELECT guestly_pause()");
    backfill(&site, "dry_run => false");
    // Both are looked at by one statement.
    site.wait_for("the alert", SOON, "SELECT count(*) > 0, count(*)::text FROM guestly.alerts WHERE kind = 'stale'");
    let reported: Vec<String> = site.query_all("SELECT booking_id FROM guestly.alerts WHERE kind = 'stale'");
    assert_eq!(reported, ids[1..]);
    let doctor: String = site.query_one("SELECT detail FROM guestly_doctor() WHERE check_name = 'stale bookings'");
    assert!(doctor.starts_with("1 waiting"), "{doctor}");
}
