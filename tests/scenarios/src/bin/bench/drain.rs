//! How fast a burst drains, by the API's latency and the calls in flight. Called by `main`.

use crate::plan::Plan;
use crate::raw::Raw;
use crate::row::{Goal, Row, median};
use crate::scene;
use guestly_scenarios::{Site, wait_until};
use postgres::Client;
use serde_json::json;

const NAME: &str = "drain";

/// The figure.
pub fn measure(plan: &Plan) -> Vec<Row> {
    let site = scene::open(|options| options);
    let raw = Raw::new(&site);
    let mut client = site.client();
    let mut rows = Vec::new();
    for latency in plan.size(vec![0, 20, 100], vec![0, 20]) {
        for concurrency in plan.size(vec![4, 15, 64], vec![15]) {
            rows.push(case(plan, &site, &raw, &mut client, latency, concurrency));
        }
    }
    scene::check(&site);
    rows
}

fn case(plan: &Plan, site: &Site, raw: &Raw, client: &mut Client, latency: u32, concurrency: u32) -> Row {
    let count = plan.size(5_000, 200);
    set_concurrency(site, concurrency);
    let (mut rates, mut raws) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds() {
        scene::stock(site, count);
        if latency == 0 {
            raws.push(raw.rate(concurrency, plan.size(4_000, 200)));
        }
        site.sim.knobs(json!({"latency_ms": latency}));
        rates.push(scene::drain(client, count));
        site.sim.knobs(json!({"latency_ms": 0}));
    }
    let row = Row::new(NAME, &format!("API {latency} ms, {concurrency} in flight"), "/s", rates);
    let row = match latency {
        0 => row.limit("raw requests", median(&raws)),
        _ => row.limit("in flight ÷ latency", f64::from(concurrency) * 1000.0 / f64::from(latency)),
    };
    match (latency, concurrency) {
        (0, 15) => row.goal(Goal::AtLeast(2_000.0)),
        (100, 15) => row.goal(Goal::RatioAtLeast(0.95)),
        _ => row,
    }
}

/// Sets it and waits until the worker has as many threads.
pub fn set_concurrency(site: &Site, concurrency: u32) {
    site.alter_system("guestly_sync.concurrency", &concurrency.to_string());
    let worker = scene::worker(site);
    wait_until("the worker's threads", scene::PATIENCE, || {
        let found = crate::process::threads(worker);
        // Surplus threads end with their next job: a worker that had more is woken by the first bookings.
        (found > concurrency as usize, found.to_string())
    });
    scene::warm_up(site);
}
