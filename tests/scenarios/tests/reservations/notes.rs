//! Notes: sent after the create if there are any, and again when they change.

use guestly_scenarios::{SOON, Site, host};

/// A site with the default mapping, which includes the notes.
fn site() -> Site {
    let site = Site::bare_with(|options| options);
    host::create_extension(&site);
    host::map_listings(&site);
    site
}

fn calls(site: &Site) -> [u64; 4] {
    ["create", "update", "search", "get"].map(|operation| site.sim.calls(operation))
}

fn written(site: &Site, id: &str) -> Vec<String> {
    let notes = site.only_reservation(id)["notes"]["other"].as_str().unwrap_or_default().to_owned();
    notes.lines().map(str::to_owned).collect()
}

#[test]
fn notes_take_one_call_after_the_create() {
    let site = site();
    let id = host::make_bookings(&site, 1).remove(0);
    site.sql(&format!("UPDATE bookings SET guest_company = '', children = 2, infants = 0 WHERE id = '{id}'"));
    host::pay(&site, std::slice::from_ref(&id));
    site.wait_synced(&id);
    site.wait_drained();
    let lines = [
        "Special requests: Late arrival, about 22:00",
        "Purpose of stay: leisure",
        "Children: 2",
        "Country: DE",
        "Booking: FLAT-000001",
    ];
    assert_eq!(written(&site, &id), lines);
    assert_eq!(calls(&site), [1, 1, 0, 0]);
    assert_eq!(
        (site.log_of(&id), site.booking(&id).attempts),
        (vec!["create:created".to_owned(), "notes:changed".to_owned()], 1)
    );
    assert!(site.sim.violations().is_empty(), "too soon after the create: {:?}", site.sim.violations());
    site.sql(&format!("UPDATE bookings SET special_requests = 'A cot' WHERE id = '{id}'"));
    site.wait_for(
        "the notes",
        SOON,
        "SELECT count(*) = 2, count(*)::text FROM guestly.attempts WHERE operation = 'notes'",
    );
    site.wait_drained();
    assert_eq!(written(&site, &id)[0], "Special requests: A cot");
    site.sql(&format!(
        "UPDATE bookings SET special_requests = NULL, purpose_of_stay = '', guest_country = ' ' WHERE id = '{id}'"
    ));
    site.wait_for(
        "no notes",
        SOON,
        "SELECT count(*) = 3, count(*)::text FROM guestly.attempts WHERE operation = 'notes'",
    );
    site.wait_drained();
    assert_eq!((written(&site, &id), calls(&site)), (vec![], [1, 3, 0, 0]));
}

#[test]
fn a_booking_without_notes_is_one_call() {
    let site = site();
    let id = host::make_bookings(&site, 1).remove(0);
    site.sql(&format!(
        "UPDATE bookings SET special_requests = ' ', purpose_of_stay = NULL, guest_country = '' WHERE id = '{id}'"
    ));
    host::pay(&site, std::slice::from_ref(&id));
    site.wait_all_synced(SOON);
    assert_eq!(calls(&site), [1, 0, 0, 0]);
}

#[test]
fn notes_written_in_guestly_stay() {
    let site = site();
    let id = site.paid_booking();
    site.wait_synced(&id);
    site.wait_drained();
    let reservation = site.booking(&id).reservation.unwrap();
    site.sim
        .post(&format!("reservations/{reservation}"), &serde_json::json!({"notes": {"other": "Key at the bakery"}}));
    site.sql(&format!("UPDATE bookings SET adults = 4, children = 0, infants = 0 WHERE id = '{id}'"));
    site.wait_for(
        "the change",
        SOON,
        "SELECT count(*) = 1, count(*)::text FROM guestly.attempts WHERE operation = 'guests'",
    );
    site.sql(&format!("UPDATE bookings SET guest_phone = '+49 30 555 0100' WHERE id = '{id}'"));
    site.wait_drained();
    let notes = site.only_reservation(&id)["notes"]["other"].clone();
    assert_eq!(notes, "Key at the bakery", "{:?}", site.log_of(&id));
}
