//! What a site pays while nothing happens. Called by `main`.

use crate::plan::Plan;
use crate::process::{cpu_millis, wake_ups};
use crate::row::{Goal, Row};
use crate::scene;
use std::thread;
use std::time::Duration;

const NAME: &str = "idle";

/// The figure.
pub fn measure(plan: &Plan) -> Vec<Row> {
    let seconds = plan.size(60, 3);
    let site = scene::open(scene::counting);
    site.sql("CREATE EXTENSION pg_stat_statements; CREATE ROLE looker LOGIN SUPERUSER");
    // Statements of another role are not the worker's.
    let looker = site.as_user("looker");
    let worker = scene::worker(&site);
    let mut found: [Vec<f64>; 3] = Default::default();
    for _ in 0..plan.rounds() {
        site.sql("SELECT pg_stat_statements_reset()");
        let before = (wake_ups(worker), cpu_millis(worker));
        // The measured interval itself: what an idle worker does in it is the figure.
        thread::sleep(Duration::from_secs(seconds));
        let statements: Option<i64> = looker.query_one(
            "SELECT sum(calls)::bigint FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements_reset%' \
             AND userid <> 'looker'::regrole",
        );
        found[0].push(statements.unwrap_or_default() as f64);
        found[1].push(wake_ups(worker) - before.0);
        found[2].push(cpu_millis(worker) - before.1);
    }
    let [statements, wakes, cpu] = found;
    let case = |what: &str| format!("{what} in {seconds} s");
    vec![
        Row::new(NAME, &case("statements"), "", statements).goal(Goal::AtMost(1.0)),
        Row::new(NAME, &case("wake-ups"), "wake-ups", wakes),
        Row::new(NAME, &case("processor time"), "ms", cpu),
    ]
}
