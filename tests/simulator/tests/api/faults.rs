//! Tests of fault rules: the calls that they select, and their effect on the client.

use crate::support::{SINGLE, World, booking, until};
use serde_json::{Value, json};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;

/// A world whose next create gets an effect.
fn world_with(effect: Value) -> World {
    let world = World::new(json!({}));
    world.fault_next_create(effect);
    world
}

#[test]
fn drop_after_accept_commits() {
    for how in ["rst", "fin", "half_body", "wrong_length"] {
        let world = world_with(json!({"kind": "drop_after_accept", "how": how}));
        world.create("GS-1").unwrap_err();
        assert_eq!(world.search("GS-1").len(), 1, "{how}");
    }
}

#[test]
fn only_rst_resets_the_connection() {
    let reset = |how: &str| {
        let error = world_with(json!({"kind": "drop_after_accept", "how": how})).create("GS-1").unwrap_err();
        error.kind() == ErrorKind::ConnectionReset
    };
    assert_eq!(["rst", "fin", "half_body", "wrong_length"].map(reset), [true, false, false, false]);
}

#[test]
fn dropped_call_is_logged_with_its_fault() {
    let world = world_with(json!({"kind": "drop_after_accept"}));
    world.create("GS-1").unwrap_err();
    let row = world.first_create();
    let found = (&row["committed"], &row["ending"], &row["faults"]);
    assert_eq!(found, (&json!(true), &json!("dropped"), &json!(["drop_after_accept"])));
}

#[test]
fn drop_before_accept_does_not_commit() {
    for how in ["rst", "fin"] {
        let world = world_with(json!({"kind": "drop_before_accept", "how": how}));
        world.create("GS-1").unwrap_err();
        assert!(world.state().is_empty(), "{how}");
    }
}

#[test]
fn late_commit_answers_first() {
    let world = world_with(json!({"kind": "late_commit", "ms": 60_000, "status": 502}));
    let status = world.create("GS-1").unwrap().status;
    assert_eq!((status, world.search("GS-1").len()), (502, 0));
}

#[test]
fn late_commit_comes_in_the_end() {
    let world = world_with(json!({"kind": "late_commit", "ms": 1}));
    world.create("GS-1").unwrap_err();
    until(|| world.search("GS-1").len() == 1);
    assert_eq!(world.metrics()["late_commits"], 1);
}

#[test]
fn status_effect_replaces_the_answer() {
    let world = world_with(json!({"kind": "status", "code": 503, "body": "html", "retry_after": "2"}));
    let reply = world.create("GS-1").unwrap();
    assert_eq!((reply.status, reply.header("Retry-After"), world.state().len()), (503, Some("2"), 0));
}

#[test]
fn committed_status_effect_keeps_the_reservation() {
    let world = world_with(json!({"kind": "status", "code": 504, "body": "empty", "committed": true}));
    let empty = world.create("GS-1").unwrap().body.is_empty();
    assert_eq!((empty, world.search("GS-1").len()), (true, 1));
}

#[test]
fn garbage_commits_with_status_201() {
    let world = world_with(json!({"kind": "garbage", "shape": "invalid_json"}));
    assert_eq!((world.create("GS-1").unwrap().status, world.search("GS-1").len()), (201, 1));
}

#[test]
fn garbage_has_the_requested_shape() {
    let body = |shape: &str| world_with(json!({"kind": "garbage", "shape": shape})).create("GS-1").unwrap().body;
    let json = |shape: &str| serde_json::from_slice::<Value>(&body(shape)).unwrap_or_default();
    let nulls = json("null_fields");
    let shapes = [
        ("invalid_json", json("invalid_json").is_null()),
        ("no_id", json("no_id")["reservationId"].is_null()),
        ("underscore_id", json("underscore_id")["_id"].is_string()),
        ("nul_in_id", json("nul_in_id")["reservationId"].as_str().is_some_and(|id| id.contains('\0'))),
        ("invalid_utf8", String::from_utf8(body("invalid_utf8")).is_err()),
        ("huge_20mb", body("huge_20mb").len() > 20_000_000),
        ("html", body("html").starts_with(b"<html>")),
        ("extra_fields", json("extra_fields")["brandNew"].is_object()),
        ("null_fields", nulls["reservationId"].is_string() && nulls["status"].is_null()),
    ];
    assert_eq!(shapes.iter().filter(|(_, correct)| !correct).collect::<Vec<_>>(), [&("", false); 0]);
}

