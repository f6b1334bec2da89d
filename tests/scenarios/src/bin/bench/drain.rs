//! How fast a burst drains, by the API's latency and the calls in flight. Called by `main`.

use crate::plan::Plan;
use crate::process::{cpu_millis, threads};
use crate::raw::Raw;
use crate::row::{Goal, Row, median};
use crate::scene;
use guestly_scenarios::{Site, wait_until};
use postgres::Client;
use serde_json::json;
use std::thread;

const NAME: &str = "drain";
/// Calls in flight and latency of a case so slow that its rounds run side by side, each on a site of its own: it has
/// nearly nothing to do. No raw requests beside them: the rounds share the machine.
const SLOW: (u32, u32) = (4, 100);

/// The figure.
pub fn measure(plan: &Plan) -> Vec<Row> {
    let site = scene::open(|options| options);
    let raw = Raw::new(&site);
    let mut client = site.client();
    let mut rows = Vec::new();
    for latency in plan.size(vec![0, 20, 100], vec![0, 20]) {
        for concurrency in plan.size(vec![4, 15, 64], vec![15]) {
            match (concurrency, latency) {
                SLOW => rows.push(slow(plan)),
                (_, 0) => rows.extend(at_once(plan, &site, &raw, &mut client, concurrency)),
                _ => rows.extend(late(plan, &site, &raw, &mut client, concurrency, latency)),
            }
        }
    }
    scene::check(&site);
    rows
}

fn size(plan: &Plan) -> u32 {
    plan.size(5_000, 200)
}

/// The API answers at once: what limits us is ourselves, and the machine.
fn at_once(plan: &Plan, site: &Site, raw: &Raw, client: &mut Client, concurrency: u32) -> [Row; 2] {
    let (mut rates, mut raws, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let worker = set_concurrency(site, concurrency);
    for _ in 0..plan.rounds() {
        scene::stock(site, size(plan));
        raws.push(raw.rate(concurrency, plan.size(4_000, 200)));
        let before = cpu_millis(worker);
        rates.push(scene::drain(client, size(plan)));
        times.push((cpu_millis(worker) - before) / f64::from(size(plan)));
    }
    let case = label(concurrency, 0);
    let rate = Row::new(NAME, &case, "/s", rates).limit("raw requests", median(&raws));
    let time = Row::new(NAME, &format!("{case}: worker's processor time each"), "ms", times);
    [if concurrency >= 15 { rate.goal(Goal::AtLeast(2_000.0)) } else { rate }, time]
}

/// The API takes its time: what limits us is that, and what a plain client reaches on this machine.
fn late(plan: &Plan, site: &Site, raw: &Raw, client: &mut Client, concurrency: u32, latency: u32) -> [Row; 2] {
    set_concurrency(site, concurrency);
    // So many each that opening the connections does not count.
    let requests = concurrency * plan.size(50, 5);
    let (mut rates, mut raws) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds() {
        site.sim.knobs(json!({"latency_ms": latency}));
        raws.push(raw.rate(concurrency, requests));
        rates.push(round(plan, site, client, latency));
    }
    let drained = row(concurrency, latency, rates);
    let plain = Row::new(NAME, &format!("{}: raw requests", label(concurrency, latency)), "/s", raws)
        .limit("in flight ÷ latency", most(concurrency, latency));
    [if (concurrency, latency) == (15, 100) { drained.goal(Goal::RatioAtLeast(0.95)) } else { drained }, plain]
}

fn slow(plan: &Plan) -> Row {
    let (concurrency, latency) = SLOW;
    let alone = || {
        let site = scene::open(|options| options);
        set_concurrency(&site, concurrency);
        let rate = round(plan, &site, &mut site.client(), latency);
        scene::check(&site);
        rate
    };
    let rates = thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.rounds()).map(|_| scope.spawn(alone)).collect();
        threads.into_iter().map(|run| run.join().unwrap_or_else(|_| panic!("a round failed"))).collect()
    });
    row(concurrency, latency, rates)
}

fn round(plan: &Plan, site: &Site, client: &mut Client, latency: u32) -> f64 {
    scene::stock(site, size(plan));
    site.sim.knobs(json!({"latency_ms": latency}));
    let rate = scene::drain(client, size(plan));
    site.sim.knobs(json!({"latency_ms": 0}));
    rate
}

fn row(concurrency: u32, latency: u32, rates: Vec<f64>) -> Row {
    Row::new(NAME, &label(concurrency, latency), "/s", rates).limit("in flight ÷ latency", most(concurrency, latency))
}

fn label(concurrency: u32, latency: u32) -> String {
    format!("API {latency} ms, {concurrency} in flight")
}

/// Calls in a second if each took the API's latency and nothing else.
fn most(concurrency: u32, latency: u32) -> f64 {
    f64::from(concurrency) * 1000.0 / f64::from(latency)
}

/// Sets it, waits until the worker has as many threads, and gives the worker's process id.
fn set_concurrency(site: &Site, concurrency: u32) -> i32 {
    site.alter_system("guestly_sync.concurrency", &concurrency.to_string());
    let worker = scene::worker(site);
    wait_until("the worker's threads", scene::PATIENCE, || {
        let found = threads(worker);
        // Surplus threads end with their next job: a worker that had more is woken by the first bookings.
        (found > concurrency as usize, found.to_string())
    });
    scene::warm_up(site);
    worker
}
