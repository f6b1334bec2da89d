//! Rate limits of the account: every window, our share, usage by other clients, restarts. With a backlog nearly all allowed
//! calls are used and none is refused. The simulator's buckets are as large as the settings say.

use guestly_scenarios::assertions::{assert_once_each, wait_all_synced};
use guestly_scenarios::{Options, SOON, Sim, Site, StopMode, host, wait_until};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use ureq::Agent;

const LONG: Duration = Duration::from_secs(120);

/// A simulator with these limits per second, minute and hour; 0 is none.
fn limited([second, minute, hour]: [u32; 3]) -> Sim {
    let sim = Sim::quick();
    sim.knobs(json!({"per_second": second, "per_minute": minute, "per_hour": hour}));
    sim
}

fn rates(options: Options, [second, minute, hour]: [u32; 3], share: u32) -> Options {
    options
        .setting("guestly_sync.rate_per_second", &second.to_string())
        .setting("guestly_sync.rate_per_minute", &minute.to_string())
        .setting("guestly_sync.rate_per_hour", &hour.to_string())
        .setting("guestly_sync.quota_share", &share.to_string())
}

/// The part of the allowed calls that was used between the first and the last call, tokens included: a bucket allows
/// its size at once and refills by `per_second`.
fn used_part(metrics: &Value, size: f64, per_second: f64) -> f64 {
    let micros = |name: &str| metrics[name].as_f64().unwrap_or_default();
    let seconds = (micros("last_us") - micros("first_us")) / 1e6;
    metrics["requests"].as_f64().unwrap_or_default() / (size + per_second * seconds)
}

fn assert_polite(sim: &Sim, in_flight: u64) {
    let metrics = sim.metrics();
    assert_eq!((&metrics["answered_429"], &metrics["rate_limited"]), (&json!(0), &json!(0)));
    assert!(metrics["max_in_flight"].as_u64().is_some_and(|most| most <= in_flight), "{}", metrics["max_in_flight"]);
    sim.assert_no_violation();
}

/// The best of three rounds counts, because a busy machine delays calls.
fn assert_used(least: f64, round: impl Fn() -> f64) {
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(round());
        if seen.iter().any(|part| (least..=1.02).contains(part)) {
            return;
        }
    }
    panic!("of the allowed calls these parts were used: {seen:.3?}");
}

#[test]
fn a_backlog_uses_the_limit_per_second_without_a_429() {
    assert_used(0.95, || {
        let site = Site::open_on(limited([10, 0, 0]), |options| rates(options, [10, 0, 0], 100));
        let ids = site.paid_bookings(120);
        site.wait_all_synced(LONG);
        assert_polite(&site.sim, 4);
        site.assert_once_each(&ids);
        let attempts = site.query_one::<i64>("SELECT count(*) FROM bookings WHERE guestly_sync_attempts <> 1");
        assert_eq!(attempts, 0, "waiting for quota used an attempt");
        used_part(&site.sim.metrics(), 10.0, 10.0)
    });
}

#[test]
fn a_backlog_uses_its_share_of_the_limit_per_minute() {
    assert_used(0.95, || {
        let site = Site::open_on(limited([15, 120, 0]), |options| rates(options, [15, 120, 0], 50));
        let ids = site.paid_bookings(76);
        site.wait_all_synced(LONG);
        assert_polite(&site.sim, 4);
        site.assert_once_each(&ids);
        // Half of the second window comes first, so the minute's burst is not used at once; both together are the bound.
        used_part(&site.sim.metrics(), 60.0, 1.0)
    });
}

#[test]
fn retries_count_against_the_limits() {
    let site = Site::open_on(limited([5, 0, 0]), |options| rates(options, [5, 0, 0], 100));
    site.sim.fault(
        json!({"match": {"operation": "create", "prob": 0.3}, "effect": {"kind": "drop_after_accept", "how": "rst"}}),
    );
    let ids = site.paid_bookings(30);
    site.wait_all_synced(LONG);
    assert!(site.sim.calls("search") > 0, "no lookup is needed");
    assert_polite(&site.sim, 4);
    site.assert_once_each(&ids);
}

#[test]
fn an_exhausted_hour_limit_survives_restarts() {
    let site = Site::open_on(limited([0, 0, 40]), |options| rates(options, [0, 0, 40], 50));
    let ids = site.paid_bookings(30);
    // Half of forty; the token was one of them.
    wait_until("twenty calls", SOON, || {
        let seen = site.sim.metrics()["requests"].as_u64();
        (seen == Some(20), format!("{seen:?}"))
    });
    for mode in [StopMode::Fast, StopMode::Immediate] {
        site.stop(mode);
        site.start_again();
        site.wait_for_worker(&site);
        site.wait_for(
            "the baseline to be recorded",
            SOON,
            "SELECT quota_hour < 1, quota_hour::text FROM guestly.status",
        );
    }
    // A new booking wakes the worker but is not sent.
    let more = site.paid_bookings(1);
    site.wait_for("it to be queued", SOON, "SELECT ready = 12, ready::text FROM guestly.status");
    site.worker_took_a_turn();
    assert_eq!(site.sim.metrics()["requests"], 20, "the restart made new calls");
    assert_eq!(site.query_one::<i64>("SELECT max(attempts)::bigint FROM guestly.queue"), 0);
    // With a backlog this is no problem to report.
    let online =
        "SELECT concat_ws(': ', status, detail, fix) FROM guestly_doctor(online => true) WHERE check_name = 'online'";
    let said: String = site.query_one(online);
    assert!(
        said.starts_with("warn: the rate limit allows no call now")
            && said.ends_with(": Wait: sending resumes automatically."),
        "{said}"
    );
    site.alter_system("guestly_sync.rate_per_hour", "0");
    site.sim.knobs(json!({"per_hour": 0}));
    site.wait_all_synced(SOON);
    assert_polite(&site.sim, 4);
    site.assert_once_each(&[ids, more].concat());
}

