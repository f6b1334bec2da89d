//! Faults of one booking, one kind of call or one answer: the others continue, it does not count as an outage, and only the
//! affected booking may fail.

use guestly_scenarios::{AT_ONCE, SOON, Site, host};
use serde_json::json;

fn reservation_of(site: &Site, id: &str) -> String {
    site.query_one(&format!("SELECT reservation_id FROM guestly.reservations WHERE booking_id = '{id}'"))
}

/// Every read-back of this reservation has this effect; everything else works.
fn poison(site: &Site, reservation: &str, effect: serde_json::Value) {
    let matching = json!({"method": "GET", "path": reservation});
    site.sim.fault(json!({"match": matching, "effect": effect}));
}

#[track_caller]
fn assert_no_outage(site: &Site) {
    let alerts: Vec<String> = site.query_all("SELECT kind FROM guestly.alerts WHERE kind IN ('outage', 'recovered')");
    assert!(alerts.is_empty(), "{alerts:?}");
    let breaker: String = site.query_one("SELECT breaker FROM guestly.status");
    assert_eq!(breaker, "closed");
}

#[test]
fn a_failed_read_back_fails_only_its_booking() {
    let html = json!({"kind": "status", "code": 200, "body": "html"});
    let error = json!({"kind": "status", "code": 500});
    let cut = json!({"kind": "drop_after_accept", "how": "rst"});
    for (name, effect) in [("a page of HTML", html), ("errors", error), ("cut connections", cut)] {
        let site = Site::open();
        let id = site.synced_booking();
        let reservation = reservation_of(&site, &id);
        poison(&site, &reservation, effect);
        site.update(&id, "check_in_date = check_in_date + 300, check_out_date = check_out_date + 301");
        let read = format!(
            "SELECT count(*) >= 5, '-' FROM guestly.attempts WHERE booking_id = '{id}' AND operation = 'read_back'"
        );
        site.wait_for("the fault to take effect", SOON, &read);
        let sales = site.paid_bookings(3);
        let waited = site.wait_for_status(&sales, "synced");
        assert!(waited < AT_ONCE, "{name}: {waited:?}");
        let said = site.wait_failed(&id);
        for part in ["could not be read in 8 tries", &reservation, &format!("SELECT guestly_sync('{id}')")] {
            assert!(said.contains(part), "{name}: {part}: {said}");
        }
        let reads = site.log_of(&id).iter().filter(|line| line.starts_with("read_back")).count();
        assert_eq!(reads, 8, "{name}: {:?}", site.log_of(&id));
        assert_eq!(site.row(&id)["guestly_reservation_id"], json!(reservation), "{name}: the known reservation stays");
        assert_no_outage(&site);
        site.sim.clear_faults();
        site.sql(&format!("SELECT guestly_sync('{id}'::uuid)"));
        site.wait_synced(&id);
    }
}

#[test]
fn an_unreadable_reservation_costs_one_token() {
    let site = Site::open();
    let id = site.synced_booking();
    let forbidden = json!({"kind": "status", "code": 403, "body": "{\"message\":\"Forbidden\"}"});
    poison(&site, &reservation_of(&site, &id), forbidden);
    site.update(&id, "adults = adults + 1");
    let sales = site.paid_bookings(3);
    site.wait_for_status(&sales, "synced");
    let said = site.wait_failed(&id);
    assert!(said.starts_with("refused: ") && said.contains("could not be read"), "{said}");
    assert_eq!(site.sim.metrics()["tokens_issued"], 2);
    let blocked: Option<String> = site.query_one("SELECT credentials_error FROM guestly.status");
    assert_eq!(blocked, None);
    let sale = site.paid_booking();
    site.wait_synced(&sale);
    assert_no_outage(&site);
}

#[test]
fn failing_read_backs_stop_no_sale() {
    let site = Site::open();
    let ids: Vec<String> = (0..4).map(|_| site.synced_booking()).collect();
    site.sim.fault(json!({"match": {"operation": "get"}, "effect": {"kind": "status", "code": 502}}));
    for id in &ids {
        site.update(id, "adults = adults + 1");
    }
    site.sim.wait_for_calls("get", 5, SOON);
    let sale = site.paid_booking();
    let waited = site.wait_for_status(std::slice::from_ref(&sale), "synced");
    assert!(waited < AT_ONCE, "{waited:?}");
    ids.iter().for_each(|id| drop(site.wait_failed(id)));
    assert_no_outage(&site);
    assert_eq!(site.sim.state().len(), 5);
}

