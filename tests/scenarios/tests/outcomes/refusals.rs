//! Refusals: an unmappable booking fails at once, without a call and with the column's name; a refusal by Guestly is
//! classified by its body. One bad row never stops the others.

use guestly_scenarios::{Site, host};
use serde_json::{Value, json};

fn set(site: &Site, id: &str, change: &str) {
    site.sql(&format!("UPDATE bookings SET {change} WHERE id = '{id}'"));
}

#[test]
fn an_unmappable_booking_fails_at_once() {
    let site = Site::open();
    site.sql(
        "ALTER TABLE bookings ALTER check_in_date DROP NOT NULL, ALTER guest_first_name DROP NOT NULL; \
         DELETE FROM guestly.listings WHERE property = 'roof-studio'; \
         DELETE FROM guestly.status_map WHERE booking_status = 'completed'; \
         UPDATE properties SET slug = 'flat-9' WHERE slug = 'roof-studio'",
    );
    let cases = [
        (
            "property_id = (SELECT id FROM properties WHERE slug = 'flat-9')",
            "unknown_listing: property 'flat-9' has no row in guestly.listings",
        ),
        ("property_id = NULL", "unknown_listing: the booking has no property, so no listing can be found"),
        ("status = 'completed'", "unknown_status: status 'completed' has no row in guestly.status_map"),
        (
            "check_out_date = '2041-03-09', check_in_date = '2041-03-10'",
            "invalid_booking: check_out_date 2041-03-09 is not after check_in_date 2041-03-10",
        ),
        ("check_out_date = check_in_date", "is not after check_in_date"),
        ("check_in_date = NULL", "invalid_booking: check_in_date is empty"),
        ("check_in_date = 'infinity'", "invalid_booking: check_in_date is not a date that Guestly knows"),
        ("adults = 0", "invalid_booking: adults is 0: a stay needs at least one adult"),
        ("children = -1", "invalid_booking: children is -1, not a number of guests"),
        ("guest_email = ''", "invalid_booking: guest_email is empty"),
        ("guest_email = 'ada at example.com'", "invalid_booking: guest_email is not an e-mail address"),
        ("guest_first_name = NULL", "invalid_booking: guest_first_name is empty"),
        ("guest_last_name = E' \\t '", "invalid_booking: guest_last_name is empty"),
        ("total = -5", "invalid_booking: total is -5.00, not an amount"),
        ("total = 'NaN'", "invalid_booking: total is NaN, not an amount"),
    ];
    // A valid booking among them, for one of the two mapped flats.
    let ids = host::make_bookings(&site, 2 * u32::try_from(cases.len()).unwrap());
    site.sql("UPDATE bookings SET property_id = (SELECT id FROM properties WHERE slug = 'canal-loft')");
    let (mut bad, mut good) = (Vec::new(), Vec::new());
    for pair in ids.chunks(2) {
        bad.push(pair[0].clone());
        good.push(pair[1].clone());
    }
    let pay = "UPDATE bookings SET payment_status = 'completed', status = 'confirmed'";
    let spoil: Vec<String> = bad
        .iter()
        .zip(&cases)
        .map(|(id, (change, _))| format!("UPDATE bookings SET {change} WHERE id = '{id}'"))
        .collect();
    site.sql(&format!("BEGIN; {pay}; {}; COMMIT", spoil.join("; ")));
    site.wait_for_status(&bad, "failed");
    site.wait_for_status(&good, "synced");
    for (id, (change, words)) in bad.iter().zip(&cases) {
        let row = site.query(
            "SELECT guestly_sync_error, guestly_sync_attempts, guestly_reservation_id FROM bookings WHERE id = $1::text::uuid",
            &[id],
        );
        let (error, attempts, reservation): (String, i32, Option<String>) =
            (row[0].get(0), row[0].get(1), row[0].get(2));
        assert!(error.contains(words), "{change}: {error}");
        assert!(error.len() < 200 && !error.contains('@'), "{error}");
        assert_eq!((attempts, reservation), (1, None), "{change}");
        let asked = site.try_sql(&format!("SELECT guestly_preview('{id}'::uuid)")).unwrap_err();
        assert!(asked.starts_with("22000") && asked.contains(words) && asked.contains("hint: "), "{change}: {asked}");
    }
    // An unmappable booking makes no call and stays in the queue as failed.
    assert_eq!(site.sim.calls("create"), good.len() as u64);
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.queue WHERE state = 'failed'"), bad.len() as i64);
    site.sim.assert_no_violation();
    // After the correction all of them are sent.
    site.sql("INSERT INTO guestly.listings VALUES ('flat-9', '64b1f0aa11bb22cc33dd4403')");
    site.sql(
        "UPDATE bookings SET property_id = (SELECT id FROM properties WHERE slug = 'flat-9'), status = 'confirmed', \
         check_in_date = date '2041-01-01' + 5 * b.n::integer, check_out_date = date '2041-01-03' + 5 * b.n::integer, \
         adults = 1, children = 0, guest_email = 'corrected@example.com', guest_first_name = 'A', guest_last_name = 'B', \
         total = 10 FROM (SELECT id, row_number() OVER () AS n FROM bookings WHERE guestly_sync_status = 'failed') b \
         WHERE b.id = bookings.id",
    );
    assert!(site.query_one::<i64>("SELECT guestly_retry_failed()") <= bad.len() as i64);
    site.wait_for_status(&bad, "synced");
    assert_eq!(site.sim.state().len(), ids.len());
}

