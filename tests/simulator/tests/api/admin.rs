//! Tests of the admin calls and of malformed HTTP requests.

use crate::support::{World, booking};
use serde_json::{Value, json};

#[test]
fn call_log_is_bounded() {
    let world = World::new(json!({"call_log_rows": 3}));
    (0..5).for_each(|n| drop(world.search(&format!("GS-{n}"))));
    let log = world.admin("GET", "calls?operation=search", &Value::Null);
    assert_eq!((log["rows"].as_array().unwrap().len(), &log["dropped"]), (3, &json!(3)));
}

#[test]
fn reset_discards_counters() {
    let world = World::new(json!({}));
    world.create("GS-1").unwrap();
    world.admin("POST", "reset", &json!({"seed": 9}));
    assert_eq!(world.metrics()["requests"], 0);
}

#[test]
fn reset_takes_a_profile() {
    let world = World::new(json!({}));
    world.admin("POST", "reset", &json!({"profile": "documented"}));
    assert_eq!(world.admin("GET", "knobs", &Value::Null)["conflict_status"], 401);
}

#[test]
fn unknown_knob_is_refused() {
    let world = World::new(json!({}));
    let reply = world.client().send("POST", "/__sim/knobs", "", br#"{"confict_status":1}"#).unwrap();
    assert_eq!(reply.status, 400);
}

#[test]
fn unknown_effect_is_refused() {
    let world = World::new(json!({}));
    let reply = world.client().send("POST", "/__sim/faults", "", br#"{"effect":{"kind":"nonsense"}}"#).unwrap();
    assert_eq!(reply.status, 400);
}

#[test]
fn too_many_headers_are_refused() {
    let world = World::new(json!({}));
    let many: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(world.client().send("GET", "/v1/x", &many, b"").unwrap().status, 431);
}

#[test]
fn chunked_body_is_read() {
    let world = World::new(json!({}));
    let headers = format!("{}Transfer-Encoding: chunked\r\nX-Ignored-", world.headers());
    let body = booking("GS-1").to_string();
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let reply = world.client().send("POST", "/v1/reservations-v3", &headers, chunks.as_bytes()).unwrap();
    assert_eq!(reply.status, 201);
}

#[test]
fn unknown_route_is_a_violation() {
    let world = World::new(json!({}));
    let status = world.call("GET", "/v1/nothing", &Value::Null).status;
    assert_eq!((status, world.violations("ROUTE")), (404, (1, 0)));
}
