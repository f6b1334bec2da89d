//! The API as the client meets it: creates, searches, refusals, updates, payments.

use crate::support::{OPEN, SINGLE, World, booking_with, until};
use serde_json::{Value, json};

#[test]
fn create_and_search() {
    let world = World::new(json!({}));
    let made = world.create("GS-1").unwrap();
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["confirmationCode"], "GS-1");
    assert!(made.header("x-request-id").is_some());
    let hits = world.search("GS-1");
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0]["reservationId"], made.json()["reservationId"]);
    assert_eq!(hits[0]["checkInDateLocalized"], "2099-05-10");
    assert!(world.search("GS-2").is_empty());
    let id = hits[0]["reservationId"].as_str().unwrap();
    let path = format!("/v1/reservations-v3?reservationIds%5B%5D={id}");
    let read = world.call("GET", &path, &Value::Null).json();
    assert_eq!((&read[0]["_id"], &read[0]["originId"]), (&json!(id), &json!("bk-GS-1")));
    assert_eq!(world.state()[0]["guest"]["firstName"], "Ana");
    assert_eq!(world.admin("GET", "violations", &Value::Null)["counts"], json!({}));
}

#[test]
fn the_index_lags_behind() {
    let world = World::new(json!({"lag_scale": 1.0, "visible_ms": [20, 20], "index_ms": [20, 20]}));
    let id = world.create("GS-1").unwrap().json()["reservationId"].as_str().unwrap().to_owned();
    assert!(world.search("GS-1").is_empty());
    let notes = || world.call("PUT", &format!("/v1/reservations-v3/{id}/notes"), &json!({"notes": {"other": "x"}}));
    assert_eq!(notes().status, 404);
    until(|| world.search("GS-1").len() == 1);
    assert_eq!(notes().status, 200);
}

#[test]
fn taken_dates_in_every_status() {
    for status in [400, 401, 409, 422] {
        let world = World::new(json!({"conflict_status": status}));
        let single =
            |code| world.call("POST", "/v1/reservations-v3", &booking_with(code, &json!({"listingId": SINGLE})));
        assert_eq!(single("GS-1").status, 201);
        let refused = single("GS-2");
        assert_eq!(refused.status, status);
        assert!(refused.json()["message"].as_str().unwrap().starts_with("AVAILABILITY_ERROR"));
        assert_eq!(world.state().len(), 1);
    }
}

#[test]
fn refusals_of_a_create() {
    let world = World::new(json!({"require_phones": true}));
    let refuse = |changes: Value| {
        let reply = world.call("POST", "/v1/reservations-v3", &booking_with("GS-1", &changes));
        (reply.status, reply.json())
    };
    let (status, body) = refuse(json!({"listingId": "64b1f0aa11bb22cc33ddffff"}));
    assert_eq!((status, &body["code"]), (404, &json!("LISTING_NOT_FOUND")));
    assert_eq!(refuse(json!({"listingId": "short"})).0, 400);
    assert_eq!(refuse(json!({"status": null})).1["message"], json!(["status should not be empty"]));
    assert_eq!(refuse(json!({"checkOutDateLocalized": "2099-05-10"})).0, 422);
    assert_eq!(refuse(json!({"checkInDateLocalized": "2001-05-10"})).0, 422);
    assert_eq!(refuse(json!({"guest": {"firstName": "A", "lastName": "B", "email": "a@example.org"}})).0, 400);
    assert_eq!(refuse(json!({"guestsCount": 99})).0, 400);
    assert_eq!(refuse(json!({"guestId": "64b1f0aa11bb22cc33dd0000"})).0, 422);
    assert_eq!(refuse(json!({"originId": "x".repeat(51)})).0, 400);
    assert!(world.state().is_empty());
}

#[test]
fn hostile_variants() {
    let world = World::new(json!({"profile": "hostile"}));
    let status = |changes: Value| world.call("POST", "/v1/reservations-v3", &booking_with("GS-1", &changes)).status;
    assert_eq!(status(json!({"status": null})), 422);
    assert_eq!(status(json!({"listingId": "short"})), 500);
    assert_eq!(status(json!({"guest": null})), 201);
    let reply = world.client().send("POST", "/v1/reservations-v3", &world.headers(), b"{").unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (400, Some("text/html")));
}

