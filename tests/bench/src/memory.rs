//! The worker's private memory and threads. Called by `main`.

use crate::config::Config;
use crate::fixture;
use crate::measurement::{Measurement, Target, median};
use crate::procfs::{private_megabytes, threads};
use crate::workload::{drain, insert_unpaid};

/// The benchmark's name.
pub const NAME: &str = "memory";

/// Measures.
pub fn measure(config: &Config) -> Vec<Measurement> {
    let (first, second) = config.size((10_000, 90_000), (200, 800));
    let mut samples: [Vec<f64>; 4] = Default::default();
    for _ in 0..config.rounds() {
        let site = fixture::start_site(|options| options.setting("guestly_sync.concurrency", "15"));
        let worker = fixture::worker_pid(&site);
        let mut session = site.client();
        samples[0].push(private_megabytes(worker));
        for (place, count) in [(1, first), (2, second)] {
            insert_unpaid(&site, count);
            drain(&site, &mut session, count);
            samples[place].push(private_megabytes(worker));
        }
        samples[3].push(threads(worker) as f64);
        fixture::verify(&site);
        assert!(fixture::worker_pid(&site) == worker, "the worker was restarted");
    }
    let [at_start, after_first, after_all, threads] = samples;
    let before = median(&after_first);
    let memory = |case: &str, samples| Measurement::new(NAME, case, "MB", samples).target(Target::AtMost(40.0));
    vec![
        memory("private, after the start", at_start),
        memory(&format!("private, after {first} bookings"), after_first),
        memory(&format!("private, after {} bookings", first + second), after_all)
            .baseline(&format!("after {first}"), before)
            .target(Target::RatioAtMost(1.1)),
        Measurement::new(NAME, "threads, 15 calls in flight", "", threads),
    ]
}
