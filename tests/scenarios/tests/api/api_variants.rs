//! Three readings of what Guesty does not document: strictly as documented, as observed, and the worst case of each. In
//! each of them every booking is created once.

use guestly_scenarios::sim::{Config, Knobs, Profile};
use guestly_scenarios::{SOON, Sim, Site, host};
use serde_json::json;

/// A site on a simulator of this profile, its lags a fiftieth of the real ones, without limits.
fn site(profile: Profile) -> Site {
    let knobs = Knobs { lag_scale: 0.02, ..Knobs::of(profile) };
    let sim = Sim::start(Config { port: 0, knobs }).without_limits();
    Site::open_on(sim, |options| {
        options
            .setting("guestly_sync.rate_per_second", "0")
            .setting("guestly_sync.rate_per_minute", "0")
            .setting("guestly_sync.rate_per_hour", "0")
            .setting("guestly_sync.record_payment", "on")
    })
}

/// Lost answers, late ones and failures, then changes, and payments throughout.
fn live(profile: Profile) {
    let site = site(profile);
    let mut hits =
        vec![json!({"kind": "drop_after_accept", "how": "rst"}), json!({"kind": "drop_before_accept", "how": "fin"})];
    hits.push(json!({"kind": "late_commit", "ms": 700, "status": 502}));
    hits.push(json!({"kind": "status", "code": 500, "committed": true}));
    let ids = host::make_bookings(&site, 12);
    let rules: Vec<_> = ids
        .iter()
        .zip(hits.iter().cycle().take(8))
        .map(|(id, effect)| json!({"match": {"operation": "create", "body_contains": site.code(id), "nth": 1}, "effect": effect}))
        .collect();
    site.sim.fault(json!(rules));
    host::pay(&site, &ids);
    site.wait_all_synced(SOON * 2);
    site.assert_once_each(&ids);
    site.sql(&format!("UPDATE bookings SET adults = adults + 1 WHERE id = '{}'", ids[0]));
    site.sql(&format!("UPDATE bookings SET status = 'cancelled' WHERE id = '{}'", ids[1]));
    site.wait_for("both to be in flight", SOON, "SELECT NOT EXISTS (SELECT FROM guestly.changes), 'noted'");
    site.wait_drained();
    let adults = site.row(&ids[0])["adults"].clone();
    assert_eq!(site.only_reservation(&ids[0])["numberOfGuests"]["numberOfAdults"], adults);
    assert_eq!(site.only_reservation(&ids[1])["status"], "canceled");
    for id in &ids {
        let payments = site.only_reservation(id)["payments"].as_array().map(Vec::len);
        assert_eq!(payments, Some(1), "{id}: {:?}", site.log_of(id));
    }
    site.sim.assert_no_violation();
}

#[test]
fn documented_behaviour_creates_each_booking_once() {
    live(Profile::Documented);
}

#[test]
fn observed_behaviour_creates_each_booking_once() {
    live(Profile::Observed);
}

#[test]
fn worst_case_behaviour_creates_each_booking_once() {
    live(Profile::Hostile);
}
