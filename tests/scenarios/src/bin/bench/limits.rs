//! How much of what the API allows is used, and whether it ever had to say no. Called by `main`.

use crate::plan::Plan;
use crate::row::{Goal, Row};
use crate::scene::{self, micros};
use guestly_scenarios::{Options, Site};
use serde_json::json;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

const NAME: &str = "at the limits";

/// Calls in a second, a minute and an hour; 0 is no limit.
#[derive(Clone, Copy)]
struct Windows {
    case: &'static str,
    sizes: [u32; 3],
    seconds: u32,
}

/// The API's own, the first alone, and an hour so short of calls that it decides within the run.
const CASES: [Windows; 3] = [
    Windows { case: "15/s", sizes: [15, 0, 0], seconds: 30 },
    Windows { case: "15/s, 120/min, 5,000/h", sizes: [15, 120, 5_000], seconds: 120 },
    Windows { case: "15/s, 120/min, 180/h", sizes: [15, 120, 180], seconds: 120 },
];

/// The figure. All cases and rounds run side by side, each on a site of its own: none of them has much to do.
pub fn measure(plan: &Plan) -> Vec<Row> {
    let cases: Vec<Windows> = plan.size(CASES.to_vec(), vec![Windows { seconds: 5, ..CASES[0] }]);
    let runs: Vec<Vec<(f64, f64)>> = thread::scope(|scope| {
        let rounds = |case: &Windows| -> Vec<_> {
            let case = *case;
            (0..plan.rounds()).map(|_| scope.spawn(move || round(case))).collect()
        };
        let cases: Vec<_> = cases.iter().map(rounds).collect();
        let end = |run: ScopedJoinHandle<_>| run.join().unwrap_or_else(|_| panic!("a round failed"));
        cases.into_iter().map(|rounds| rounds.into_iter().map(end).collect()).collect()
    });
    let row = |(case, runs): (&Windows, &Vec<(f64, f64)>)| {
        let used = runs.iter().map(|(used, _)| *used).collect();
        Row::new(NAME, &format!("used of {}", case.case), "%", used).limit("allowed", 100.0).goal(Goal::AtLeast(97.0))
    };
    let mut rows: Vec<Row> = cases.iter().zip(&runs).map(row).collect();
    let refused = runs.iter().flatten().map(|(_, refused)| *refused).collect();
    let refused = Row::new(NAME, "calls answered with 429, of each site", "", refused).goal(Goal::Never);
    assert!(!plan.smoke || refused.samples.iter().all(|count| *count == 0.0), "a call was answered with 429");
    rows.push(refused);
    rows
}

/// Pays far more than may go, and counts: the share of the allowed calls that came, in percent, and the refused ones.
fn round(windows: Windows) -> (f64, f64) {
    let [second, minute, hour] = windows.sizes;
    let knobs =
        json!({"lag_scale": 0.02, "per_second": second, "per_minute": minute, "per_hour": hour, "latency_ms": 20});
    let settings = |options: Options| {
        let settings = [("rate_per_second", second), ("rate_per_minute", minute), ("rate_per_hour", hour)];
        let all = settings.into_iter().chain([("quota_share", 100), ("concurrency", 15)]);
        all.fold(options.durable(), |options, (name, value)| {
            options.setting(&format!("guestly_sync.{name}"), &value.to_string())
        })
    };
    let site = Site::open_on(scene::simulator(&knobs), settings);
    scene::furnish(&site);
    scene::stock(&site, 1_500);
    scene::flip(&mut site.client(), 1_500);
    site.sim.wait_for_calls("token", 1, scene::PATIENCE);
    let began = micros();
    let allowed = |seconds: f64| {
        let windows = [(second, 1.0), (minute, 60.0), (hour, 3600.0)].into_iter().filter(|(size, _)| *size > 0);
        windows.map(|(size, window)| f64::from(size) * (1.0 + seconds / window)).fold(f64::MAX, f64::min).floor()
    };
    // The measured interval itself: the calls that come in it are compared with what the limits allow.
    thread::sleep(Duration::from_secs(windows.seconds.into()));
    let (until, calls) = (micros(), site.sim.ledger(None));
    let first = calls.iter().filter_map(|call| call["wall_us"].as_f64()).fold(began, f64::min);
    let came = calls.iter().filter(|call| call["wall_us"].as_f64().is_some_and(|at| at <= until)).count();
    site.sim.assert_no_violation();
    let metrics = site.sim.metrics();
    (100.0 * came as f64 / allowed((until - first) / 1e6), metrics["answered_429"].as_f64().unwrap_or(f64::NAN))
}
