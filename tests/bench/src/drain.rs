//! Measures the duration of a burst, by the API's latency and the calls in flight. Called by `main` and `compare`.

use crate::config::Config;
use crate::fixture;
use crate::measurement::{Measurement, Target, median};
use crate::procfs::{cpu_millis, threads};
use crate::raw_client::RawClient;
use crate::workload::{TIMEOUT, drain, insert_unpaid};
use guestly_scenarios::{Site, wait_until};
use postgres::Client;
use serde_json::json;
use std::thread;

/// The benchmark's name.
pub const NAME: &str = "drain";

/// A case so slow that its rounds run side by side, each on its own site: it keeps the machine nearly idle. It has no raw
/// requests beside it, since the rounds share the machine.
const SLOW: Case = Case { concurrency: 4, latency_ms: 100 };

/// Calls in flight, and the time that the API takes for each.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Case {
    concurrency: u32,
    latency_ms: u32,
}

impl Case {
    fn name(self) -> String {
        format!("API {} ms, {} in flight", self.latency_ms, self.concurrency)
    }

    /// Calls in a second if each took the API's latency and nothing else.
    fn ideal_rate(self) -> f64 {
        f64::from(self.concurrency) * 1000.0 / f64::from(self.latency_ms)
    }

    fn measurement(self, rates: Vec<f64>) -> Measurement {
        Measurement::new(NAME, &self.name(), "/s", rates).baseline("in flight ÷ latency", self.ideal_rate())
    }
}

/// The site that most cases share.
struct Bench<'a> {
    config: &'a Config,
    site: &'a Site,
    raw: RawClient,
    session: Client,
}

/// Measures.
pub fn measure(config: &Config) -> Vec<Measurement> {
    let site = fixture::start_site(|options| options);
    let mut bench = Bench { config, site: &site, raw: RawClient::new(&site), session: site.client() };
    let mut measurements = Vec::new();
    for latency_ms in config.size(vec![0, 20, 100], vec![0, 20]) {
        for concurrency in config.size(vec![4, 15, 64], vec![15]) {
            let case = Case { concurrency, latency_ms };
            match case {
                SLOW => measurements.push(measure_slow(config)),
                Case { latency_ms: 0, .. } => measurements.extend(bench.without_latency(case)),
                _ => measurements.extend(bench.with_latency(case)),
            }
        }
    }
    fixture::verify(&site);
    measurements
}

fn size(config: &Config) -> u32 {
    config.size(5_000, 200)
}

impl Bench<'_> {
    /// The API answers at once: the product and the machine are the bound.
    fn without_latency(&mut self, case: Case) -> [Measurement; 2] {
        let (mut rates, mut raw_rates, mut times) = (Vec::new(), Vec::new(), Vec::new());
        let (config, count) = (self.config, size(self.config));
        let worker = set_concurrency(self.site, case.concurrency);
        for _ in 0..config.rounds() {
            insert_unpaid(self.site, count);
            raw_rates.push(self.raw.rate(case.concurrency, config.size(4_000, 200)));
            let before = cpu_millis(worker);
            rates.push(drain(self.site, &mut self.session, count));
            times.push((cpu_millis(worker) - before) / f64::from(count));
        }
        let rate = Measurement::new(NAME, &case.name(), "/s", rates).baseline("raw requests", median(&raw_rates));
        let time = Measurement::new(NAME, &format!("{}: worker CPU time per booking", case.name()), "ms", times);
        [if case.concurrency >= 15 { rate.target(Target::AtLeast(2_000.0)) } else { rate }, time]
    }

    /// The API takes its time: that is the bound, together with what a plain client reaches on this machine.
    fn with_latency(&mut self, case: Case) -> [Measurement; 2] {
        set_concurrency(self.site, case.concurrency);
        // Enough for each thread that opening its connection does not count.
        let requests = case.concurrency * self.config.size(50, 5);
        let (mut rates, mut raw_rates) = (Vec::new(), Vec::new());
        for _ in 0..self.config.rounds() {
            self.site.sim.knobs(json!({"latency_ms": case.latency_ms}));
            raw_rates.push(self.raw.rate(case.concurrency, requests));
            rates.push(round(self.site, &mut self.session, size(self.config), case.latency_ms));
        }
        let rate = case.measurement(rates);
        let raw = Measurement::new(NAME, &format!("{}: raw requests", case.name()), "/s", raw_rates)
            .baseline("in flight ÷ latency", case.ideal_rate());
        let has_target = case == Case { concurrency: 15, latency_ms: 100 };
        [if has_target { rate.target(Target::RatioAtLeast(0.95)) } else { rate }, raw]
    }
}

fn measure_slow(config: &Config) -> Measurement {
    let run = || {
        let site = fixture::start_site(|options| options);
        set_concurrency(&site, SLOW.concurrency);
        let rate = round(&site, &mut site.client(), size(config), SLOW.latency_ms);
        fixture::verify(&site);
        rate
    };
    let rates = thread::scope(|scope| {
        let threads: Vec<_> = (0..config.rounds()).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panic!("a round failed"))).collect()
    });
    SLOW.measurement(rates)
}

/// Drains `count` bookings while each call takes `latency_ms`; bookings per second.
pub fn round(site: &Site, session: &mut Client, count: u32, latency_ms: u32) -> f64 {
    insert_unpaid(site, count);
    site.sim.knobs(json!({"latency_ms": latency_ms}));
    let rate = drain(site, session, count);
    site.sim.knobs(json!({"latency_ms": 0}));
    rate
}

/// Sets the calls in flight, waits until the worker has as many threads, and returns the worker's process id.
pub fn set_concurrency(site: &Site, concurrency: u32) -> i32 {
    site.alter_system("guestly_sync.concurrency", &concurrency.to_string());
    let worker = fixture::worker_pid(site);
    wait_until("the worker's threads", TIMEOUT, || {
        let found = threads(worker);
        // Surplus threads end after their next job, so there may be more.
        (found > concurrency as usize, found.to_string())
    });
    fixture::warm_up(site);
    worker
}