#[test]
fn an_outage_is_detected_with_one_queued_booking() {
    let site = Site::open();
    site.sim.fault(json!({"match": {"path": "/v1/"}, "effect": {"kind": "status", "code": 503}}));
    let id = site.paid_booking();
    site.wait_for("the alert", SOON, "SELECT count(*) = 1, '-' FROM guestly.alerts WHERE kind = 'outage'");
    let asked = "SELECT count(*) >= 2, '-' FROM guestly.attempts WHERE booking_id IS NULL AND operation = 'look_up'";
    site.wait_for("probe lookups between its own", SOON, asked);
    assert_eq!(site.query_one::<String>("SELECT breaker FROM guestly.status"), "open");
    site.sim.clear_faults();
    site.wait_synced(&id);
    assert!(site.booking(&id).attempts <= 2, "an outage used attempts");
    site.assert_once_each(&[id]);
}

#[test]
fn a_create_answered_with_a_foreign_id_is_looked_up() {
    let site = Site::open();
    let first = site.synced_booking();
    let theirs = reservation_of(&site, &first);
    let wrong = json!({"kind": "rewrite", "field": "reservationId", "value": theirs});
    site.sim.fault(json!({"match": {"operation": "create", "count": 1}, "effect": wrong}));
    let second = site.paid_booking();
    site.wait_synced(&second);
    assert_ne!(reservation_of(&site, &second), theirs);
    assert_eq!(site.log_of(&second).first().map(String::as_str), Some("create:unknown"));
    assert_eq!(site.log_of(&second).last().map(String::as_str), Some("look_up:adopted"));
    let sentence: String =
        site.query_one(&format!("SELECT sentence FROM guestly.alerts WHERE booking_id = '{second}'"));
    assert!(sentence.starts_with("Guestly answered the create with reservation "), "{sentence}");
    site.assert_once_each(&[first, second]);
}

#[test]
fn a_reservation_claimed_by_two_bookings_is_refused() {
    let site = Site::open();
    let first = site.synced_booking();
    let theirs = reservation_of(&site, &first);
    let wrong = json!({"kind": "rewrite", "field": "reservationId", "value": theirs});
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": wrong}));
    let row = json!({"results": [{"reservationId": theirs}]}).to_string();
    let success = || site.query_one::<String>("SELECT last_success_at::text FROM guestly.worker");
    let before = success();
    site.sim.fault(json!({"match": {"operation": "search"}, "effect": {"kind": "status", "code": 200, "body": row}}));
    let second = site.paid_booking();
    let said = site.wait_failed(&second);
    for part in ["refused: ", &theirs, &first, &site.code(&second)] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(site.row(&second)["guestly_reservation_id"], json!(null));
    let alerts: i64 = site.query_one(&format!(
        "SELECT count(*) FROM guestly.alerts WHERE kind = 'booking_failed' AND booking_id = '{second}'"
    ));
    assert_eq!(alerts, 2, "one for the create, one for the end");
    assert_eq!(success(), before, "neither answer is a success");
    assert_eq!(reservation_of(&site, &first), theirs);
}

#[test]
fn a_create_answered_with_a_foreign_code_is_looked_up() {
    for (field, value) in
        [("confirmationCode", "BK-OTHER99"), ("reservationId", "test-64b1f0aa11bb"), ("reservationId", "64b1f0aa 11bb")]
    {
        let site = Site::open();
        let wrong = json!({"kind": "rewrite", "field": field, "value": value});
        site.sim.fault(json!({"match": {"operation": "create", "count": 1}, "effect": wrong}));
        let id = site.paid_booking();
        site.wait_synced(&id);
        assert_eq!(site.log_of(&id).last().map(String::as_str), Some("look_up:adopted"), "{value}");
        assert_eq!(
            site.only_reservation(&id)["reservationId"].as_str().map(str::to_owned),
            Some(reservation_of(&site, &id))
        );
        site.assert_once_each(&[id]);
    }
}

#[test]
fn an_oversized_access_token_is_refused() {
    let site = Site::open();
    let long = json!({"kind": "rewrite", "field": "access_token", "value": "a".repeat(60 * 1024)});
    site.sim.fault(json!({"match": {"operation": "token"}, "effect": long}));
    let id = site.paid_booking();
    site.wait_for("the sentence", SOON, "SELECT credentials_error IS NOT NULL, 'null' FROM guestly.status");
    let said: String = site.query_one("SELECT credentials_error FROM guestly.status");
    assert!(said.contains("60 kB") && said.contains("guestly_sync.token_url"), "{said}");
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.token WHERE access_token <> ''"), 0, "never stored");
    assert_eq!(site.sim.calls("create"), 0);
    assert_eq!(site.booking(&id).attempts, 0);
    assert_no_outage(&site);
}

