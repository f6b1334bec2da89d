//! The share of the API's rate limits that is used, and calls that were refused for their rate. Called by `main`.

use crate::config::Config;
use crate::fixture;
use crate::measurement::{Measurement, Target};
use crate::workload::{TIMEOUT, insert_unpaid, micros, pay};
use guestly_scenarios::{Options, Site};
use serde_json::json;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// The benchmark's name.
pub const NAME: &str = "at the limits";

/// More than any case allows.
const BOOKINGS: u32 = 1_500;

/// Rate limits: calls per second, minute and hour; 0 is no limit.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    limits: [u32; 3],
    seconds: u32,
}

/// The first window alone, the API's own limits, and an hour so short of calls that it decides within the run.
const CASES: [Case; 3] = [
    Case { name: "15/s", limits: [15, 0, 0], seconds: 30 },
    Case { name: "15/s, 120/min, 5,000/h", limits: [15, 120, 5_000], seconds: 120 },
    Case { name: "15/s, 120/min, 180/h", limits: [15, 120, 180], seconds: 120 },
];

/// The result of one run.
#[derive(Clone, Copy)]
struct Run {
    /// Calls as a percentage of those allowed.
    used: f64,
    /// Calls answered with 429.
    refused: f64,
}

/// Measures all cases and rounds side by side, each on its own site: none of them has much to do.
pub fn measure(config: &Config) -> Vec<Measurement> {
    let cases: Vec<Case> = config.size(CASES.to_vec(), vec![Case { seconds: 5, ..CASES[0] }]);
    let runs: Vec<Vec<Run>> = thread::scope(|scope| {
        let start = |case: &Case| -> Vec<_> {
            let case = *case;
            (0..config.rounds()).map(|_| scope.spawn(move || run(case))).collect()
        };
        let started: Vec<_> = cases.iter().map(start).collect();
        let join = |run: ScopedJoinHandle<_>| run.join().unwrap_or_else(|_| panic!("a round failed"));
        started.into_iter().map(|rounds| rounds.into_iter().map(join).collect()).collect()
    });
    let used = |(case, runs): (&Case, &Vec<Run>)| {
        let samples = runs.iter().map(|run| run.used).collect();
        let used = Measurement::new(NAME, &format!("used of {}", case.name), "%", samples);
        used.baseline("allowed", 100.0).target(Target::AtLeast(97.0))
    };
    let mut measurements: Vec<Measurement> = cases.iter().zip(&runs).map(used).collect();
    let refused = runs.iter().flatten().map(|run| run.refused).collect();
    let refused = Measurement::new(NAME, "calls answered with 429, per site", "", refused).target(Target::Never);
    assert!(!config.smoke || refused.meets(Target::Never), "a call was answered with 429");
    measurements.push(refused);
    measurements
}

/// Pays far more bookings than may be sent, and counts the calls.
fn run(case: Case) -> Run {
    let [second, minute, hour] = case.limits;
    let knobs =
        json!({"lag_scale": 0.02, "per_second": second, "per_minute": minute, "per_hour": hour, "latency_ms": 20});
    let settings = |options: Options| {
        let settings = [("rate_per_second", second), ("rate_per_minute", minute), ("rate_per_hour", hour)];
        let all = settings.into_iter().chain([("quota_share", 100), ("concurrency", 15)]);
        all.fold(options.durable(), |options, (name, value)| {
            options.setting(&format!("guestly_sync.{name}"), &value.to_string())
        })
    };
    let site = Site::open_on(fixture::start_simulator(&knobs), settings);
    fixture::add_flats(&site);
    insert_unpaid(&site, BOOKINGS);
    pay(&mut site.client(), BOOKINGS);
    site.sim.wait_for_calls("token", 1, TIMEOUT);
    let began = micros();
    // The interval that is measured, not a wait for a condition.
    thread::sleep(Duration::from_secs(case.seconds.into()));
    let (ended, calls) = (micros(), site.sim.call_log(None));
    let arrivals = || calls.iter().filter_map(|call| call["wall_us"].as_f64());
    let first = arrivals().fold(began, f64::min);
    let arrived = arrivals().filter(|at| *at <= ended).count();
    site.sim.assert_no_violation();
    let refused = site.sim.metrics()["answered_429"].as_f64().unwrap_or(f64::NAN);
    Run { used: 100.0 * arrived as f64 / allowed(case.limits, (ended - first) / 1e6), refused }
}

/// The calls that continuously refilling buckets allow in so many seconds, full at the beginning.
fn allowed(limits: [u32; 3], seconds: f64) -> f64 {
    let windows = limits.into_iter().zip([1.0, 60.0, 3600.0]).filter(|(limit, _)| *limit > 0);
    windows.map(|(limit, window)| f64::from(limit) * (1.0 + seconds / window)).fold(f64::MAX, f64::min).floor()
}
