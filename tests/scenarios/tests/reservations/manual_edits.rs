//! Reservations that people edit, cancel or create in Guestly itself.

use guestly_scenarios::{SOON, Site, host};
use serde_json::json;

/// Edits the booking's reservation in Guestly.
fn edit(site: &Site, id: &str, changes: serde_json::Value) {
    let reservation = site.booking(id).reservation.unwrap();
    site.sim.post(&format!("reservations/{reservation}"), &changes);
}

#[test]
fn manual_moves_stay_until_the_booking_changes() {
    let site = Site::open();
    let id = site.synced_booking();
    edit(&site, &id, json!({"checkOutDateLocalized": "2031-05-14", "checkInDateLocalized": "2031-05-10"}));
    site.update(&id, "guest_phone = '+49 30 555 0100', payment_status = 'processing'");
    site.wait_at_rest();
    assert_eq!(site.only_reservation(&id)["checkInDateLocalized"], "2031-05-10");
    assert_eq!(site.sim.calls("update"), 0);
    site.update(&id, "adults = 4, children = 0");
    site.wait_at_rest();
    let (row, held) = (site.row(&id), site.only_reservation(&id));
    assert_eq!(
        (&held["checkInDateLocalized"], &held["checkOutDateLocalized"]),
        (&row["check_in_date"], &row["check_out_date"])
    );
    let log = site.log_of(&id);
    assert_eq!(
        log[log.len() - 4..],
        ["guests:changed", "read_back:differs", "dates:changed", "read_back:confirmed"],
        "{log:?}"
    );
    site.sim.assert_no_violation();
}

#[test]
fn a_manual_cancellation_is_reported() {
    let site = Site::open();
    let id = site.synced_booking();
    let reservation = site.booking(&id).reservation.unwrap();
    site.sim.post(&format!("reservations/{reservation}"), &json!({"status": "canceled"}));
    site.update(&id, "adults = 4, children = 0");
    let error = site.wait_failed(&id);
    assert!(error.starts_with("refused: "), "{error}");
    assert_eq!(site.sim.calls("create"), 1);
}

#[test]
fn a_foreign_reservation_is_never_changed() {
    let site = Site::bare_with(|options| options);
    host::add_sync_columns(&site);
    let ids = host::make_bookings(&site, 2);
    host::pay(&site, &ids);
    let row = |id: &str| site.row(id);
    for (id, origin) in [(&ids[0], "channel-77"), (&ids[1], ids[1].as_str())] {
        let row = row(id);
        let listing = host::LISTINGS.iter().find(|(slug, _)| row["slug"] == *slug).unwrap().1;
        let answer = site.sim.post(
            "foreign-reservation",
            &json!({"confirmationCode": format!("HM-{}", row["booking_reference"].as_str().unwrap()), "listingId": listing,
                    "originId": origin, "checkInDateLocalized": row["check_in_date"], "checkOutDateLocalized": row["check_out_date"]}),
        );
        let held = answer["reservationId"].as_str().unwrap();
        site.sql(&format!(
            "UPDATE bookings SET guestly_reservation_id = '{held}', guestly_sync_status = 'synced' WHERE id = '{id}'"
        ));
    }
    host::create_extension(&site);
    host::map_listings(&site);
    site.update(&ids[0], "status = 'cancelled'");
    let error = site.wait_failed(&ids[0]);
    assert!(error.contains("was not made for this booking") && error.contains("channel-77"), "{error}");
    assert_eq!(site.sim.calls("update"), 0);
    // Not even with `cancel_on_delete`.
    site.alter_system("guestly_sync.cancel_on_delete", "on");
    site.sql(&format!("DELETE FROM bookings WHERE id = '{}'", ids[0]));
    let refused = "SELECT count(*) = 2 AND (SELECT state = 'failed' FROM guestly.queue), count(*)::text \
                   FROM guestly.attempts WHERE operation = 'read_back'";
    site.wait_for("the second sweep", SOON, refused);
    assert_eq!(site.sim.calls("update"), 0);
    site.update(&ids[1], "adults = 4, children = 0");
    site.wait_for(
        "the change",
        SOON,
        "SELECT count(*) = 1, count(*)::text FROM guestly.attempts WHERE operation = 'guests'",
    );
    assert_eq!(site.log_of(&ids[1])[..2], ["read_back:differs", "guests:changed"], "looked up first");
}
