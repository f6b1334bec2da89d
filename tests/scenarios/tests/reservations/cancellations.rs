//! Cancelled, refunded, deleted and rebooked bookings.

use guestly_scenarios::{SOON, Site, host};
use serde_json::{Value, json};

fn status_of(site: &Site, id: &str) -> Value {
    site.only_reservation(id)["status"].clone()
}

#[test]
fn a_cancellation_names_its_source() {
    let site = Site::open();
    let id = site.synced_booking();
    site.update(&id, "status = 'cancelled', payment_status = 'refunded', cancelled_at = now()");
    site.wait_at_rest();
    let held = site.only_reservation(&id);
    assert_eq!(held["status"], "canceled");
    assert_eq!(held["cancellation"]["canceledBy"], "GUEST");
    assert!(!held["cancellation"]["cancellationReason"].as_str().unwrap().is_empty(), "{held}");
    assert!(held["cancellation"]["cancellationNote"].as_str().unwrap().contains(&site.code(&id)), "{held}");
    assert_eq!(site.log_of(&id), ["create:created", "status:changed", "read_back:confirmed"]);
    assert!(site.sim.violations().is_empty(), "{:?}", site.sim.violations());
}

#[test]
fn a_refund_cancels_only_an_unconfirmed_booking() {
    let site = Site::open();
    let ids = site.paid_bookings(2);
    site.wait_all_synced(SOON);
    site.update(&ids[0], "payment_status = 'refunded'");
    site.update(&ids[1], "payment_status = 'refunded', status = 'pending'");
    site.wait_at_rest();
    assert_eq!((status_of(&site, &ids[0]), status_of(&site, &ids[1])), (json!("confirmed"), json!("canceled")));
}

#[test]
fn a_reserved_hold_is_closed() {
    let site = Site::open();
    site.sql("UPDATE guestly.status_map SET guestly_status = 'reserved' WHERE booking_status = 'confirmed'");
    let id = site.synced_booking();
    site.update(&id, "status = 'cancelled'");
    site.wait_at_rest();
    assert_eq!(status_of(&site, &id), "closed");
}

#[test]
fn a_booking_cancelled_before_sending_is_not_created() {
    let site = Site::open();
    site.sql("SELECT guestly_pause()");
    let id = site.paid_booking();
    site.update(&id, "status = 'cancelled'");
    site.sql("SELECT guestly_resume()");
    site.wait_at_rest();
    assert_eq!((site.sim.calls("create"), site.booking(&id).status.as_str()), (0, "pending"));
    site.update(&id, "status = 'confirmed'");
    site.wait_all_synced(SOON);
    site.assert_once_each(&[id]);
}

#[test]
fn a_refunded_booking_is_created_only_if_confirmed() {
    let site = Site::open();
    site.sql("SELECT guestly_pause()");
    let ids = site.paid_bookings(2);
    site.update(&ids[0], "payment_status = 'refunded', status = 'pending'");
    site.update(&ids[1], "payment_status = 'refunded'");
    site.sql("SELECT guestly_resume()");
    site.wait_at_rest();
    assert_eq!(site.log_of(&ids[0]), ["plan:withdrawn"]);
    assert_eq!((status_of(&site, &ids[1]), site.sim.calls("create")), (json!("confirmed"), 1));
}

#[test]
fn a_booking_cancelled_after_a_lost_create_is_not_created() {
    let site = Site::open();
    site.sim.fault(
        json!({"match": {"operation": "create", "count": 1}, "effect": {"kind": "drop_before_accept", "how": "rst"}}),
    );
    let id = site.paid_booking();
    site.wait_for("the uncertain outcome", SOON, "SELECT state = 'unknown', state FROM guestly.queue");
    site.update(&id, "status = 'cancelled'");
    site.wait_at_rest();
    assert_eq!((site.sim.state().len(), site.sim.calls("create")), (0, 1));
    let log = site.log_of(&id);
    assert_eq!(log.last().map(String::as_str), Some("plan:withdrawn"), "{log:?}");
    assert!(log.contains(&"look_up:not_found".to_owned()), "{log:?}");
    assert_eq!(site.booking(&id).status, "pending");
}

