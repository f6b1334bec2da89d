//! Prefetch: with a backlog the worker claims as many bookings again as may be in flight, so that a finished call is
//! replaced at once. Claimed but unsent bookings can be released.

use guestly_scenarios::{Options, SOON, Site};
use serde_json::json;

/// A site with `flight` calls in flight, held by the simulator, as many bookings claimed behind them, and some more.
fn prefetched(flight: u32) -> (Site, Vec<String>) {
    let settings = |options: Options| options.setting("guestly_sync.concurrency", &flight.to_string());
    let site = Site::open_with(settings);
    site.sim.hold("create", "before");
    let ids = site.paid_bookings(flight * 4);
    site.sim.wait_for_calls("create", flight.into(), SOON);
    let claimed =
        format!("SELECT count(*) = {}, count(*)::text FROM guestly.queue WHERE state = 'sending'", flight * 2);
    site.wait_for("as many prefetched", SOON, &claimed);
    assert_eq!(site.sim.calls("create"), u64::from(flight), "more in flight than allowed");
    (site, ids)
}

/// The booking that was claimed last: it is sent last.
fn last_claimed(site: &Site) -> String {
    site.query_one("SELECT booking_id FROM guestly.queue WHERE state = 'sending' ORDER BY claim_id DESC LIMIT 1")
}

#[test]
fn a_pause_releases_prefetched_bookings() {
    let (site, ids) = prefetched(2);
    site.sql("SELECT guestly_pause('maintenance')");
    site.sim.release();
    let back = "SELECT count(*) = 6 AND bool_and(state = 'ready' AND attempts = 0 AND claim_id IS NULL), \
                string_agg(concat_ws(' ', state, attempts, claim_id), '; ') FROM guestly.queue";
    site.wait_for("the others to be queued again", SOON, back);
    assert_eq!(site.sim.calls("create"), 2, "sent after the pause");
    site.sql("SELECT guestly_resume()");
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    assert_eq!(site.sim.calls("create"), 8);
}

#[test]
fn a_booking_cancelled_while_prefetched_is_not_created() {
    let (site, _) = prefetched(1);
    let id = last_claimed(&site);
    site.update(&id, "status = 'cancelled'");
    site.sim.release();
    site.wait_at_rest();
    assert_eq!(site.log_of(&id), ["plan:withdrawn"]);
    assert_eq!(site.sim.calls("create"), 3);
    assert!(site.sim.reservations_of(&site.code(&id)).is_empty());
}

#[test]
fn a_booking_changed_while_prefetched_is_created_as_changed() {
    let (site, ids) = prefetched(1);
    let id = last_claimed(&site);
    site.update(&id, "adults = 1, children = 0, infants = 0");
    site.sim.release();
    site.wait_all_synced(SOON);
    site.wait_at_rest();
    site.assert_once_each(&ids);
    assert_eq!(site.log_of(&id), ["create:created"]);
    assert_eq!(site.only_reservation(&id)["guestsCount"], json!(1));
}

#[test]
fn bookings_prefetched_by_a_killed_worker_are_created_once() {
    let (site, ids) = prefetched(2);
    site.kill_worker(&site, "KILL");
    site.sim.release();
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    site.sim.assert_no_violation();
}

#[test]
fn bookings_prefetched_before_a_clean_stop_need_no_lookup() {
    let (site, ids) = prefetched(2);
    let last: Vec<String> =
        site.query_all("SELECT booking_id FROM guestly.queue WHERE state = 'sending' ORDER BY claim_id DESC LIMIT 2");
    site.kill_worker(&site, "TERM");
    site.sim.release();
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    for id in last {
        assert_eq!(site.log_of(&id), ["create:created"]);
    }
}

#[test]
fn a_queue_row_deleted_while_prefetched_sends_nothing() {
    let (site, ids) = prefetched(1);
    let id = last_claimed(&site);
    site.sql("DELETE FROM guestly.queue WHERE claim_id = (SELECT max(claim_id) FROM guestly.queue)");
    site.sim.release();
    site.wait_drained();
    assert_eq!(site.sim.calls("create"), 3);
    // The sweep finds the booking again, and it is looked up.
    site.alter_system("guestly_sync.poll_interval", "200ms");
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    let log = site.log_of(&id);
    assert_eq!((log[0].as_str(), log[log.len() - 1].as_str()), ("look_up:not_found", "create:created"), "{log:?}");
}

#[test]
fn retry_after_releases_prefetched_bookings() {
    let settings = |options: Options| options.setting("guestly_sync.concurrency", "1");
    let site = Site::open_with(settings);
    site.sim.fault(json!([
        {"match": {"operation": "create", "nth": 1}, "effect": {"kind": "latency", "ms": 1500}},
        {"match": {"operation": "create", "nth": 1}, "effect": {"kind": "rate_limit", "retry_after": "2"}}
    ]));
    let ids = site.paid_bookings(4);
    site.wait_for("one more claim", SOON, "SELECT count(*) = 2, '' FROM guestly.queue WHERE state = 'sending'");
    let back = "SELECT count(*) = 4 AND bool_and(state <> 'sending' AND attempts = 0), \
                string_agg(concat_ws(' ', state, attempts), '; ') FROM guestly.queue";
    site.wait_for("all to be queued again", SOON, back);
    assert_eq!(site.sim.calls("create"), 1, "sent after the refusal");
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    site.sim.assert_no_violation();
}
