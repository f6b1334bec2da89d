//! Calls of the API for each booking. Called by `main`.

use crate::plan::Plan;
use crate::row::{Goal, Row};
use crate::scene;

const NAME: &str = "calls";

/// The figure.
pub fn measure(plan: &Plan) -> Vec<Row> {
    let count = plan.size(1_000, 50);
    let site = scene::open(|options| options);
    let mut client = site.client();
    let calls = |name: &str| site.sim.get("metrics?brief=1")[name].as_f64().unwrap_or(f64::NAN);
    let mut found = Vec::new();
    for _ in 0..plan.rounds() {
        scene::stock(&site, count);
        let before = calls("requests");
        scene::drain(&mut client, count);
        found.push((calls("requests") - before) / f64::from(count));
    }
    scene::check(&site);
    vec![Row::new(NAME, "per booking", "calls", found).limit("at least", 1.0).goal(Goal::AtMost(1.0))]
}