#[test]
fn calls_cut_by_a_stop_count_against_the_limits() {
    // Guestly reports no limits: only the local count is known.
    let site = Site::open_with(|options| rates(options, [0, 0, 60], 100));
    site.sim.hold("create", "before");
    let ids = site.paid_bookings(4);
    site.sim.wait_for_calls("create", 4, SOON);
    site.stop(StopMode::Fast);
    site.sim.release();
    site.start_again();
    site.wait_all_synced(SOON);
    let (left, calls): (f64, _) =
        (site.query_one("SELECT quota_hour FROM guestly.status"), site.sim.metrics()["requests"].as_f64().unwrap());
    // One token is refilled per minute.
    assert!(left <= 60.0 - calls + 1.5, "{left} of 60 are left after {calls} calls");
    assert_polite(&site.sim, 4);
    site.assert_once_each(&ids);
}

#[test]
fn usage_by_other_clients_is_read_from_the_headers() {
    let site = Site::open_on(limited([0, 60, 0]), |options| rates(options, [0, 60, 0], 50));
    others_call(&site.sim, 50);
    let ids = site.paid_bookings(12);
    site.wait_all_synced(LONG);
    let metrics = site.sim.metrics();
    let micros = |name: &str| metrics["operations"]["create"][name].as_i64().unwrap_or_default();
    let took = micros("last_us") - micros("first_us");
    assert!(took > 8_000_000, "half of what was left are five calls, the rest waits for refill; it took {took} µs");
    assert_polite(&site.sim, 4);
    site.assert_once_each(&ids);
}

/// Another program of the same account, with a token of its own, searches so many times.
fn others_call(sim: &Sim, calls: u32) {
    let agent: Agent = Agent::config_builder().proxy(None).build().into();
    let keys = [("grant_type", "client_credentials"), ("scope", "open-api"), ("client_id", "sim-client")];
    let form = keys.into_iter().chain([("client_secret", "sim-secret")]);
    let asked = agent.post(format!("{}/oauth2/token", sim.url())).send_form(form);
    let answer = asked.and_then(|mut answer| answer.body_mut().read_json::<Value>()).unwrap_or_default();
    let token = answer["access_token"].as_str().unwrap_or_default();
    for _ in 0..calls {
        let search = format!("{}/v1/reservations-v3/search?limit=1", sim.url());
        agent
            .get(search)
            .header("Authorization", format!("Bearer {token}"))
            .call()
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_lower_limit_is_learned_from_the_headers() {
    let site = Site::open_on(limited([0, 30, 0]), |options| rates(options, [0, 120, 0], 100));
    let ids = site.paid_bookings(34);
    site.wait_all_synced(LONG);
    assert_polite(&site.sim, 4);
    site.assert_once_each(&ids);
}

#[test]
fn two_databases_share_the_limits_of_one_account() {
    let sim = limited([10, 0, 0]);
    let site = Site::open_on(sim, |options| rates(options, [10, 0, 0], 50));
    site.sql("CREATE DATABASE second");
    let second = site.database("second");
    host::set_up(&second);
    // References of the two databases must differ: they are the confirmation codes.
    second.sql("SELECT setval('sample.booking_number', 100000)");
    site.wait_for_worker(&second);
    let theirs = host::make_bookings(&second, 40);
    let ours = site.paid_bookings(40);
    host::pay(&second, &theirs);
    wait_all_synced(&second, LONG);
    site.wait_all_synced(LONG);
    assert_polite(&site.sim, 8);
    assert_once_each(&second, &site.sim, &theirs);
    site.assert_once_each(&ours);
    let mut calls: HashMap<String, Vec<i64>> = HashMap::new();
    for row in site.sim.call_log(None) {
        if let (Some(bearer), Some(at)) = (row["bearer"].as_str(), row["wall_us"].as_i64()) {
            calls.entry(bearer.to_owned()).or_default().push(at);
        }
    }
    assert_eq!(calls.len(), 2, "each has a token of its own");
    for (bearer, mut times) in calls {
        times.sort_unstable();
        let seconds = times.last().zip(times.first()).map_or(0, |(last, first)| last - first) as f64 / 1e6;
        // Its burst, its refill, and one call because the clocks do not start together.
        let most = 5.0 + 5.0 * seconds + 1.0;
        assert!(
            times.len() as f64 <= most,
            "{bearer} made {} calls in {seconds:.1} s, its share were {most:.1}",
            times.len()
        );
    }
}

#[test]
fn calls_in_flight_never_exceed_concurrency() {
    let site = Site::open_on(limited([0, 0, 0]), |options| {
        rates(options, [0, 0, 0], 100).setting("guestly_sync.concurrency", "15")
    });
    site.sim.hold("create", "before");
    let ids = site.paid_bookings(300);
    site.sim.wait_for_calls("create", 15, SOON);
    site.sim.fault(json!({"match": {"path": "/v1/"}, "effect": {"kind": "latency", "ms": 20, "max_ms": 60}}));
    site.sim.release();
    site.wait_all_synced(LONG);
    // Guestly refuses the sixteenth at once, and counts it.
    assert_polite(&site.sim, 15);
    assert_eq!(
        site.sim.metrics()["max_in_flight"],
        15,
        "a thread that is there for mails, or none that is there for calls"
    );
    site.assert_once_each(&ids);
}
