//! Prices: the total that Guestly reports is stored and compared with the amount paid. A difference never fails a booking.

use guestly_scenarios::{SOON, Site, host};
use serde_json::json;

/// All three listings add this tax to the total.
fn taxed(site: &Site, tax: f64) {
    for (_, id) in host::LISTINGS {
        site.sim.post("listings", &json!({"id": id, "tax": tax}));
    }
}

/// A booking whose create is adopted: the lookup contains its total.
fn adopted(site: &Site) -> String {
    site.sim.fault(
        json!({"match": {"operation": "create", "count": 1}, "effect": {"kind": "drop_after_accept", "how": "rst"}}),
    );
    let id = site.paid_booking();
    site.wait_all_synced(SOON);
    id
}

fn told_of(site: &Site, id: &str) -> Vec<String> {
    site.query_all(&format!("SELECT detail FROM guestly_timeline('{id}') WHERE event = 'price'"))
}

fn alerts(site: &Site) -> Vec<String> {
    site.query_all("SELECT reference || ': ' || sentence FROM guestly.alerts WHERE kind = 'price_differs'")
}

#[test]
fn a_different_total_raises_an_alert() {
    let site = Site::open();
    taxed(&site, 0.10);
    let id = adopted(&site);
    let paid: f64 = site.query_one(&format!("SELECT total::float8 FROM bookings WHERE id = '{id}'"));
    let said = format!("Guestly's total is {:.2} and the guest paid {paid:.2}: {:.2} more", paid * 1.1, paid * 0.1);
    assert_eq!(told_of(&site, &id), std::slice::from_ref(&said));
    assert_eq!(alerts(&site), [format!("{}: {said}", site.code(&id))]);
    assert_eq!(site.query_one::<i64>("SELECT price_differences FROM guestly.status"), 1);
    let row: String = site
        .query_one("SELECT status || ': ' || detail || ' - ' || fix FROM guestly_doctor() WHERE check_name = 'prices'");
    assert!(row.starts_with("warn: 1 reservation") && row.contains("SELECT booking_id"), "{row}");
    site.assert_once_each(&[id]);
}

#[test]
fn a_difference_within_the_tolerance_raises_no_alert() {
    let site = Site::open_with(|options| options.setting("guestly_sync.price_tolerance", "100000"));
    taxed(&site, 0.10);
    let id = adopted(&site);
    assert_eq!((told_of(&site, &id).len(), alerts(&site).len()), (1, 0));
}

#[test]
fn an_equal_total_raises_no_alert() {
    let site = Site::open();
    let id = adopted(&site);
    assert_eq!((told_of(&site, &id).len(), alerts(&site).len()), (0, 0));
    let kept = "SELECT total = paid FROM guestly.reservations WHERE total IS NOT NULL";
    assert_eq!(site.query_all::<bool>(kept), [true], "it was compared");
    assert_eq!(site.query_one::<i64>("SELECT price_differences FROM guestly.status"), 0);
}

#[test]
fn the_answer_to_a_change_updates_the_total() {
    let site = Site::open();
    taxed(&site, 0.10);
    let id = site.paid_booking();
    site.wait_all_synced(SOON);
    assert_eq!(told_of(&site, &id).len(), 0, "the answer to a create has no total");
    site.sql(&format!("UPDATE bookings SET adults = adults + 1 WHERE id = '{id}'"));
    site.wait_for(
        "the change",
        SOON,
        "SELECT count(*) = 1, count(*)::text FROM guestly.attempts WHERE operation = 'guests'",
    );
    site.wait_all_synced(SOON);
    assert_eq!((told_of(&site, &id).len(), alerts(&site).len()), (1, 1));
    site.sim.assert_no_violation();
}
