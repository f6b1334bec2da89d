//! The cost of an idle site: the worker's statements, wake-ups and CPU time. Called by `main`.

use crate::config::Config;
use crate::fixture;
use crate::measurement::{Measurement, Target};
use crate::procfs::{cpu_millis, wake_ups};
use std::thread;
use std::time::Duration;

/// The benchmark's name.
pub const NAME: &str = "idle";

/// Measures.
pub fn measure(config: &Config) -> Vec<Measurement> {
    let seconds = config.size(60, 3);
    let site = fixture::start_site(fixture::with_statement_counts);
    site.sql("CREATE EXTENSION pg_stat_statements; CREATE ROLE observer LOGIN SUPERUSER");
    // A role of its own: its statements can be told from the worker's.
    let observer = site.as_user("observer");
    let worker = fixture::worker_pid(&site);
    let mut samples: [Vec<f64>; 3] = Default::default();
    for _ in 0..config.rounds() {
        site.sql("SELECT pg_stat_statements_reset()");
        let before = (wake_ups(worker), cpu_millis(worker));
        // The interval that is measured, not a wait for a condition.
        thread::sleep(Duration::from_secs(seconds));
        let statements: Option<i64> = observer.query_one(
            "SELECT sum(calls)::bigint FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements_reset%' \
             AND userid <> 'observer'::regrole",
        );
        samples[0].push(statements.unwrap_or_default() as f64);
        samples[1].push(wake_ups(worker) - before.0);
        samples[2].push(cpu_millis(worker) - before.1);
    }
    let [statements, wakes, cpu] = samples;
    let case = |what: &str| format!("{what} in {seconds} s");
    vec![
        Measurement::new(NAME, &case("statements"), "", statements).target(Target::AtMost(1.0)),
        Measurement::new(NAME, &case("wake-ups"), "", wakes),
        Measurement::new(NAME, &case("CPU time"), "ms", cpu),
    ]
}