#[test]
fn rewrite_changes_only_the_answer() {
    let world = world_with(json!({"kind": "rewrite", "field": "reservationId", "value": "r1"}));
    let answered = world.create("GS-1").unwrap().json()["reservationId"].clone();
    let stored = world.search("GS-1")[0]["reservationId"].clone();
    assert!(answered == "r1" && stored != "r1", "{answered} {stored}");
}

#[test]
fn redirect_names_its_target() {
    let world = world_with(json!({"kind": "redirect", "to": "http://127.0.0.1:1/trap"}));
    let reply = world.create("GS-1").unwrap();
    assert_eq!((reply.status, reply.header("location")), (307, Some("http://127.0.0.1:1/trap")));
}

#[test]
fn calendar_conflict_adds_a_booking_of_others() {
    let world = world_with(json!({"kind": "calendar_conflict", "status": 409}));
    let status = world.create_status("GS-1", &json!({"listingId": SINGLE}));
    assert_eq!((status, &world.state()[0]["fromApi"]), (409, &json!(false)));
}

#[test]
fn ignored_status_change_is_answered_as_done() {
    let world = World::new(json!({}));
    let id = world.created_id("GS-1");
    world.fault(json!({"operation": "update"}), json!({"kind": "status_silent_ignore"}));
    let answered = world.update(&id, "status", &json!({"status": "canceled"})).json()["status"].clone();
    assert_eq!((answered, &world.search("GS-1")[0]["status"]), (json!("canceled"), &json!("confirmed")));
}

#[test]
fn nth_selects_one_call() {
    let world = World::new(json!({}));
    world.fault(json!({"operation": "listing", "nth": 2}), json!({"kind": "rate_limit", "retry_after": 30}));
    assert_eq!([(); 3].map(|()| world.read_status()), [200, 429, 200]);
}

#[test]
fn every_selects_each_nth_call() {
    let world = World::new(json!({}));
    world.fault(json!({"every": 2, "method": "get"}), json!({"kind": "status", "code": 500}));
    assert_eq!([(); 4].map(|()| world.read_status()), [200, 500, 200, 500]);
}

#[test]
fn body_selects_a_call() {
    let world = World::new(json!({}));
    world.fault(json!({"body_contains": "bk-GS-9"}), json!({"kind": "status", "code": 500}));
    assert_eq!(["GS-8", "GS-9"].map(|code| world.create(code).unwrap().status), [201, 500]);
}

#[test]
fn removed_rules_have_no_effect() {
    let world = world_with(json!({"kind": "status", "code": 500}));
    world.admin("DELETE", "faults", &Value::Null);
    assert_eq!(world.create("GS-1").unwrap().status, 201);
}

#[test]
fn held_call_waits_before_or_after_its_commit() {
    for (when, committed) in [("before", 0), ("after", 1)] {
        let world = World::new(json!({}));
        world.fault(json!({"operation": "create"}), json!({"kind": "hold", "when": when}));
        std::thread::scope(|scope| {
            let call = scope.spawn(|| world.create("GS-1").unwrap().status);
            until(|| world.metrics()["operations"]["create"]["requests"] == 1);
            until(|| world.state().len() == committed);
            let waited = !call.is_finished();
            world.release();
            assert_eq!((waited, call.join().unwrap()), (true, 201), "{when}");
        });
    }
}

#[test]
fn release_removes_the_rule() {
    let world = World::new(json!({}));
    world.fault(json!({"operation": "create"}), json!({"kind": "hold"}));
    world.release();
    assert_eq!(world.create("GS-1").unwrap().status, 201);
}

#[test]
fn disconnected_client_is_logged() {
    let world = world_with(json!({"kind": "hold", "when": "before"}));
    disconnect_during_create(&world);
    until(|| world.first_create()["ending"] == "client_gone");
    assert!(world.state().is_empty(), "a held call was committed");
}

#[test]
fn create_of_a_disconnected_client_is_committed() {
    for delay in [json!({"kind": "hold", "when": "before"}), json!({"kind": "latency", "ms": 300})] {
        let world = world_with(delay);
        disconnect_during_create(&world);
        until(|| world.first_create()["ending"] == "client_gone");
        world.release();
        until(|| world.state().len() == 1);
    }
}

/// Sends a create and closes the connection.
fn disconnect_during_create(world: &World) {
    let body = booking("GS-1").to_string();
    let head =
        format!("POST /v1/reservations-v3 HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n", world.headers(), body.len());
    let mut stream = TcpStream::connect(world.sim.url().trim_start_matches("http://")).unwrap();
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
}
