//! The baseline of calls: the same request by plain ureq, with nothing around it. Called by the benchmarks. Uses the database
//! only for the request's body.

use crate::fixture::create_request;
use crate::workload::micros;
use guestly_scenarios::Site;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use ureq::Agent;

/// A listing without an end to its units.
const LISTING: &str = "64b1f0aa11bb22cc33ffffff";

/// A plain client with a token of its own.
pub struct RawClient {
    agent: Agent,
    url: String,
    bearer: String,
    body: Value,
    next: AtomicU32,
}

impl RawClient {
    /// Fetches a token.
    ///
    /// # Panics
    /// If it is refused.
    pub fn new(site: &Site) -> Self {
        let agent: Agent = Agent::config_builder()
            .max_idle_connections(64)
            .max_idle_connections_per_host(64)
            .proxy(None)
            .build()
            .into();
        let knobs = site.sim.get("knobs");
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", "open-api"),
            ("client_id", knobs["client_id"].as_str().unwrap_or_default()),
            ("client_secret", knobs["client_secret"].as_str().unwrap_or_default()),
        ];
        let answer = agent.post(format!("{}/oauth2/token", site.sim.url())).send_form(form);
        let token = answer.and_then(|mut answer| answer.body_mut().read_json::<Value>());
        let token = token.unwrap_or_else(|error| panic!("no token: {error}"));
        site.sim.post("listings", &json!({"id": LISTING}));
        Self {
            agent,
            url: format!("{}/v1/reservations-v3", site.sim.url()),
            bearer: format!("Bearer {}", token["access_token"].as_str().unwrap_or_default()),
            body: create_request(site),
            next: AtomicU32::new(1),
        }
    }

    /// Makes one create; its time in microseconds.
    pub fn round_trip(&self) -> f64 {
        let code = format!("RAW-{:07}", self.next.fetch_add(1, Ordering::Relaxed));
        let mut body = self.body.clone();
        body["listingId"] = LISTING.into();
        body["status"] = "confirmed".into();
        body["originId"] = code.clone().into();
        body["confirmationCode"] = code.into();
        let began = micros();
        let answer = self.agent.post(&self.url).header("authorization", &self.bearer).send_json(&body);
        let text = answer.and_then(|mut answer| answer.body_mut().read_to_string());
        let took = micros() - began;
        assert!(text.is_ok(), "the raw request failed: {text:?}");
        took
    }

    /// Creates in a second, of about `count` made by as many threads.
    pub fn rate(&self, threads: u32, count: u32) -> f64 {
        let began = micros();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..count / threads).map(|_| self.round_trip()).sum::<f64>());
            }
        });
        f64::from(count / threads * threads) / (micros() - began) * 1e6
    }
}
