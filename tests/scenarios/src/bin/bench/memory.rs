//! The worker's own memory, and its threads. Called by `main`.

use crate::plan::Plan;
use crate::process::{private_megabytes, threads};
use crate::row::{Goal, Row, median};
use crate::scene;

const NAME: &str = "memory";

/// The figure.
pub fn measure(plan: &Plan) -> Vec<Row> {
    let (first, second) = plan.size((10_000, 90_000), (200, 800));
    let mut found: [Vec<f64>; 4] = Default::default();
    for _ in 0..plan.rounds() {
        let site = scene::open(|options| options.setting("guestly_sync.concurrency", "15"));
        let worker = scene::worker(&site);
        let mut client = site.client();
        found[0].push(private_megabytes(worker));
        for (place, count) in [(1, first), (2, second)] {
            scene::stock(&site, count);
            scene::drain(&mut client, count);
            found[place].push(private_megabytes(worker));
        }
        found[3].push(threads(worker) as f64);
        scene::check(&site);
        assert!(scene::worker(&site) == worker, "the worker was replaced");
    }
    let [start, some, all, threads] = found;
    let before = median(&some);
    let row = |case: &str, samples| Row::new(NAME, case, "MB", samples).goal(Goal::AtMost(40.0));
    vec![
        row("private, after the start", start),
        row(&format!("private, after {first} bookings"), some),
        row(&format!("private, after {} bookings", first + second), all)
            .limit(&format!("after {first}"), before)
            .goal(Goal::RatioAtMost(1.1)),
        Row::new(NAME, "threads, 15 calls in flight", "", threads),
    ]
}
