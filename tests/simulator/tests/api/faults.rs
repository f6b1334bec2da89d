//! Faults, and what the judge makes of the client's reaction.

use crate::support::{OPEN, SINGLE, World, booking, booking_with, until};
use serde_json::{Value, json};
use std::io::ErrorKind;

fn create_fault(world: &World, effect: Value) {
    world.fault(json!({"operation": "create", "count": 1}), effect);
}

#[test]
fn drops_after_accept_commit() {
    for how in ["rst", "fin", "half_body", "wrong_length"] {
        let world = World::new(json!({}));
        create_fault(&world, json!({"kind": "drop_after_accept", "how": how}));
        let error = world.create("GS-1").unwrap_err();
        let reset = error.kind() == ErrorKind::ConnectionReset;
        assert_eq!(reset, how == "rst", "{how}: {error}");
        assert_eq!(world.search("GS-1").len(), 1);
        let rows = world.admin("GET", "ledger?operation=create", &Value::Null)["rows"].clone();
        assert_eq!((&rows[0]["committed"], &rows[0]["fate"]), (&json!(true), &json!("dropped")));
        assert_eq!(rows[0]["faults"], json!(["drop_after_accept"]));
    }
}

#[test]
fn drops_before_accept_do_not_commit() {
    for how in ["rst", "fin"] {
        let world = World::new(json!({}));
        create_fault(&world, json!({"kind": "drop_before_accept", "how": how}));
        world.create("GS-1").unwrap_err();
        assert!(world.state().is_empty());
    }
}

#[test]
fn late_commits() {
    let world = World::new(json!({}));
    create_fault(&world, json!({"kind": "late_commit", "ms": 1500, "status": 502}));
    assert_eq!(world.create("GS-1").unwrap().status, 502);
    assert!(world.search("GS-1").is_empty());
    until(|| world.search("GS-1").len() == 1);
    create_fault(&world, json!({"kind": "late_commit", "ms": 1}));
    world.create("GS-2").unwrap_err();
    until(|| world.search("GS-2").len() == 1);
    assert_eq!(world.admin("GET", "metrics", &Value::Null)["late_commits"], 2);
}

#[test]
fn statuses_with_and_without_effect() {
    let world = World::new(json!({}));
    create_fault(&world, json!({"kind": "status", "code": 503, "body": "html", "retry_after": "2"}));
    let reply = world.create("GS-1").unwrap();
    assert_eq!((reply.status, reply.header("Retry-After")), (503, Some("2")));
    assert!(world.state().is_empty());
    create_fault(&world, json!({"kind": "status", "code": 504, "body": "empty", "committed": true}));
    assert!(world.create("GS-2").unwrap().body.is_empty());
    assert_eq!(world.search("GS-2").len(), 1);
}

#[test]
fn garbage() {
    let world = World::new(json!({}));
    let make = |shape: &str| {
        create_fault(&world, json!({"kind": "garbage", "shape": shape}));
        let reply = world.create(&format!("GS-{shape}")).unwrap();
        assert_eq!((reply.status, world.search(&format!("GS-{shape}")).len()), (201, 1));
        reply
    };
    assert!(serde_json::from_slice::<Value>(&make("invalid_json").body).is_err());
    assert!(make("no_id").json()["reservationId"].is_null());
    assert!(make("underscore_id").json()["_id"].is_string());
    assert!(make("nul_in_id").json()["reservationId"].as_str().unwrap().contains('\0'));
    assert!(String::from_utf8(make("invalid_utf8").body).is_err());
    assert!(make("huge_20mb").body.len() > 20_000_000);
    assert!(make("html").body.starts_with(b"<html>"));
    assert!(make("extra_fields").json()["brandNew"].is_object());
    let nulls = make("null_fields").json();
    assert!(nulls["reservationId"].is_string() && nulls["status"].is_null());
}

#[test]
fn one_field_says_something_else() {
    let world = World::new(json!({}));
    create_fault(&world, json!({"kind": "rewrite", "field": "reservationId", "value": "r1"}));
    let reply = world.create("GS-1").unwrap();
    assert_eq!((reply.status, &reply.json()["reservationId"]), (201, &json!("r1")));
    assert_eq!(reply.json()["confirmationCode"], "GS-1");
    assert_ne!(world.search("GS-1")[0]["reservationId"], "r1", "what is held is as it was");
}

#[test]
fn redirects_conflicts_and_silence() {
    let world = World::new(json!({}));
    create_fault(&world, json!({"kind": "redirect", "to": "http://127.0.0.1:1/trap"}));
    let reply = world.create("GS-1").unwrap();
    assert_eq!((reply.status, reply.header("location")), (307, Some("http://127.0.0.1:1/trap")));
    create_fault(&world, json!({"kind": "calendar_conflict", "status": 409}));
    let single = booking_with("GS-2", &json!({"listingId": SINGLE}));
    assert_eq!(world.call("POST", "/v1/reservations-v3", &single).status, 409);
    assert_eq!(world.state()[0]["ours"], false);
    let id = world.create("GS-3").unwrap().json()["reservationId"].as_str().unwrap().to_owned();
    world.fault(json!({"operation": "update"}), json!({"kind": "status_silent_ignore"}));
    let answer = world.call("PUT", &format!("/v1/reservations-v3/{id}/status"), &json!({"status": "canceled"}));
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("canceled")));
    assert_eq!(world.search("GS-3")[0]["status"], "confirmed");
    world.admin("DELETE", "faults", &Value::Null);
    world.call("GET", "/trap", &Value::Null);
    assert_eq!(world.breaches("I12"), (1, 0));
}

