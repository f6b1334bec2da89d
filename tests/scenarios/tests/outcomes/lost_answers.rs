//! Creates with an unknown outcome: a lost, unreadable or late answer, or a server error. Guestly is asked by confirmation
//! code before another create, and ends with one reservation. The simulator's settle window is 1.8 s and its reads lag by
//! up to 0.6 s.

use guestly_scenarios::{CLOSED_PORT, SOON, Site, host};
use serde_json::{Value, json};

/// A site that pays one booking per effect; each effect hits one create of its booking.
fn site_with(effects: &[Value]) -> (Site, Vec<String>) {
    site_with_timeout("30s", effects)
}

/// The same, giving each call this long.
fn site_with_timeout(timeout: &str, effects: &[Value]) -> (Site, Vec<String>) {
    let site = Site::open_with(|options| {
        options.setting("guestly_sync.request_timeout", timeout).setting("guestly_sync.concurrency", "8")
    });
    let ids = host::make_bookings(&site, u32::try_from(effects.len()).unwrap_or_default());
    let rules: Vec<Value> = ids.iter().zip(effects).map(|(id, effect)| rule(&site.code(id), 1, effect)).collect();
    site.sim.fault(json!(rules));
    host::pay(&site, &ids);
    (site, ids)
}

fn rule(code: &str, nth: u32, effect: &Value) -> Value {
    json!({"match": {"operation": "create", "body_contains": code, "nth": nth}, "effect": effect})
}

/// Milliseconds between the end of the first create of a code and the arrival of the second.
fn pause_between_creates(calls: &[Value]) -> i64 {
    let creates: Vec<&Value> = calls.iter().filter(|call| call["operation"] == "create").collect();
    let micros = |call: &Value, name: &str| call[name].as_i64().unwrap_or_default();
    (micros(creates[1], "wall_us") - micros(creates[0], "wall_us") - micros(creates[0], "duration_us")) / 1000
}

/// One create and nothing but look-ups after it, the last of which was adopted.
fn assert_adopted(site: &Site, id: &str, effect: &Value) {
    let booking = site.booking(id);
    let operations = site.operations_of(&booking.code);
    let log = site.log_of(id);
    assert!(operations.len() > 1 && operations[0] == "create", "{effect}: {operations:?}");
    assert!(operations[1..].iter().all(|name| name == "search"), "{effect}: {operations:?}");
    assert_eq!(log.last().map(String::as_str), Some("look_up:adopted"), "{effect}: {log:?}");
    assert_eq!(log.len(), operations.len(), "{effect}: one row of the log per call: {log:?} and {operations:?}");
    assert!(booking.attempts <= 1, "{effect}: look-ups are no attempts: {booking:?}");
    let adopted =
        site.query_one::<bool>(&format!("SELECT adopted FROM guestly.reservations WHERE booking_id = '{id}'"));
    assert!(adopted, "{effect}");
}

#[test]
fn a_reservation_with_a_cut_answer_is_adopted() {
    let cut = |how: &str| json!({"kind": "drop_after_accept", "how": how});
    let effects = [cut("rst"), cut("fin"), cut("half_body"), cut("wrong_length"), cut("short_length")];
    let (site, ids) = site_with(&effects);
    site.wait_all_synced(SOON);
    ids.iter().zip(&effects).for_each(|(id, effect)| assert_adopted(&site, id, effect));
    site.assert_once_each(&ids);
}

#[test]
fn a_reservation_answered_with_500_is_adopted() {
    let error = |code: u32, body: &str| json!({"kind": "status", "code": code, "body": body, "committed": true});
    let effects =
        [error(500, "json"), error(502, "html"), error(503, "empty"), error(504, "string"), error(408, "json")];
    let (site, ids) = site_with(&effects);
    site.wait_all_synced(SOON);
    ids.iter().zip(&effects).for_each(|(id, effect)| assert_adopted(&site, id, effect));
    site.assert_once_each(&ids);
}

#[test]
fn a_reservation_with_an_unreadable_answer_is_adopted() {
    let shapes = ["invalid_json", "no_id", "nul_in_id", "invalid_utf8", "html", "huge_20mb"];
    let effects: Vec<Value> = shapes.iter().map(|shape| json!({"kind": "garbage", "shape": shape})).collect();
    let (site, ids) = site_with(&effects);
    site.wait_all_synced(SOON);
    ids.iter().zip(&effects).for_each(|(id, effect)| assert_adopted(&site, id, effect));
    site.assert_once_each(&ids);
}

#[test]
fn an_unusual_readable_success_needs_no_lookup() {
    let shapes = ["underscore_id", "extra_fields", "null_fields"];
    let effects: Vec<Value> = shapes.iter().map(|shape| json!({"kind": "garbage", "shape": shape})).collect();
    let (site, ids) = site_with(&effects);
    site.wait_all_synced(SOON);
    assert_eq!((site.sim.calls("create"), site.sim.calls("search")), (3, 0));
    site.assert_once_each(&ids);
}