#[test]
fn a_reservation_not_yet_readable_is_not_gone() {
    let site = Site::open_with(|options| options.setting("guestly_sync.settle", "10s"));
    // Six seconds: longer than it takes to create the extension again, shorter than `settle`.
    site.sim.knobs(json!({"visible_ms": [300_000, 300_000]}));
    let id = site.synced_booking();
    site.update(&id, "adults = adults + 1");
    site.sql("DROP EXTENSION guestly_sync");
    host::create_extension(&site);
    host::map_listings(&site);
    host::without_notes(&site);
    site.sql(&format!("UPDATE bookings SET adults = adults + 1 WHERE id = '{id}'"));
    site.wait_at_rest();
    assert_eq!(site.booking(&id).status, "synced");
    let log = site.log_of(&id);
    assert!(log.contains(&"read_back:not_found".to_owned()), "nothing was too early: {log:?}");
    let alerts: Vec<String> = site.query_all("SELECT kind FROM guestly.alerts");
    assert!(alerts.is_empty(), "{alerts:?}");
}

#[test]
fn an_unusable_reservation_id_fails_only_its_booking() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 3);
    for (id, named) in ids.iter().zip(["repeat('x', 13000)", "'64b1 f0aa'", "E'64b1\\x01'"]) {
        site.update(id, &format!("guestly_reservation_id = {named}"));
    }
    host::pay(&site, &ids);
    let sales = site.paid_bookings(3);
    let waited = site.wait_for_status(&sales, "synced");
    assert!(waited < AT_ONCE, "{waited:?}");
    for id in &ids {
        let said = site.wait_failed(id);
        assert!(said.starts_with("invalid_booking: ") && said.contains("the column guestly_reservation_id"), "{said}");
    }
    assert_eq!((site.sim.calls("create"), site.sim.calls("get")), (3, 0));
    assert_no_outage(&site);
    site.update(&ids[0], "guestly_reservation_id = NULL");
    site.sql(&format!("SELECT guestly_sync('{}'::uuid)", ids[0]));
    site.wait_synced(&ids[0]);
}

#[test]
fn a_named_reservation_that_is_missing_is_not_created() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 2);
    let row = site.row(&ids[1]);
    let listing = host::LISTINGS.iter().find(|(slug, _)| row["slug"] == *slug).unwrap().1;
    let answer = site.sim.post(
        "foreign-reservation",
        &json!({"confirmationCode": row["booking_reference"], "listingId": listing, "originId": ids[1],
                "checkInDateLocalized": row["check_in_date"], "checkOutDateLocalized": row["check_out_date"]}),
    );
    for id in &ids {
        site.update(id, "guestly_reservation_id = '64b1f0aa11bb22cc33dd44ee'");
    }
    host::pay(&site, &ids);
    let said = site.wait_failed(&ids[0]);
    for part in ["neither reservation 64b1f0aa11bb22cc33dd44ee", "confirmation code", "guestly_reservation_id", "NULL"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    site.wait_synced(&ids[1]);
    assert_eq!(site.row(&ids[1])["guestly_reservation_id"], answer["reservationId"]);
    assert_eq!(site.sim.calls("create"), 0);
    site.sql(&format!("SELECT guestly_sync('{}'::uuid)", ids[0]));
    site.wait_for_state(&ids[0], "failed", SOON);
    assert_eq!(site.sim.calls("create"), 0, "not after another request either");
}

#[test]
fn an_outage_of_creates_uses_no_attempts() {
    let limits = |options: guestly_scenarios::Options| {
        options.setting("guestly_sync.max_attempts", "4").setting("guestly_sync.backoff_max", "1s")
    };
    let site = Site::open_with(limits);
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "status", "code": 503}}));
    let ids = site.paid_bookings(4);
    let tries = "SELECT min(tries) >= 7, min(tries)::text FROM (SELECT count(*) AS tries FROM guestly.attempts \
                 WHERE operation = 'create' GROUP BY booking_id) AS t";
    site.wait_for("more creates than attempts", SOON, tries);
    let reported = "SELECT count(*) FROM guestly.alerts WHERE kind = 'outage' AND sentence LIKE 'Guestly accepts no new reservations: %'";
    assert_eq!(site.query_one::<i64>(reported), 1);
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.alerts WHERE kind <> 'outage'"), 0);
    site.sim.clear_faults();
    site.wait_for_status(&ids, "synced");
    site.wait_for("its end", SOON, "SELECT count(*) = 1, '-' FROM guestly.alerts WHERE kind = 'recovered'");
    site.assert_once_each(&ids);
}