#[test]
fn rate_limits_by_rule_and_matchers() {
    let world = World::new(json!({"retry_after_grace_ms": 0}));
    world.fault(json!({"path": "/search", "nth": 2}), json!({"kind": "rate_limit", "retry_after": 30}));
    let status = |code: &str| {
        let path = format!("/v1/reservations-v3/search?filter[confirmationCode]={code}");
        world.call("GET", &path, &Value::Null).status
    };
    assert_eq!((status("a"), status("a")), (200, 429));
    assert_eq!(world.breaches("I6"), (0, 0));
    assert_eq!(status("a"), 200);
    assert_eq!(world.breaches("I6"), (1, 0));
    world.fault(json!({"every": 2, "method": "put"}), json!({"kind": "status", "code": 500}));
    world.fault(json!({"body_contains": "bk-GS-9"}), json!({"kind": "status", "code": 500}));
    assert_eq!((world.create("GS-8").unwrap().status, world.create("GS-9").unwrap().status), (201, 500));
    let bad = world.client().send("POST", "/__sim/faults", "", br#"{"effect":{"kind":"nonsense"}}"#).unwrap();
    assert_eq!(bad.status, 400);
}

#[test]
fn token_faults() {
    let world = World::new(json!({}));
    world.fault(json!({"operation": "token"}), json!({"kind": "oauth_down"}));
    assert_eq!(world.fetch_token().status, 503);
    world.fault(json!({"operation": "listing", "nth": 1}), json!({"kind": "token_expire_now"}));
    let path = format!("/v1/listings/{OPEN}");
    assert_eq!(world.call("GET", &path, &Value::Null).status, 403);
}

#[test]
fn held_calls_wait_on_either_side_of_the_commit_until_they_are_released() {
    for (when, held) in [("before", 0), ("after", 1)] {
        let world = World::new(json!({}));
        world.fault(json!({"operation": "create"}), json!({"kind": "hold", "when": when}));
        std::thread::scope(|scope| {
            let call = scope.spawn(|| world.create("GS-1").unwrap().status);
            until(|| world.admin("GET", "metrics", &Value::Null)["operations"]["create"]["requests"] == 1);
            until(|| world.state().len() == held);
            assert!(!call.is_finished(), "{when}");
            world.release();
            assert_eq!(call.join().unwrap(), 201, "{when}");
        });
        // The rule went with the release.
        assert_eq!((world.create("GS-2").unwrap().status, world.state().len()), (201, 2), "{when}");
    }
}

#[test]
fn a_client_that_leaves_is_seen() {
    for leaves in [json!({"kind": "hold", "when": "before"}), json!({"kind": "latency", "ms": 300})] {
        let world = World::new(json!({}));
        create_fault(&world, leaves.clone());
        let body = booking("GS-1").to_string();
        let head =
            format!("POST /v1/reservations-v3 HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n", world.headers(), body.len());
        let mut stream = std::net::TcpStream::connect(world.sim.url().trim_start_matches("http://")).unwrap();
        std::io::Write::write_all(&mut stream, format!("{head}{body}").as_bytes()).unwrap();
        drop(stream);
        let fate = || world.admin("GET", "ledger?operation=create", &Value::Null)["rows"][0]["fate"].clone();
        until(|| fate() == "client_gone");
        // A latency may be over by now.
        assert!(leaves["kind"] != "hold" || world.state().is_empty(), "it is held");
        world.release();
        until(|| world.state().len() == 1);
    }
}

#[test]
fn a_blind_second_create_is_a_breach() {
    let world = World::new(json!({"lag_scale": 1.0, "settle_ms": 60_000, "visible_ms": [0, 0], "index_ms": [0, 0]}));
    create_fault(&world, json!({"kind": "status", "code": 500}));
    world.create("GS-1").unwrap();
    world.create("GS-1").unwrap();
    assert_eq!(world.breaches("I8"), (1, 0), "no look-up");
    create_fault(&world, json!({"kind": "drop_before_accept"}));
    world.create("GS-2").unwrap_err();
    assert!(world.search("GS-2").is_empty());
    world.create("GS-2").unwrap();
    assert_eq!(world.breaches("I8"), (2, 0), "looked up, but too early");
    assert_eq!(world.breaches("I1"), (0, 0));
}

#[test]
fn a_patient_second_create_is_none() {
    let world = World::new(json!({"lag_scale": 1.0, "settle_ms": 30, "visible_ms": [0, 0], "index_ms": [0, 0]}));
    create_fault(&world, json!({"kind": "drop_before_accept"}));
    world.create("GS-1").unwrap_err();
    let end = std::time::Instant::now() + std::time::Duration::from_millis(40);
    until(|| std::time::Instant::now() > end);
    assert!(world.search("GS-1").is_empty());
    assert_eq!(world.create("GS-1").unwrap().status, 201);
    assert_eq!(world.admin("GET", "violations", &Value::Null)["counts"], json!({}));
    let metrics = world.admin("GET", "metrics", &Value::Null);
    assert_eq!((&metrics["creates_per_code"]["GS-1"], &metrics["active_per_code"]["GS-1"]), (&json!(2), &json!(1)));
    assert_eq!(metrics["creates_without_look_up"], 0);
}

#[test]
fn duplicates_are_found() {
    let world = World::new(json!({}));
    world.create("GS-1").unwrap();
    world.create("GS-1").unwrap();
    assert_eq!(world.breaches("I1").0, 2, "by code and by originId");
    assert_eq!(world.search("GS-1").len(), 2);
    world.admin("POST", "reset", &json!({"unique_confirmation_code": true}));
    let forced = booking_with("GS-2", &json!({"ignoreCalendar": true}));
    world.call("POST", "/v1/reservations-v3", &forced);
    assert_eq!(world.breaches("I4"), (1, 0));
}
