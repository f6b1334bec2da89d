//! Tests of the invariants: behaviour of a client that is a violation, and similar behaviour that is not. Counts are
//! (fatal, warnings).

use crate::support::{SINGLE, World, booking_with, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A world in which creates are visible at once, though the client has to allow for this propagation delay.
fn world_with_delay(settle_ms: u64) -> World {
    World::new(json!({"lag_scale": 1.0, "settle_ms": settle_ms, "visible_ms": [0, 0], "index_ms": [0, 0]}))
}

/// The same after a create whose outcome the client does not know.
fn after_unknown_outcome(settle_ms: u64) -> World {
    let world = world_with_delay(settle_ms);
    world.fault_next_create(json!({"kind": "drop_before_accept"}));
    world.create("GS-1").unwrap_err();
    world
}

/// The same after the delay, a look-up and a second create.
fn after_verified_create() -> World {
    let world = after_unknown_outcome(30);
    let end = Instant::now() + Duration::from_millis(40);
    until(|| Instant::now() > end);
    world.search("GS-1");
    world.create("GS-1").unwrap();
    world
}

#[test]
fn second_create_without_look_up_is_a_violation() {
    let world = after_unknown_outcome(60_000);
    world.create("GS-1").unwrap();
    assert_eq!(world.violations("I8"), (1, 0));
}

#[test]
fn status_500_makes_the_outcome_unknown() {
    let world = world_with_delay(60_000);
    world.fault_next_create(json!({"kind": "status", "code": 500}));
    world.create("GS-1").unwrap();
    world.create("GS-1").unwrap();
    assert_eq!(world.violations("I8"), (1, 0));
}

#[test]
fn second_create_before_the_delay_is_a_violation() {
    let world = after_unknown_outcome(60_000);
    world.search("GS-1");
    world.create("GS-1").unwrap();
    assert_eq!(world.violations("I8"), (1, 0));
}

#[test]
fn second_create_after_a_look_up_is_allowed() {
    assert_eq!(after_verified_create().violation_counts(), json!({}));
}

#[test]
fn creates_are_counted_per_code() {
    let metrics = after_verified_create().metrics();
    let counts = (&metrics["creates_per_code"]["GS-1"], &metrics["active_per_code"]["GS-1"]);
    assert_eq!(counts, (&json!(2), &json!(1)));
}

#[test]
fn creates_without_look_up_are_counted() {
    let unverified = after_unknown_outcome(60_000);
    unverified.create("GS-1").unwrap();
    let counts = [unverified, after_verified_create()].map(|world| world.metrics()["creates_without_look_up"].clone());
    assert_eq!(counts, [json!(1), json!(0)]);
}

#[test]
fn duplicates_are_found_by_code_and_origin_id() {
    let world = World::new(json!({}));
    world.create("GS-1").unwrap();
    world.create("GS-1").unwrap();
    assert_eq!(world.violations("I1").0, 2);
}

#[test]
fn ignore_flag_is_a_violation() {
    let world = World::new(json!({}));
    world.call("POST", "/v1/reservations-v3", &booking_with("GS-1", &json!({"ignoreCalendar": true})));
    assert_eq!(world.violations("I4"), (1, 0));
}

#[test]
fn rate_limit_by_rule_is_no_violation() {
    let world = World::new(json!({}));
    world.fault(json!({"operation": "listing"}), json!({"kind": "rate_limit", "retry_after": 30}));
    world.read_status();
    assert_eq!(world.violations("I6"), (0, 0));
}

#[test]
fn call_before_a_rules_retry_after_is_a_violation() {
    let world = World::new(json!({"retry_after_grace_ms": 0}));
    world.fault(json!({"operation": "listing", "nth": 1}), json!({"kind": "rate_limit", "retry_after": 30}));
    world.read_status();
    world.read_status();
    assert_eq!(world.violations("I6"), (1, 0));
}

#[test]
fn racing_writes_are_a_warning() {
    let world = World::new(json!({"lag_scale": 1.0, "visible_ms": [0, 0], "settle_gap_ms": 60_000}));
    let id = world.created_id("GS-1");
    world.update(&id, "guests", &json!({"guestsCount": 4}));
    world.update(&id, "guests", &json!({"guestsCount": 5}));
    assert_eq!(world.violations("I9"), (0, 1));
}

#[test]
fn payment_recorded_twice_is_a_violation() {
    let world = World::new(json!({}));
    let path = format!("/v1/reservations/{}/payments", world.created_id("GS-1"));
    let payment = json!({"paymentMethod": {"method": "OTHER"}, "amount": 100.25, "note": "ref 1"});
    let counts = [(); 2].map(|()| {
        world.call("POST", &path, &payment);
        world.violations("I10")
    });
    assert_eq!(counts, [(0, 0), (1, 0)]);
}

#[test]
fn canceling_a_booking_of_others_is_a_violation() {
    let world = World::new(json!({}));
    let booking =
        json!({"listingId": SINGLE, "checkInDateLocalized": "2099-05-12", "checkOutDateLocalized": "2099-05-13"});
    let made = world.admin("POST", "foreign-reservation", &booking);
    world.update(made["reservationId"].as_str().unwrap(), "status", &json!({"status": "canceled"}));
    assert_eq!(world.violations("I11"), (1, 0));
}

#[test]
fn followed_redirect_with_a_token_is_a_violation() {
    let world = World::new(json!({}));
    world.call("GET", "/trap", &Value::Null);
    assert_eq!(world.violations("I12"), (1, 0));
}

#[test]
fn secret_in_the_url_is_a_violation() {
    let world = World::new(json!({}));
    world.call("GET", "/v1/listings/x?key=sim-secret", &Value::Null);
    assert_eq!(world.violations("I12"), (1, 0));
}

#[test]
fn legacy_endpoint_is_a_violation() {
    let world = World::new(json!({}));
    world.call("GET", "/v1/reservations?filters=x", &Value::Null);
    assert_eq!(world.violations("I14"), (1, 0));
}
