//! Rates, tokens, and the load the simulator itself can take.

use crate::support::{Client, OPEN, World, booking, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn buckets_and_retry_after() {
    let world = World::new(json!({"limits": true, "per_second": 3, "second_ms": 60_000, "retry_after_grace_ms": 0}));
    let listing = || world.call("GET", &format!("/v1/listings/{OPEN}"), &Value::Null);
    let first = listing();
    assert_eq!(first.header("X-RateLimit-Remaining-Second"), Some("2"));
    assert_eq!(first.header("x-ratelimit-limit-hour"), Some("5000"));
    assert_eq!((listing().status, listing().status), (200, 200));
    let refused = listing();
    assert_eq!((refused.status, refused.header("Retry-After")), (429, Some("20")));
    assert_eq!(world.breaches("I6"), (0, 1));
    assert_eq!(listing().status, 429);
    assert_eq!(world.breaches("I6"), (1, 2), "called before Retry-After ended");
    world.admin("POST", "clock/advance", &json!({"seconds": 25}));
    assert_eq!(listing().status, 200);
    assert_eq!(world.breaches("I6"), (1, 2));
}

#[test]
fn more_in_flight_than_allowed() {
    let world = World::new(json!({"limits": true, "max_in_flight": 1}));
    world.fault(json!({"operation": "listing", "count": 1}), json!({"kind": "hold"}));
    let path = format!("/v1/listings/{OPEN}");
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| world.call("GET", &path, &Value::Null).status);
        until(|| world.admin("GET", "metrics", &Value::Null)["operations"]["listing"]["requests"] == 1);
        assert_eq!(world.call("GET", &path, &Value::Null).status, 429);
        world.release();
        assert_eq!(slow.join().unwrap(), 200);
    });
    assert_eq!(world.breaches("I7"), (1, 0));
}

#[test]
fn five_tokens_a_day() {
    let world = World::new(json!({}));
    let replies: Vec<_> = (0..5).map(|_| world.fetch_token()).collect();
    assert_eq!(replies.iter().map(|r| r.status).collect::<Vec<_>>(), [200, 200, 200, 200, 429]);
    let wait: u64 = replies[4].header("Retry-After").unwrap().parse().unwrap();
    assert!((86_300..=86_400).contains(&wait));
    assert_eq!(world.breaches("I5").1, 5, "every one was asked for while a good one existed");
    world.admin("POST", "clock/advance", &json!({"seconds": 86_400}));
    assert_eq!(world.fetch_token().status, 200);
}

#[test]
fn bad_credentials_and_forms() {
    let world = World::new(json!({}));
    let post = |kind: &str, form: &str| {
        let headers = format!("Content-Type: {kind}\r\n");
        world.client().send("POST", "/oauth2/token", &headers, form.as_bytes()).unwrap()
    };
    let kind = "application/x-www-form-urlencoded";
    let wrong = post(kind, "grant_type=client_credentials&scope=open-api&client_id=sim-client&client_secret=no");
    assert_eq!((wrong.status, &wrong.json()["error"]), (401, &json!("invalid_client")));
    assert_eq!(post("application/json", "{}").status, 400);
    assert_eq!(post(kind, "grant_type=password").status, 400);
}

#[test]
fn tokens_expire_and_are_revoked() {
    let mut world = World::new(json!({}));
    let status = |world: &World| world.call("GET", &format!("/v1/listings/{OPEN}"), &Value::Null).status;
    world.admin("POST", "clock/advance", &json!({"seconds": 86_401}));
    assert_eq!(status(&world), 403);
    assert_eq!(world.breaches("I12"), (0, 0), "the client could not know");
    world.token = world.fetch_token().json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(world.breaches("I5"), (0, 0));
    assert_eq!(status(&world), 200);
    world.admin("POST", "tokens/revoke", &Value::Null);
    assert_eq!(status(&world), 401);
    world.token = "never issued".into();
    assert_eq!(status(&world), 401);
    assert_eq!(world.breaches("I12"), (1, 0));
}

#[test]
fn secrets_in_urls_and_unknown_routes() {
    let world = World::new(json!({}));
    world.call("GET", "/v1/listings/x?key=sim-secret", &Value::Null);
    assert_eq!(world.breaches("I12"), (1, 0));
    assert_eq!(world.call("GET", "/v1/nothing", &Value::Null).status, 404);
    assert_eq!(world.breaches("ROUTE"), (1, 0));
    world.call("GET", "/v1/reservations?filters=x", &Value::Null);
    assert_eq!(world.breaches("I14"), (1, 0));
}

#[test]
fn the_ledger_is_bounded_and_reset_forgets() {
    let world = World::new(json!({"keep_ledger": 3}));
    (0..5).for_each(|n| drop(world.search(&format!("GS-{n}"))));
    let ledger = world.admin("GET", "ledger?operation=search", &Value::Null);
    assert_eq!((ledger["rows"].as_array().unwrap().len(), &ledger["dropped"]), (3, &json!(3)));
    world.admin("POST", "reset", &json!({"profile": "documented", "seed": 9}));
    assert_eq!(world.admin("GET", "metrics", &Value::Null)["requests"], 0);
    assert_eq!(world.admin("GET", "knobs", &Value::Null)["conflict_status"], 401);
    let bad = world.client().send("POST", "/__sim/knobs", "", br#"{"confict_status":1}"#).unwrap();
    assert_eq!(bad.status, 400);
}

#[test]
fn odd_requests() {
    let world = World::new(json!({}));
    let many: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(world.client().send("GET", "/v1/x", &many, b"").unwrap().status, 431);
    let chunked = format!("{}Transfer-Encoding: chunked\r\nX-Ignored-", world.headers());
    let body = booking("GS-1").to_string();
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert_eq!(world.client().send("POST", "/v1/reservations-v3", &chunked, chunks.as_bytes()).unwrap().status, 201);
}

#[test]
fn one_connection_serves_many_calls_without_a_pause_between_them() {
    let world = World::new(json!({"keep_ledger": 100}));
    let quickest = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(quickest_of_fifty(&world, thread))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).min()
    });
    // Nagle's algorithm would hold back every single answer for 40 ms; a busy machine only some of them.
    assert!(quickest.is_some_and(|time| time < Duration::from_millis(30)), "{quickest:?}");
    assert_eq!(world.admin("GET", "metrics?brief=1", &Value::Null)["codes"]["active_once"], 400);
}

/// Fifty creates over one connection; the time of the quickest.
fn quickest_of_fifty(world: &World, thread: u32) -> impl FnOnce() -> Duration + use<'_> {
    move || {
        let mut client = Client::new(&world.sim.url());
        let create = |n: u32| {
            let body = booking(&format!("GS-{thread}-{n}")).to_string();
            let began = Instant::now();
            let reply = client.send("POST", "/v1/reservations-v3", &world.headers(), body.as_bytes());
            assert_eq!(reply.unwrap().status, 201);
            began.elapsed()
        };
        (0..50).map(create).min().unwrap_or(Duration::MAX)
    }
}
