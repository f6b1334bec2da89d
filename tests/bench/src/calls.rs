//! Calls of the API for each booking. Called by `main`.

use crate::config::Config;
use crate::fixture;
use crate::measurement::{Measurement, Target};
use crate::workload::{drain, insert_unpaid};

/// The benchmark's name.
pub const NAME: &str = "calls";

/// Measures.
pub fn measure(config: &Config) -> Vec<Measurement> {
    let count = config.size(1_000, 50);
    let site = fixture::start_site(|options| options);
    let mut session = site.client();
    let requests = || site.sim.get("metrics?brief=1")["requests"].as_f64().unwrap_or(f64::NAN);
    let mut samples = Vec::new();
    for _ in 0..config.rounds() {
        insert_unpaid(&site, count);
        let before = requests();
        drain(&site, &mut session, count);
        samples.push((requests() - before) / f64::from(count));
    }
    fixture::verify(&site);
    let calls = Measurement::new(NAME, "per booking", "calls", samples);
    vec![calls.baseline("at least", 1.0).target(Target::AtMost(1.0))]
}