#[test]
fn taken_dates_are_recognised_at_any_status() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 6);
    for (id, status) in ids.iter().zip([400, 401, 403, 409, 422]) {
        let rule = json!({"match": {"operation": "create", "body_contains": site.code(id)}, "effect": {"kind": "calendar_conflict", "status": status}});
        site.sim.fault(rule);
    }
    host::pay(&site, &ids);
    site.wait_for_status(&ids[..5], "failed");
    site.wait_synced(&ids[5]);
    for id in &ids[..5] {
        let row = site.row(id);
        let error = row["guestly_sync_error"].as_str().unwrap();
        assert!(
            error.starts_with("dates_taken: Guestly refused the dates: ") && error.contains("not available"),
            "{error}"
        );
        assert_eq!(row["guestly_sync_attempts"], 1);
        assert_eq!(site.operations_of(&site.code(id)), ["create", "search"], "one look-up, and no second create");
    }
    assert_eq!(site.sim.metrics()["tokens_issued"], 1);
    site.sim.assert_no_violation();
}

#[test]
fn a_refusal_quotes_guestly_without_guest_data() {
    let site = Site::open();
    site.sim.post("listings", &json!({"id": "64b1f0aa11bb22cc33dd4488", "min_nights": 7}));
    let ids = host::make_bookings(&site, 6);
    let answer = |status: u32, body: &str| json!({"kind": "status", "code": status, "body": body});
    let trap = format!("{}/trap", site.sim.url());
    let effects: [Option<Value>; 6] = [
        None,
        None,
        Some(json!({"kind": "redirect", "to": trap, "code": 307})),
        Some(answer(422, r#"{"message":["guest ada@example.com, +49 30 2312 5000, is on the list"],"error":"Nope"}"#)),
        Some(answer(400, "html")),
        Some(answer(413, "empty")),
    ];
    for (id, effect) in ids.iter().zip(&effects) {
        if let Some(effect) = effect {
            site.sim.fault(json!({"match": {"operation": "create", "body_contains": site.code(id)}, "effect": effect}));
        }
    }
    // The first has a listing unknown to Guestly, the second violates the terms of stay.
    site.sql(
        "INSERT INTO properties (slug, name, max_guests, base_price) VALUES ('gone', 'Gone', 2, 1), ('long', 'Long', 2, 1); \
         INSERT INTO guestly.listings VALUES ('gone', '64b1f0aa11bb22cc33dd4477'), ('long', '64b1f0aa11bb22cc33dd4488')",
    );
    set(&site, &ids[0], "property_id = (SELECT id FROM properties WHERE slug = 'gone')");
    set(&site, &ids[1], "property_id = (SELECT id FROM properties WHERE slug = 'long')");
    host::pay(&site, &ids);
    site.wait_for_status(&ids, "failed");
    let expected = [
        "unknown_listing: Guestly does not know the listing: Listing not found",
        "refused: The stay breaks the listing's terms: ",
        "refused: Guestly answered with a redirect (HTTP 307), which is never followed",
        "refused: Guestly refused the request (HTTP 422)",
        "refused: Guestly refused the request (HTTP 400)",
        "refused: Guestly refused the request (HTTP 413)",
    ];
    for (id, words) in ids.iter().zip(expected) {
        let error = site.row(id)["guestly_sync_error"].as_str().unwrap().to_owned();
        assert!(error.starts_with(words), "{error} instead of {words}");
        assert!(!error.contains("ada@") && !error.contains("2312 5000"), "{error}");
    }
    assert!(site.row(&ids[3])["guestly_sync_error"].as_str().unwrap().contains("is on the list"));
    let logged = "SELECT count(*) FROM guestly.attempts WHERE error ~ 'ada@|2312 5000'";
    assert_eq!(site.query_one::<i64>(logged), 0);
    assert!(!site.log().contains("ada@"), "the guest's address is in the log");
    assert_eq!((site.sim.calls("create"), site.sim.state().len()), (6, 0), "refused once, looked up once");
    site.sim.assert_no_violation();
}

#[test]
fn a_broken_mapping_stops_no_other_booking() {
    let site = Site::open();
    site.sql(
        "UPDATE guestly.field_map SET expression = '1000 / (b.adults - 2)' WHERE field = 'total'; \
         CREATE FUNCTION stubborn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.guestly_sync_status = 'synced' AND NEW.purpose_of_stay = 'veto' THEN \
         RAISE 'the site objects'; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER stubborn BEFORE UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION stubborn()",
    );
    let ids = host::make_bookings(&site, 12);
    site.sql("UPDATE bookings SET adults = 3");
    set(&site, &ids[1], "adults = 2");
    set(&site, &ids[4], "purpose_of_stay = 'veto'");
    host::pay(&site, &ids);
    let others: Vec<String> =
        ids.iter().enumerate().filter(|(n, _)| ![1, 4].contains(n)).map(|(_, id)| id.clone()).collect();
    site.wait_for_status(&others, "synced");
    let error = site.wait_failed(&ids[1]);
    assert!(error.starts_with("invalid_booking: the booking cannot be read: division by zero"), "{error}");
    assert!(error.contains("guestly.field_map"), "{error}");
    // The reservation is stored although the host's row cannot be written.
    site.wait_for_state(&ids[4], "failed", guestly_scenarios::SOON);
    let parked = format!(
        "SELECT concat_ws('|', q.error_class, q.error, r.reservation_id IS NOT NULL) FROM guestly.queue q \
         JOIN guestly.reservations r USING (booking_id) WHERE q.booking_id = '{}'",
        ids[4]
    );
    let reported: String = site.query_one(&parked);
    assert!(
        reported.starts_with("internal|") && reported.contains("the site objects") && reported.ends_with("|t"),
        "{reported}"
    );
    assert_eq!(site.sim.calls("create"), 11);
    // After the trigger is gone, a retry needs no second create.
    site.sql(
        "DROP TRIGGER stubborn ON bookings; UPDATE guestly.field_map SET expression = 'b.total' WHERE field = 'total'",
    );
    assert_eq!(site.query_one::<i64>("SELECT guestly_retry_failed()"), 2);
    site.wait_for_status(&ids, "synced");
    assert_eq!((site.sim.calls("create"), site.sim.state().len()), (12, 12));
    let _ = site.only_reservation(&ids[4]);
    site.sim.assert_no_violation();
}
