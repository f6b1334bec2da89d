//! Tests of updates and payments of a reservation.

use crate::support::World;
use serde_json::{Value, json};

/// A world with one reservation, and its id.
fn reserved() -> (World, String) {
    let world = World::new(json!({}));
    let id = world.created_id("GS-1");
    (world, id)
}

fn payment() -> Value {
    json!({"paymentMethod": {"method": "OTHER"}, "amount": 100.25, "note": "ref 1"})
}

fn pay(world: &World, id: &str) -> Value {
    world.call("POST", &format!("/v1/reservations/{id}/payments"), &payment()).json()
}

#[test]
fn number_of_guests_is_updated() {
    let (world, id) = reserved();
    world.update(&id, "guests", &json!({"guestsCount": 3}));
    assert_eq!(world.state()[0]["guestsCount"], 3);
}

#[test]
fn change_of_dates_drops_the_price_override() {
    let (world, id) = reserved();
    let dates = json!({"checkInDateLocalized": "2099-06-01", "checkOutDateLocalized": "2099-06-03"});
    assert_eq!(world.update(&id, "dates", &dates).json()["money"]["totalPrice"], 200.0);
}

#[test]
fn price_includes_discount_and_tax_of_the_listing() {
    let (world, id) = reserved();
    world.update(&id, "dates", &json!({"checkInDateLocalized": "2099-05-12"}));
    let moved = world.update(&id, "relocate", &json!({"listingId": "64b1f0aa11bb22cc33dd44f2"}));
    assert_eq!(moved.json()["money"]["totalPrice"], 203.4);
}

#[test]
fn payment_reduces_the_balance() {
    let (world, id) = reserved();
    pay(&world, &id);
    assert_eq!(world.state()[0]["money"]["balanceDue"], 540.25);
}

#[test]
fn payments_are_listed() {
    let (world, id) = reserved();
    pay(&world, &id);
    assert_eq!(pay(&world, &id).as_array().unwrap().len(), 2);
}

#[test]
fn confirmed_reservation_can_be_canceled() {
    let (world, id) = reserved();
    world.update(&id, "status", &json!({"status": "canceled"}));
    assert_eq!(world.state()[0]["status"], "canceled");
}

#[test]
fn confirmed_reservation_cannot_become_reserved() {
    let (world, id) = reserved();
    assert_eq!(world.update(&id, "status", &json!({"status": "reserved"})).status, 422);
}

#[test]
fn canceled_reservation_cannot_be_confirmed() {
    let (world, id) = reserved();
    world.update(&id, "status", &json!({"status": "canceled"}));
    assert_eq!(world.update(&id, "status", &json!({"status": "confirmed"})).status, 422);
}

#[test]
fn first_of_two_racing_writes_is_lost() {
    let world =
        World::new(json!({"lost_writes": true, "lag_scale": 1.0, "visible_ms": [0, 0], "settle_gap_ms": 60_000}));
    let id = world.created_id("GS-1");
    world.update(&id, "guests", &json!({"guestsCount": 4}));
    world.update(&id, "dates", &json!({"checkOutDateLocalized": "2099-05-16"}));
    let state = &world.state()[0];
    assert_eq!((&state["guestsCount"], &state["checkOutDateLocalized"]), (&json!(2), &json!("2099-05-16")));
}
