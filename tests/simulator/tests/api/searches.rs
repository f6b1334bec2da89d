//! Tests of searches and reads: filters, pages, and the lag of the index.

use crate::support::{OPEN, Reply, World, until};
use serde_json::{Value, json};

fn search(world: &World, query: &str) -> Reply {
    world.call("GET", &format!("/v1/reservations-v3/search?{query}"), &Value::Null)
}

/// The number of results.
fn count(world: &World, query: &str) -> usize {
    search(world, query).json()["results"].as_array().unwrap().len()
}

fn two_reservations() -> World {
    let world = World::new(json!({}));
    world.create("GS-1").unwrap();
    world.create("GS-2").unwrap();
    world
}

#[test]
fn search_finds_a_reservation_by_code() {
    let world = World::new(json!({}));
    let id = world.created_id("GS-1");
    let found = world.search("GS-1");
    assert_eq!((found.len(), &found[0]["reservationId"]), (1, &json!(id)));
}

#[test]
fn search_shows_the_dates() {
    let world = two_reservations();
    assert_eq!(world.search("GS-1")[0]["checkInDateLocalized"], "2099-05-10");
}

#[test]
fn search_of_another_code_finds_nothing() {
    assert!(two_reservations().search("GS-3").is_empty());
}

#[test]
fn read_by_id_shows_the_origin_id() {
    let world = World::new(json!({}));
    let id = world.created_id("GS-1");
    let read = world.call("GET", &format!("/v1/reservations-v3?reservationIds%5B%5D={id}"), &Value::Null).json();
    assert_eq!((&read[0]["_id"], &read[0]["originId"]), (&json!(id), &json!("bk-GS-1")));
}

#[test]
fn valid_reads_violate_nothing() {
    let world = two_reservations();
    world.search("GS-1");
    assert_eq!(world.violation_counts(), json!({}));
}

#[test]
fn index_lags_behind_the_create() {
    let world = World::new(json!({"lag_scale": 1.0, "visible_ms": [20, 20], "index_ms": [20, 20]}));
    world.create("GS-1").unwrap();
    let at_once = world.search("GS-1").len();
    until(|| world.search("GS-1").len() == 1);
    assert_eq!(at_once, 0);
}

#[test]
fn invisible_reservation_cannot_be_updated() {
    let world = World::new(json!({"lag_scale": 1.0, "visible_ms": [60_000, 60_000]}));
    let id = world.created_id("GS-1");
    assert_eq!(world.update(&id, "notes", &json!({"notes": {"other": "x"}})).status, 404);
}

#[test]
fn unsupported_searches_are_refused() {
    let world = World::new(json!({}));
    let queries =
        ["filter[originId]=1", "limit=101", "sort=guest", "filter[checkIn][eq]=tomorrow", "filter[status][gt]=x"];
    assert_eq!(queries.map(|query| search(&world, query).status), [400; 5]);
}

#[test]
fn filters_are_combined() {
    let stay = format!("filter[listingId]={OPEN}&filter[checkIn]=2099-05-10&filter[checkOut]=2099-05-14");
    let query = format!("{stay}&filter[createdAt][gte]=2020-01-01T00:00:00Z&limit=100");
    assert_eq!(count(&two_reservations(), &query), 2);
}

#[test]
fn time_filter_excludes() {
    assert_eq!(count(&two_reservations(), "filter[createdAt][lt]=2020-01-01T00:00:00Z"), 0);
}

#[test]
fn limit_bounds_the_page() {
    assert_eq!(count(&two_reservations(), "filter[confirmationCode]=GS-1,GS-2&limit=1"), 1);
}

#[test]
fn sorted_page_says_that_there_is_more() {
    let page = search(&two_reservations(), "limit=1&sort=_id").json();
    let found = (&page["results"][0]["confirmationCode"], &page["pagination"]["hasMore"]);
    assert_eq!(found, (&json!("GS-1"), &json!(true)));
}

#[test]
fn edit_in_the_ui_shows_in_searches() {
    let world = two_reservations();
    world.admin("POST", "reservations/GS-1", &json!({"status": "canceled"}));
    assert_eq!(world.search("GS-1")[0]["status"], "canceled");
}