#[test]
fn an_uncertain_create_is_looked_up_before_cancelling() {
    let site = Site::open();
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "drop_after_accept", "how": "rst"}}));
    let id = site.paid_booking();
    site.wait_for("the uncertain outcome", SOON, "SELECT state = 'unknown', state FROM guestly.queue");
    site.update(&id, "status = 'cancelled'");
    site.wait_at_rest();
    assert_eq!(status_of(&site, &id), "canceled");
    assert_eq!(site.sim.calls("create"), 1);
    let log = site.log_of(&id);
    assert_eq!(log[log.len() - 3..], ["look_up:adopted", "status:changed", "read_back:confirmed"], "{log:?}");
    site.sim.assert_no_violation();
}

#[test]
fn a_cancellation_during_a_change_is_the_next_call() {
    let site = Site::open();
    let id = site.synced_booking();
    site.sim.fault(json!({"match": {"operation": "update", "count": 1}, "effect": {"kind": "latency", "ms": 500}}));
    site.update(
        &id,
        "adults = 4, children = 0, check_out_date = check_out_date + 200, check_in_date = check_in_date + 199",
    );
    site.wait_for("the change to be in flight", SOON, "SELECT state = 'sending', state FROM guestly.queue");
    site.update(&id, "status = 'cancelled', adults = 3");
    site.wait_at_rest();
    assert_eq!(status_of(&site, &id), "canceled");
    assert_eq!(site.log_of(&id), ["create:created", "dates:changed", "status:changed", "read_back:confirmed"]);
}

#[test]
fn a_rebooked_booking_gets_one_new_reservation() {
    let site = Site::open();
    let id = site.synced_booking();
    let code = site.code(&id);
    for (life, fault) in [(2, false), (3, true)] {
        site.update(&id, "status = 'cancelled'");
        site.wait_at_rest();
        if fault {
            let lost = json!({"match": {"operation": "create", "count": 1}, "effect": {"kind": "drop_after_accept"}});
            site.sim.fault(lost);
        }
        site.update(&id, "status = 'confirmed'");
        site.wait_at_rest();
        let held = site.sim.reservations_of(&format!("{code}-{life}"));
        assert_eq!(held.len(), 1, "{held:?}");
        assert_eq!((&held[0]["status"], &held[0]["originId"]), (&json!("confirmed"), &json!(id)));
        assert_eq!(site.booking(&id).reservation.as_deref(), held[0]["reservationId"].as_str());
    }
    let active =
        site.sim.state().iter().filter(|row| row["originId"] == id.as_str() && row["status"] == "confirmed").count();
    assert_eq!(active, 1);
    site.sim.assert_no_violation();
}

#[test]
fn a_lost_cancellation_is_recognised_after_rebooking() {
    for kill in [false, true] {
        let site = Site::open();
        let id = site.synced_booking();
        if kill {
            site.sim.hold("update", "after");
        } else {
            let lost = json!({"match": {"operation": "update", "count": 1}, "effect": {"kind": "drop_after_accept"}});
            site.sim.fault(lost);
        }
        site.update(&id, "status = 'cancelled'");
        if kill {
            site.sim.wait_for_calls("update", 1, SOON);
            site.wait_for("the cancellation", SOON, "SELECT state = 'sending', state FROM guestly.queue");
            site.kill_worker(&site, "KILL");
            site.sim.release();
        }
        site.wait_for("the uncertain outcome", SOON, "SELECT state = 'unknown', state FROM guestly.queue");
        site.update(&id, "status = 'confirmed'");
        site.wait_at_rest();
        let held = |status: &str| {
            site.sim.state().iter().filter(|row| row["originId"] == id.as_str() && row["status"] == status).count()
        };
        assert_eq!((held("canceled"), held("confirmed")), (1, 1), "killed: {kill}; {:?}", site.log_of(&id));
        assert_eq!(site.booking(&id).status, "synced");
        site.sim.assert_no_violation();
    }
}