#[test]
fn a_late_commit_is_found_before_a_second_create() {
    let effects = [
        json!({"kind": "late_commit", "ms": 900, "status": 502}),
        json!({"kind": "late_commit", "ms": 900, "how": "rst"}),
        // Longer than the request time-out of a second: the call is given up, but takes effect.
        json!({"kind": "hang", "ms": 1500, "when": "before"}),
        json!({"kind": "hang", "ms": 1500, "when": "after"}),
        json!({"kind": "slow_body", "bytes_per_s": 50}),
    ];
    let (site, ids) = site_with_timeout("1s", &effects);
    site.wait_all_synced(SOON);
    ids.iter().zip(&effects).for_each(|(id, effect)| assert_adopted(&site, id, effect));
    assert_eq!(site.sim.metrics()["creates_without_look_up"], 0);
    site.assert_once_each(&ids);
}

#[test]
fn a_create_without_effect_is_repeated_after_settle() {
    let effects = [
        json!({"kind": "drop_before_accept", "how": "rst"}),
        json!({"kind": "drop_before_accept", "how": "fin"}),
        json!({"kind": "status", "code": 500, "body": "html"}),
        json!({"kind": "status", "code": 503}),
    ];
    let (site, ids) = site_with(&effects);
    site.wait_all_synced(SOON);
    for (id, effect) in ids.iter().zip(&effects) {
        let booking = site.booking(id);
        let calls = site.calls_of(&booking.code);
        let operations = site.operations_of(&booking.code);
        let (first, last) = (operations.first(), operations.last());
        assert_eq!((first, last), (Some(&"create".to_owned()), Some(&"create".to_owned())), "{effect}: {operations:?}");
        let between = &operations[1..operations.len() - 1];
        assert!(between.len() >= 4 && between.iter().all(|name| name == "search"), "{effect}: {operations:?}");
        let pause = pause_between_creates(&calls);
        assert!(pause >= 1800, "{effect}: the second create came after {pause} ms");
        assert!((1..=2).contains(&booking.attempts), "{effect}: {booking:?}");
    }
    let metrics = site.sim.metrics();
    assert_eq!(
        (&metrics["creates_without_look_up"], metrics["operations"]["create"]["committed"].as_u64()),
        (&json!(0), Some(4))
    );
    site.assert_once_each(&ids);
}

#[test]
fn a_second_lost_create_is_looked_up_again() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 1);
    let code = site.code(&ids[0]);
    site.sim.fault(rule(&code, 1, &json!({"kind": "status", "code": 502})));
    site.sim.fault(rule(&code, 2, &json!({"kind": "drop_after_accept", "how": "rst"})));
    host::pay(&site, &ids);
    site.wait_all_synced(SOON);
    let operations = site.operations_of(&code);
    assert_eq!(operations.iter().filter(|name| *name == "create").count(), 2, "{operations:?}");
    assert_eq!(operations.last().map(String::as_str), Some("search"), "{operations:?}");
    assert_eq!(site.log_of(&ids[0]).last().map(String::as_str), Some("look_up:adopted"));
    assert_eq!(site.booking(&ids[0]).attempts, 2);
    site.assert_once_each(&ids);
}

#[test]
fn creates_that_always_get_lost_end_as_failed() {
    let site = Site::open_with(|options| options.setting("guestly_sync.max_attempts", "2"));
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "drop_before_accept"}}));
    let id = site.paid_booking();
    let error = site.wait_failed(&id);
    assert!(error.starts_with("unknown_outcome: given up after 2 tries, and Guestly does not hold it"), "{error}");
    let code = site.code(&id);
    let before = site.operations_of(&code);
    assert_eq!(before.iter().filter(|name| *name == "create").count(), 2, "{before:?}");
    assert_eq!(before.last().map(String::as_str), Some("search"), "nothing was looked for at the end: {before:?}");
    site.sim.clear_faults();
    assert_eq!(site.query_one::<i64>("SELECT guestly_retry_failed()"), 1);
    site.wait_all_synced(SOON);
    let after = site.operations_of(&code).split_off(before.len());
    assert_eq!(after, ["search", "create"], "a retry looks up first");
    site.assert_once_each(&[id]);
}

#[test]
fn a_refused_connection_needs_no_lookup() {
    let site = Site::open_with(|options| options.setting("guestly_sync.base_url", &format!("http://{CLOSED_PORT}/v1")));
    let id = site.paid_booking();
    site.wait_for(
        "two tries",
        SOON,
        "SELECT count(*) >= 2, count(*)::text FROM guestly.attempts WHERE outcome = 'not_sent' AND operation = 'create'",
    );
    site.wait_for(
        "an error that an operator understands",
        SOON,
        "SELECT guestly_sync_error LIKE 'unavailable: %' AND guestly_sync_status = 'pending', guestly_sync_error FROM bookings",
    );
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.attempts WHERE operation = 'look_up'"), 0);
    site.alter_system("guestly_sync.base_url", &format!("{}/v1", site.sim.url()));
    site.wait_all_synced(SOON);
    assert_eq!(site.operations_of(&site.code(&id)), ["create"]);
    assert_eq!(site.sim.calls("search"), 0);
    site.assert_once_each(&[id]);
}
