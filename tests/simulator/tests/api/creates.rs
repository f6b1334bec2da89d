//! Tests of creates: accepted bodies, and the status of each refusal.

use crate::support::{SINGLE, World, booking_with};
use serde_json::{Value, json};

#[test]
fn create_returns_the_confirmation_code() {
    let made = World::new(json!({})).create("GS-1").unwrap();
    assert_eq!((made.status, &made.json()["confirmationCode"]), (201, &json!("GS-1")));
}

#[test]
fn answers_carry_a_request_id() {
    let made = World::new(json!({})).create("GS-1").unwrap();
    assert!(made.header("x-request-id").is_some());
}

#[test]
fn state_keeps_the_received_body() {
    let world = World::new(json!({}));
    world.create("GS-1").unwrap();
    assert_eq!(world.state()[0]["guest"]["firstName"], "Ana");
}

#[test]
fn taken_dates_are_refused_with_the_set_status() {
    for status in [400, 401, 409, 422] {
        let world = World::new(json!({"conflict_status": status}));
        let statuses = ["GS-1", "GS-2"].map(|code| world.create_status(code, &json!({"listingId": SINGLE})));
        assert_eq!(statuses, [201, status]);
    }
}

#[test]
fn taken_dates_are_named_in_the_body() {
    let world = World::new(json!({}));
    world.create_status("GS-1", &json!({"listingId": SINGLE}));
    let refused = world.call("POST", "/v1/reservations-v3", &booking_with("GS-2", &json!({"listingId": SINGLE})));
    assert!(refused.json()["message"].as_str().unwrap().starts_with("AVAILABILITY_ERROR"));
}

#[test]
fn invalid_creates_are_refused() {
    let world = World::new(json!({"require_phones": true}));
    let cases = [
        (json!({"listingId": "64b1f0aa11bb22cc33ddffff"}), 404),
        (json!({"listingId": "short"}), 400),
        (json!({"checkOutDateLocalized": "2099-05-10"}), 422),
        (json!({"checkInDateLocalized": "2001-05-10"}), 422),
        (json!({"guest": {"firstName": "A", "lastName": "B", "email": "a@example.org"}}), 400),
        (json!({"guestsCount": 99}), 400),
        (json!({"guestId": "64b1f0aa11bb22cc33dd0000"}), 422),
        (json!({"originId": "x".repeat(51)}), 400),
    ];
    let found = cases.clone().map(|(changes, _)| world.create_status("GS-1", &changes));
    assert_eq!(found, cases.map(|(_, status)| status));
}

#[test]
fn refused_creates_leave_no_reservation() {
    let world = World::new(json!({}));
    world.create_status("GS-1", &json!({"guestsCount": 99}));
    assert!(world.state().is_empty());
}

#[test]
fn unknown_listing_has_its_own_error_code() {
    let world = World::new(json!({}));
    let body = booking_with("GS-1", &json!({"listingId": "64b1f0aa11bb22cc33ddffff"}));
    assert_eq!(world.call("POST", "/v1/reservations-v3", &body).json()["code"], "LISTING_NOT_FOUND");
}

#[test]
fn missing_fields_are_listed() {
    let world = World::new(json!({}));
    let refused = world.call("POST", "/v1/reservations-v3", &booking_with("GS-1", &json!({"status": null})));
    assert_eq!(refused.json()["message"], json!(["status should not be empty"]));
}

#[test]
fn hostile_profile_uses_other_statuses() {
    let world = World::new(json!({"profile": "hostile"}));
    let cases = [json!({"status": null}), json!({"listingId": "short"}), json!({"guest": null})];
    assert_eq!(cases.map(|changes| world.create_status("GS-1", &changes)), [422, 500, 201]);
}

#[test]
fn hostile_profile_answers_bad_json_with_html() {
    let world = World::new(json!({"profile": "hostile"}));
    let reply = world.client().send("POST", "/v1/reservations-v3", &world.headers(), b"{").unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (400, Some("text/html")));
}

#[test]
fn booking_of_a_channel_takes_the_dates() {
    let world = World::new(json!({}));
    block_single(&world);
    assert_eq!(world.create_status("GS-1", &json!({"listingId": SINGLE})), 400);
}

#[test]
fn canceled_booking_frees_the_dates() {
    let world = World::new(json!({}));
    let id = block_single(&world);
    world.update(&id, "status", &json!({"status": "canceled"}));
    assert_eq!(world.create_status("GS-1", &json!({"listingId": SINGLE})), 201);
}

/// A booking of a channel on the listing with one unit; its id.
fn block_single(world: &World) -> String {
    let dates = json!({"checkInDateLocalized": "2099-05-12", "checkOutDateLocalized": "2099-05-13"});
    let mut booking: Value = dates;
    booking["listingId"] = SINGLE.into();
    let made = world.admin("POST", "foreign-reservation", &booking);
    made["reservationId"].as_str().unwrap().to_owned()
}
