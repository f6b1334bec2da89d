//! The Guestly simulator in a test: started in the test's own process, controlled and queried over its admin calls,
//! which are listed in the simulator's lib.rs. Called by the tests, on their threads. Must not know the extension's
//! database.

use crate::options::Options;
use crate::program::Program;
use crate::wait::wait_until;
use guestly_simulator::Simulator;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use ureq::Agent;

pub use guestly_simulator::{Config, Knobs, Profile};

/// Lags and the propagation delay of [`Sim::quick`] are this fraction of the real ones.
const QUICK: f64 = 0.02;

/// A running simulator. Dropped, it stops.
pub struct Sim {
    home: Home,
    admin: Agent,
}

/// The place where it runs.
enum Home {
    /// In the test's own process.
    Here(Simulator),
    /// As a program of its own.
    There(Program),
}

impl Sim {
    /// Starts a simulator and waits until it listens.
    ///
    /// # Panics
    /// If its port is taken.
    #[must_use]
    pub fn start(config: Config) -> Self {
        let simulator =
            Simulator::start(config).unwrap_or_else(|error| panic!("the simulator does not start: {error}"));
        Self { home: Home::Here(simulator), admin: Self::admin() }
    }

    /// Starts the simulator's program with the usual profile and these knobs laid over it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_program(program: &Path, knobs: &Value) -> Self {
        let sim = Self { home: Home::There(Program::start(program)), admin: Self::admin() };
        sim.knobs(knobs.clone());
        sim
    }

    fn admin() -> Agent {
        Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            // Tests cut all of the simulator's connections; ours should not be among them.
            .max_idle_connections(0)
            .proxy(None)
            .build()
            .into()
    }

    /// A simulator of the usual profile (`observed`) whose lags and settle windows take a fiftieth of the real time.
    #[must_use]
    pub fn quick() -> Self {
        Self::start(Config { port: 0, knobs: Knobs { lag_scale: QUICK, ..Knobs::of(Profile::Observed) } })
    }

    /// `http://127.0.0.1:PORT`; the API's base is this plus `/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.home {
            Home::Here(simulator) => simulator.url(),
            Home::There(program) => program.url(),
        }
    }

    /// Stops listening and cuts all connections: from now on calls are refused, admin calls included.
    pub fn stop(&self) {
        match &self.home {
            Home::Here(simulator) => simulator.stop(),
            Home::There(program) => program.stop(),
        }
    }

    /// The options of a server that sends to this simulator, with retries as fast as the simulator's lags.
    #[must_use]
    pub fn options(&self) -> Options {
        let knobs = self.get("knobs");
        let scale = knobs["lag_scale"].as_f64().unwrap_or(1.0);
        let settle = knobs["settle_ms"].as_f64().unwrap_or_default() * scale;
        let text = |name: &str| knobs[name].as_str().unwrap_or_default().to_owned();
        Options::default()
            .setting("guestly_sync.enabled", "on")
            .setting("guestly_sync.base_url", &format!("{}/v1", self.url()))
            .setting("guestly_sync.token_url", &format!("{}/oauth2/token", self.url()))
            .setting("guestly_sync.client_id", &text("client_id"))
            .setting("guestly_sync.client_secret", &text("client_secret"))
            // A little more than the simulator's window, because the two clocks do not start together.
            .setting("guestly_sync.settle", &format!("{:.0}ms", settle + 200.0))
            .setting("guestly_sync.backoff_base", "100ms")
            .setting("guestly_sync.backoff_max", "1s")
    }

    /// `GET /__sim/<path>`.
    ///
    /// # Panics
    /// Unless it is answered with 200 and JSON.
    #[track_caller]
    #[must_use]
    pub fn get(&self, path: &str) -> Value {
        self.answer(path, self.admin.get(self.address(path)).call())
    }

    /// `POST /__sim/<path>`.
    ///
    /// # Panics
    /// Unless it is answered with 200 and JSON.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.answer(path, self.admin.post(self.address(path)).send_json(body))
    }

    /// Adds a fault rule (or an array of rules), as the simulator's lib.rs describes them.
    #[track_caller]
    pub fn fault(&self, rule: Value) {
        self.post("faults", &rule);
    }

    /// Removes all fault rules.
    #[track_caller]
    pub fn clear_faults(&self) {
        self.answer("faults", self.admin.delete(self.address("faults")).call());
    }

    /// Holds every call of an operation, `before` or `after` its effect, until [`Sim::release`].
    #[track_caller]
    pub fn hold(&self, operation: &str, when: &str) {
        self.fault(json!({"match": {"operation": operation}, "effect": {"kind": "hold", "when": when}}));
    }

    /// Releases held calls, and holds no more.
    #[track_caller]
    pub fn release(&self) {
        self.post("release", &json!({}));
    }

    /// Changes any subset of the simulator's knobs.
    #[track_caller]
    pub fn knobs(&self, changes: Value) {
        self.post("knobs", &changes);
    }

    /// Switches off rate limits and the token cap, for tests that are not about limits.
    #[track_caller]
    pub fn without_limits(self) -> Self {
        self.knobs(json!({"limits": false, "token_cap": 0}));
        self
    }

    /// All counters: requests, tokens, 429s, creates without a look-up, calls before Retry-After ended and more.
    #[track_caller]
    #[must_use]
    pub fn metrics(&self) -> Value {
        self.get("metrics")
    }

    /// Every violation of an invariant that the simulator saw, also warnings (`severity` `warn`).
    #[track_caller]
    #[must_use]
    pub fn violations(&self) -> Vec<Value> {
        rows(self.get("violations"), "violations")
    }

    /// # Panics
    /// If the simulator saw a fatal violation; lists them all.
    #[track_caller]
    pub fn assert_no_violation(&self) {
        let mut fatal = self.violations();
        fatal.retain(|row| row["severity"] == "fatal");
        assert!(fatal.is_empty(), "violations of the API's rules: {}", json!(fatal));
    }

    /// All reservations as they are, whether reads show them already or not.
    #[track_caller]
    #[must_use]
    pub fn state(&self) -> Vec<Value> {
        rows(self.get("state"), "reservations")
    }

    /// The reservations with this confirmation code.
    #[track_caller]
    #[must_use]
    pub fn reservations_of(&self, code: &str) -> Vec<Value> {
        rows(self.get(&format!("state?code={code}")), "reservations")
    }

    /// One row per call, oldest first; of one operation only (`token`, `create`, `search`, …) if it is named.
    #[track_caller]
    #[must_use]
    pub fn call_log(&self, operation: Option<&str>) -> Vec<Value> {
        let filter = operation.map_or_else(String::new, |name| format!("?operation={name}"));
        rows(self.get(&format!("calls{filter}")), "rows")
    }

    /// The number of calls of an operation that have arrived.
    #[track_caller]
    #[must_use]
    pub fn calls(&self, operation: &str) -> u64 {
        let metrics = self.get("metrics?brief=1");
        metrics["operations"][operation]["requests"].as_u64().unwrap_or_default()
    }

    /// Waits until at least this number of calls of an operation has arrived.
    #[track_caller]
    pub fn wait_for_calls(&self, operation: &str, count: u64, timeout: Duration) {
        wait_until(&format!("{count} calls of {operation}"), timeout, || {
            let found = self.calls(operation);
            (found >= count, found.to_string())
        });
    }

    fn address(&self, path: &str) -> String {
        format!("{}/__sim/{path}", self.url())
    }

    #[track_caller]
    fn answer(&self, path: &str, result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Value {
        let mut response = match result {
            Ok(response) => response,
            Err(error) => panic!("the simulator does not answer {path}: {error}"),
        };
        // Without a bound: the state of a long run is larger than ureq reads by itself.
        let body = response.body_mut().with_config().limit(u64::MAX).read_json::<Value>();
        match body {
            Ok(value) if response.status() == 200 => value,
            other => panic!("the simulator answers {path} with {}: {other:?}", response.status()),
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.stop();
    }
}

#[track_caller]
fn rows(mut answer: Value, name: &str) -> Vec<Value> {
    match answer[name].take() {
        Value::Array(rows) => rows,
        other => panic!("the simulator's {name} are no list: {other}"),
    }
}