#[test]
fn a_deleted_booking_is_cancelled_only_if_configured() {
    let site = Site::open();
    let ids = site.paid_bookings(2);
    site.wait_all_synced(SOON);
    let codes: Vec<String> = ids.iter().map(|id| site.code(id)).collect();
    let status = |code: &str| site.sim.reservations_of(code)[0]["status"].clone();
    site.sql(&format!("DELETE FROM bookings WHERE id = '{}'", ids[0]));
    site.wait_for("the alert", SOON, "SELECT count(*) = 1, count(*)::text FROM guestly.alerts WHERE kind = 'deleted'");
    site.wait_at_rest();
    let said: String = site.query_one(
        "SELECT coalesce(reference, '') || ' ' || cause || ' ' || sentence FROM guestly.alerts WHERE kind = 'deleted'",
    );
    assert!(said.contains("was deleted, and Guestly has reservation") && said.contains(&codes[0]), "{said}");
    assert!(!said.contains("unknown"), "nothing of it is unknown: {said}");
    assert_eq!((status(&codes[0]), site.sim.calls("update")), (json!("confirmed"), 0));
    site.alter_system("guestly_sync.cancel_on_delete", "on");
    site.sql(&format!("DELETE FROM bookings WHERE id = '{}'", ids[1]));
    site.wait_for(
        "the cancellation",
        SOON,
        "SELECT count(*) = 1, count(*)::text FROM guestly.attempts WHERE operation = 'read_back' AND outcome = 'confirmed'",
    );
    assert_eq!((status(&codes[1]), status(&codes[0])), (json!("canceled"), json!("confirmed")));
    site.sim.assert_no_violation();
}

#[test]
fn a_rebooked_booking_deleted_while_uncertain_alerts() {
    for cancelled in ["off", "on"] {
        let site = Site::open_with(|options| options.setting("guestly_sync.cancel_on_delete", cancelled));
        let id = site.synced_booking();
        let code = site.code(&id);
        site.update(&id, "status = 'cancelled'");
        site.wait_at_rest();
        site.sim.fault(json!([
            {"match": {"operation": "create"}, "effect": {"kind": "drop_after_accept"}},
            {"match": {"operation": "search"}, "effect": {"kind": "drop_before_accept"}},
        ]));
        site.update(&id, "status = 'confirmed'");
        site.wait_for_state(&id, "unknown", SOON);
        site.sql("DELETE FROM bookings");
        site.wait_at_rest();
        let reported: Vec<String> = site
            .query_all("SELECT coalesce(reference, '') || ': ' || sentence FROM guestly.alerts WHERE kind = 'deleted'");
        let words = "the booking was deleted while its outcome at Guestly was unknown";
        assert_eq!(reported, [format!("{code}-2: {words}")], "cancel_on_delete {cancelled}");
    }
}

#[test]
fn a_restored_uncertain_cancellation_is_read_back() {
    let site = Site::open();
    let id = site.synced_booking();
    site.sim.fault(json!({"match": {"operation": "get"}, "effect": {"kind": "drop_before_accept"}}));
    site.update(&id, "status = 'cancelled'");
    site.wait_for("the cancellation", SOON, "SELECT status = 'canceled', status FROM guestly.reservations");
    site.sql("UPDATE guestly.installations SET system_identifier = 'another'; SELECT guestly_arm()");
    site.sim.clear_faults();
    site.wait_at_rest();
    assert_eq!(site.log_of(&id).last().map(String::as_str), Some("read_back:confirmed"));
    assert_eq!(site.sim.calls("search"), 0);
}

#[test]
fn reservations_of_unpaid_bookings_are_known_at_attach() {
    let site = Site::bare_with(|options| options);
    host::add_sync_columns(&site);
    let id = host::make_bookings(&site, 1).remove(0);
    site.sql(&format!(
        "UPDATE bookings SET payment_status = 'processing', guestly_reservation_id = 'r-1' WHERE id = '{id}'"
    ));
    host::create_extension(&site);
    host::map_listings(&site);
    site.alter_system("guestly_sync.enabled", "off");
    host::pay(&site, std::slice::from_ref(&id));
    let known: Vec<String> = site.query_all("SELECT reservation_id FROM guestly.reservations");
    assert_eq!((known, site.query_one::<i64>("SELECT count(*) FROM guestly.queue")), (vec!["r-1".to_owned()], 0));
}

#[test]
fn a_waiting_cancellation_survives_reinstallation() {
    let site = Site::open();
    let id = site.synced_booking();
    site.sql("SELECT guestly_pause()");
    site.update(&id, "status = 'cancelled'");
    site.sql("DROP EXTENSION guestly_sync; CREATE EXTENSION guestly_sync");
    host::map_listings(&site);
    site.wait_for(
        "the cancellation",
        SOON,
        "SELECT count(*) = 1, count(*)::text FROM guestly.attempts WHERE operation = 'status'",
    );
    site.wait_at_rest();
    assert_eq!(status_of(&site, &id), "canceled");
    assert_eq!(site.sim.calls("create"), 1);
}
