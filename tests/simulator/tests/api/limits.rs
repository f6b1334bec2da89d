//! Tests of rate limits, calls in flight, and the load that the simulator itself can handle.

use crate::support::{Client, OPEN, Reply, World, booking, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn listing(world: &World) -> Reply {
    world.call("GET", &format!("/v1/listings/{OPEN}"), &Value::Null)
}

fn three_a_minute() -> World {
    World::new(json!({"limits": true, "per_second": 3, "second_ms": 60_000, "retry_after_grace_ms": 0}))
}

/// The same after four calls, the last of which was refused.
fn exhausted() -> World {
    let world = three_a_minute();
    (0..4).for_each(|_| drop(listing(&world)));
    world
}

#[test]
fn headers_show_the_limits() {
    let reply = listing(&three_a_minute());
    let headers = ["x-ratelimit-limit-hour", "X-RateLimit-Remaining-Second"].map(|name| reply.header(name));
    assert_eq!(headers, [Some("5000"), Some("2")]);
}

#[test]
fn calls_over_the_limit_are_refused() {
    let world = three_a_minute();
    let statuses = [(); 4].map(|()| listing(&world).status);
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[test]
fn refusal_names_the_wait() {
    let world = three_a_minute();
    (0..3).for_each(|_| drop(listing(&world)));
    assert_eq!(listing(&world).header("Retry-After"), Some("20"));
}

#[test]
fn refused_call_is_a_warning() {
    assert_eq!(exhausted().violations("I6"), (0, 1));
}

#[test]
fn call_before_retry_after_ended_is_a_violation() {
    let world = exhausted();
    listing(&world);
    assert_eq!(world.violations("I6"), (1, 2));
}

#[test]
fn call_after_retry_after_is_allowed() {
    let world = exhausted();
    world.admin("POST", "clock/advance", &json!({"seconds": 25}));
    assert_eq!((listing(&world).status, world.violations("I6")), (200, (0, 1)));
}

#[test]
fn too_many_calls_in_flight_are_a_violation() {
    let world = World::new(json!({"limits": true, "max_in_flight": 1}));
    world.fault(json!({"operation": "listing", "count": 1}), json!({"kind": "hold"}));
    let refused = std::thread::scope(|scope| {
        let held = scope.spawn(|| listing(&world).status);
        until(|| world.metrics()["operations"]["listing"]["requests"] == 1);
        let refused = listing(&world).status;
        world.release();
        held.join().unwrap();
        refused
    });
    assert_eq!((refused, world.violations("I7")), (429, (1, 0)));
}

#[test]
fn connections_are_reused_without_delay() {
    let world = World::new(json!({"call_log_rows": 100}));
    let fastest = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(fastest_of_fifty(&world, thread))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).min()
    });
    // Nagle's algorithm would delay every answer by 40 ms; a busy machine delays only some.
    assert!(fastest.is_some_and(|time| time < Duration::from_millis(30)), "{fastest:?}");
}

#[test]
fn parallel_creates_are_all_kept() {
    let world = World::new(json!({}));
    std::thread::scope(|scope| (0..8).for_each(|thread| drop(scope.spawn(fastest_of_fifty(&world, thread)))));
    assert_eq!(world.admin("GET", "metrics?brief=1", &Value::Null)["codes"]["active_once"], 400);
}

/// Makes fifty creates over one connection; the time of the fastest.
fn fastest_of_fifty(world: &World, thread: u32) -> impl FnOnce() -> Duration + use<'_> {
    move || {
        let mut client = Client::new(&world.sim.url());
        let create = |n: u32| {
            let body = booking(&format!("GS-{thread}-{n}")).to_string();
            let began = Instant::now();
            client.send("POST", "/v1/reservations-v3", &world.headers(), body.as_bytes()).unwrap();
            began.elapsed()
        };
        (0..50).map(create).min().unwrap_or(Duration::MAX)
    }
}