#[test]
fn unsupported_searches_are_refused() {
    let world = World::new(json!({}));
    let search = |query: &str| world.call("GET", &format!("/v1/reservations-v3/search?{query}"), &Value::Null);
    for query in
        ["filter[originId]=1", "limit=101", "sort=guest", "filter[checkIn][eq]=tomorrow", "filter[status][gt]=x"]
    {
        assert_eq!(search(query).status, 400, "{query}");
    }
    world.create("GS-1").unwrap();
    world.create("GS-2").unwrap();
    let found = |query: &str| search(query).json()["results"].as_array().unwrap().len();
    let stay = format!("filter[listingId]={OPEN}&filter[checkIn]=2099-05-10&filter[checkOut]=2099-05-14");
    assert_eq!(found(&format!("{stay}&filter[createdAt][gte]=2020-01-01T00:00:00Z&limit=100")), 2);
    assert_eq!(found("filter[createdAt][lt]=2020-01-01T00:00:00Z"), 0);
    assert_eq!(found("filter[confirmationCode]=GS-1,GS-2&limit=1"), 1);
    let page = search("limit=1&sort=_id").json();
    assert_eq!(
        (&page["results"][0]["confirmationCode"], &page["pagination"]["hasMore"]),
        (&json!("GS-1"), &json!(true))
    );
}

#[test]
fn updates_and_payments() {
    let world = World::new(json!({}));
    let id = world.create("GS-1").unwrap().json()["reservationId"].as_str().unwrap().to_owned();
    let put = |what: &str, body: Value| world.call("PUT", &format!("/v1/reservations-v3/{id}/{what}"), &body);
    assert_eq!(put("guests", json!({"guestsCount": 3})).status, 200);
    let moved = put("dates", json!({"checkInDateLocalized": "2099-06-01", "checkOutDateLocalized": "2099-06-03"}));
    assert_eq!(moved.json()["money"]["totalPrice"], 200.0, "the override is gone after a change of dates");
    assert_eq!(put("relocate", json!({"listingId": "64b1f0aa11bb22cc33dd44f2"})).json()["money"]["totalPrice"], 203.4);
    let path = format!("/v1/reservations/{id}/payments");
    let pay = json!({"paymentMethod": {"method": "OTHER"}, "amount": 100.25, "note": "ref 1"});
    assert_eq!(world.call("POST", &path, &pay).status, 201);
    assert_eq!(world.breaches("I10"), (0, 0));
    assert_eq!(world.call("POST", &path, &pay).json().as_array().unwrap().len(), 2);
    assert_eq!(world.breaches("I10"), (1, 0));
    assert_eq!(put("status", json!({"status": "reserved"})).status, 422);
    assert_eq!(put("status", json!({"status": "canceled"})).status, 200);
    assert_eq!(put("status", json!({"status": "confirmed"})).status, 422);
    let state = world.state();
    assert_eq!((&state[0]["status"], &state[0]["guestsCount"]), (&json!("canceled"), &json!(3)));
    assert_eq!(state[0]["money"]["balanceDue"], 2.9);
}

#[test]
fn of_two_racing_writes_the_first_is_lost() {
    let world =
        World::new(json!({"lost_writes": true, "lag_scale": 1.0, "visible_ms": [0, 0], "settle_gap_ms": 60000}));
    let id = world.create("GS-1").unwrap().json()["reservationId"].as_str().unwrap().to_owned();
    let put = |what: &str, body: Value| world.call("PUT", &format!("/v1/reservations-v3/{id}/{what}"), &body).status;
    assert_eq!(put("guests", json!({"guestsCount": 4})), 200);
    assert_eq!(put("dates", json!({"checkOutDateLocalized": "2099-05-16"})), 200);
    let state = world.state();
    assert_eq!((&state[0]["guestsCount"], &state[0]["checkOutDateLocalized"]), (&json!(2), &json!("2099-05-16")));
    assert_eq!(world.breaches("I9"), (0, 1));
}

#[test]
fn other_people_in_the_account() {
    let world = World::new(json!({}));
    let foreign =
        json!({"listingId": SINGLE, "checkInDateLocalized": "2099-05-12", "checkOutDateLocalized": "2099-05-13"});
    let id = world.admin("POST", "foreign-reservation", &foreign)["reservationId"].as_str().unwrap().to_owned();
    let create =
        || world.call("POST", "/v1/reservations-v3", &booking_with("GS-1", &json!({"listingId": SINGLE}))).status;
    assert_eq!(create(), 400);
    let cancel = format!("/v1/reservations-v3/{id}/status");
    world.call("PUT", &cancel, &json!({"status": "canceled"}));
    assert_eq!(world.breaches("I11"), (1, 0));
    assert_eq!(create(), 201);
    world.admin("POST", "reservations/GS-1", &json!({"status": "canceled"}));
    assert_eq!(world.search("GS-1")[0]["status"], "canceled");
}
