//! Results of a lookup by confirmation code: none, our reservation, two of them, another stay. Also taken dates, which may be of
//! an earlier create of the same booking.

use guestly_scenarios::{Site, host};
use serde_json::{Value, json};

/// Takes one booking at a time.
const SINGLE: &str = "64b1f0aa11bb22cc33dd4499";

/// All flats are one listing of one unit.
fn with_one_unit(site: &Site) {
    site.sim.post("listings", &json!({"id": SINGLE, "units": 1}));
    site.sql(&format!("UPDATE guestly.listings SET listing_id = '{SINGLE}'"));
}

/// Adds another client's reservation with this booking's code to Guestly; gives its id.
fn put_under_our_code(site: &Site, id: &str, changes: &Value) -> String {
    let row = site.row(id);
    let listing = host::LISTINGS.iter().find(|(slug, _)| row["slug"] == *slug).unwrap_or(&host::LISTINGS[0]).1;
    let mut body = json!({
        "confirmationCode": row["booking_reference"], "listingId": listing,
        "checkInDateLocalized": row["check_in_date"], "checkOutDateLocalized": row["check_out_date"],
    });
    if let (Some(body), Some(changes)) = (body.as_object_mut(), changes.as_object()) {
        body.extend(changes.clone());
    }
    let answer = site.sim.post("foreign-reservation", &body);
    answer["reservationId"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn dates_taken_by_others_fail_after_one_lookup() {
    for status in [400, 401, 409, 422] {
        let site = Site::open();
        site.sim.fault(
            json!({"match": {"operation": "create"}, "effect": {"kind": "calendar_conflict", "status": status}}),
        );
        let id = site.paid_booking();
        let error = site.wait_failed(&id);
        assert!(error.starts_with("dates_taken: "), "{status}: {error}");
        assert_eq!(site.operations_of(&site.code(&id)), ["create", "search"], "{status}");
        assert_eq!(site.log_of(&id), ["create:refused", "look_up:not_found"], "{status}");
        assert_eq!(site.sim.metrics()["tokens_issued"], 1, "{status} burnt a token");
        assert!(site.sim.reservations_of(&site.code(&id)).is_empty());
        site.sim.assert_no_violation();
    }
}

#[test]
fn dates_taken_by_our_create_are_adopted() {
    let site = Site::open();
    with_one_unit(&site);
    // Reads lag longer than settle, unlike the real API: the second create conflicts with the first.
    site.sim.knobs(json!({"visible_ms": [180_000, 180_000], "index_ms": [0, 0]}));
    site.sim.fault(json!({"match": {"operation": "create", "nth": 1}, "effect": {"kind": "drop_after_accept"}}));
    let id = site.paid_booking();
    site.wait_synced(&id);
    let operations = site.operations_of(&site.code(&id));
    assert_eq!(operations.iter().filter(|name| *name == "create").count(), 2, "{operations:?}");
    let log = site.log_of(&id);
    assert!(log.contains(&"create:refused".to_owned()), "{log:?}");
    assert_eq!(log.last().map(String::as_str), Some("look_up:adopted"), "{log:?}");
    site.assert_once_each(&[id]);
}

/// Makes a second create meet the reservation of the first: reads lag longer than `settle`.
fn hide_reservations_from_reads(site: &Site) {
    site.sim.knobs(json!({"unique_confirmation_code": true, "visible_ms": [180_000, 180_000], "index_ms": [0, 0]}));
}

#[test]
fn code_conflict_with_our_create_is_adopted() {
    let site = Site::open();
    hide_reservations_from_reads(&site);
    site.sim.fault(json!({"match": {"operation": "create", "nth": 1}, "effect": {"kind": "drop_after_accept"}}));
    let id = site.paid_booking();
    site.wait_synced(&id);
    let log = site.log_of(&id);
    assert!(log.contains(&"create:refused".to_owned()), "{log:?}");
    assert_eq!(log.last().map(String::as_str), Some("look_up:adopted"), "{log:?}");
    site.assert_once_each(&[id]);
}

#[test]
fn code_conflict_with_other_stay_fails() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 1);
    let other_stay = json!({"checkInDateLocalized": "2031-01-01", "checkOutDateLocalized": "2031-01-04"});
    let existing = put_under_our_code(&site, &ids[0], &other_stay);
    hide_reservations_from_reads(&site);
    host::pay(&site, &ids);
    let error = site.wait_failed(&ids[0]);
    let here = format!("{} here", site.row(&ids[0])["check_in_date"].as_str().unwrap());
    assert!(error.starts_with("refused: ") && error.contains(&existing), "{error}");
    assert!(error.contains("2031-01-01 there") && error.contains(&here), "{error}");
    assert_eq!(site.operations_of(&site.code(&ids[0])), ["create", "search"], "one look-up, no second create");
    site.sim.assert_no_violation();
}

#[test]
fn a_code_with_other_dates_or_listing_fails() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 2);
    let others = [
        json!({"checkInDateLocalized": "2031-01-01", "checkOutDateLocalized": "2031-01-04"}),
        json!({"listingId": "64b1f0aa11bb22cc33dd440f"}),
    ];
    let held: Vec<String> = ids.iter().zip(&others).map(|(id, other)| put_under_our_code(&site, id, other)).collect();
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "drop_before_accept"}}));
    host::pay(&site, &ids);
    let here = site.row(&ids[0])["check_in_date"].as_str().unwrap().to_owned();
    for (id, sides) in [
        (0, ["2031-01-01 there".to_owned(), format!("{here} here")]),
        (1, ["64b1f0aa11bb22cc33dd440f there".to_owned(), "here".to_owned()]),
    ] {
        let error = site.wait_failed(&ids[id]);
        assert!(error.starts_with("refused: "), "{error}");
        assert!(error.contains(&held[id]) && sides.iter().all(|side| error.contains(side)), "{error}");
        let operations = site.operations_of(&site.code(&ids[id]));
        assert_eq!(operations.iter().filter(|name| *name == "create").count(), 1, "{operations:?}");
    }
    assert_eq!(
        site.query_one::<i64>("SELECT count(*) FROM guestly.reservations"),
        0,
        "another client's reservation was adopted"
    );
    site.sim.assert_no_violation();
}

#[test]
fn of_two_reservations_with_one_code_the_oldest_is_kept() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 1);
    let mine = json!({"originId": ids[0]});
    let oldest = put_under_our_code(&site, &ids[0], &mine);
    let second = put_under_our_code(&site, &ids[0], &mine);
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "drop_before_accept"}}));
    host::pay(&site, &ids);
    site.wait_synced(&ids[0]);
    assert_eq!(site.booking(&ids[0]).reservation, Some(oldest.clone()));
    let reported: String = site.query_one("SELECT error FROM guestly.attempts WHERE outcome = 'adopted'");
    assert!(reported.contains("2 reservations") && reported.contains(&oldest), "{reported}");
    let code = site.code(&ids[0]);
    let held: Vec<Value> =
        site.sim.reservations_of(&code).into_iter().map(|row| row["reservationId"].clone()).collect();
    assert_eq!(held, [json!(oldest), json!(second)], "nothing is deleted automatically");
    let writes: Vec<String> = site.sim.call_log(None).iter().map(|row| row["method"].to_string()).collect();
    assert!(!writes.iter().any(|method| method.contains("PUT") || method.contains("DELETE")), "{writes:?}");
}
