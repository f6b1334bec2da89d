//! Tests of tokens: the form of the request, the cap, expiry and revocation.

use crate::support::{Reply, World};
use serde_json::{Value, json};

const FORM: &str = "application/x-www-form-urlencoded";

fn request(content_type: &str, body: &str) -> Reply {
    let headers = format!("Content-Type: {content_type}\r\n");
    World::new(json!({})).client().send("POST", "/oauth2/token", &headers, body.as_bytes()).unwrap()
}

/// A world whose token has expired.
fn expired() -> World {
    let world = World::new(json!({}));
    world.admin("POST", "clock/advance", &json!({"seconds": 86_401}));
    world
}

#[test]
fn wrong_secret_is_refused() {
    let reply = request(FORM, "grant_type=client_credentials&scope=open-api&client_id=sim-client&client_secret=no");
    assert_eq!((reply.status, &reply.json()["error"]), (401, &json!("invalid_client")));
}

#[test]
fn json_is_refused() {
    assert_eq!(request("application/json", "{}").status, 400);
}

#[test]
fn other_grant_types_are_refused() {
    assert_eq!(request(FORM, "grant_type=password").status, 400);
}

#[test]
fn five_tokens_a_day() {
    let world = World::new(json!({}));
    let statuses: Vec<u16> = (0..5).map(|_| world.fetch_token().status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 429]);
}

#[test]
fn token_cap_names_the_wait() {
    let world = World::new(json!({"token_cap": 1}));
    let wait: u64 = world.fetch_token().header("Retry-After").unwrap().parse().unwrap();
    assert!((86_300..=86_400).contains(&wait), "{wait}");
}

#[test]
fn token_cap_ends_after_a_day() {
    let world = World::new(json!({"token_cap": 1}));
    world.admin("POST", "clock/advance", &json!({"seconds": 86_400}));
    assert_eq!(world.fetch_token().status, 200);
}

#[test]
fn request_with_a_usable_token_is_a_warning() {
    let world = World::new(json!({}));
    world.fetch_token();
    assert_eq!(world.violations("I5"), (0, 1));
}

#[test]
fn request_after_a_refusal_is_allowed() {
    let world = expired();
    world.read_status();
    world.fetch_token();
    assert_eq!(world.violations("I5"), (0, 0));
}

#[test]
fn expired_token_is_refused() {
    assert_eq!(expired().read_status(), 403);
}

#[test]
fn first_call_with_an_expired_token_is_allowed() {
    let world = expired();
    world.read_status();
    assert_eq!(world.violations("I12"), (0, 0));
}

#[test]
fn revoked_token_is_refused() {
    let world = World::new(json!({}));
    world.admin("POST", "tokens/revoke", &Value::Null);
    assert_eq!(world.read_status(), 401);
}

#[test]
fn unknown_token_is_a_violation() {
    let mut world = World::new(json!({}));
    world.token = "never issued".into();
    assert_eq!((world.read_status(), world.violations("I12")), (401, (1, 0)));
}

#[test]
fn token_service_can_be_down() {
    let world = World::new(json!({}));
    world.fault(json!({"operation": "token"}), json!({"kind": "oauth_down"}));
    assert_eq!(world.fetch_token().status, 503);
}

#[test]
fn rule_expires_the_token() {
    let world = World::new(json!({}));
    world.fault(json!({"operation": "listing", "nth": 1}), json!({"kind": "token_expire_now"}));
    assert_eq!(world.read_status(), 403);
}
