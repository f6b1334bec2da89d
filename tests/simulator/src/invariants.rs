//! The invariants of the client's behaviour, checked when a call arrives (here) and when it ends (call_end.rs). Called by
//! state.rs under its lock. They are decided only by what the simulator saw.

mod call_end;

pub(crate) use call_end::CallEnd;

use crate::call::{Call, Operation};
use crate::config::{Knobs, Profile};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// Violations that are kept; all are counted.
const MAX_VIOLATIONS: usize = 10_000;

/// The creates of one confirmation code.
#[derive(Default)]
pub(crate) struct CodeRecord {
    pub creates: u32,
    pub in_flight: u32,
    pub unverified: u32,
    /// The end of the latest create with an unknown outcome (monotonic, µs).
    pub unknown_since: Option<u64>,
    pub looked_up: bool,
    pub refused: bool,
    pub active: i32,
}

impl CodeRecord {
    /// The reason why a create that arrives now is a violation, if it is one.
    fn second_create(&self, mono: u64, knobs: &Knobs) -> Option<String> {
        let settle = knobs.scaled_us(knobs.settle_ms);
        // 1 % for the rounding of the two clocks; 2 ms for the scheduling of threads.
        let tolerance = settle / 100 + 2000;
        if self.in_flight > 1 {
            return Some("a second create while the first is in flight".into());
        }
        let waited = mono.saturating_sub(self.unknown_since?);
        if !self.looked_up {
            return Some("a second create without a look-up after an unknown outcome".into());
        }
        (waited + tolerance < settle).then(|| {
            let (waited, settle) = (waited / 1000, settle / 1000);
            format!("a second create {waited} ms after an unknown outcome, settle is {settle} ms")
        })
    }
}

/// The time in which no call may arrive.
#[derive(Default)]
pub(crate) struct RetryAfter {
    /// Monotonic, µs.
    pub from: u64,
    /// Simulated, µs.
    pub until: i64,
}

/// The writes of one reservation.
#[derive(Default)]
pub(crate) struct WriteRecord {
    pub in_flight: u32,
    pub ended: Option<u64>,
}

/// The violations so far, and what is needed to find further ones.
#[derive(Default)]
pub(crate) struct Checker {
    pub violations: Vec<Value>,
    pub counts: BTreeMap<&'static str, [u64; 2]>,
    pub codes: HashMap<String, CodeRecord>,
    pub origins: HashMap<String, i32>,
    pub writes: HashMap<String, WriteRecord>,
    pub api_retry_after: RetryAfter,
    pub token_retry_after: RetryAfter,
    pub calls_before_retry_after: u64,
    pub unverified_creates: u64,
    pub tokens_in_flight: u32,
}

impl Checker {
    /// Records a violation.
    pub(crate) fn report(&mut self, id: &'static str, fatal: bool, text: &str, call: &Call) {
        self.counts.entry(id).or_default()[usize::from(fatal)] += 1;
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(json!({
                "id": id, "severity": if fatal { "fatal" } else { "warn" }, "text": text, "seq": call.seq,
                "wall_us": call.arrived.wall, "operation": call.operation.as_str(), "method": call.request.method,
                "path": call.request.path, "confirmationCode": call.shown_code(),
            }));
        }
    }

    /// Violations of each invariant: `{"I8": {"warn": 0, "fatal": 1}}`.
    pub(crate) fn counts_json(&self) -> Value {
        let row = |(id, [warn, fatal]): (&&str, &[u64; 2])| ((*id).to_owned(), json!({"warn": warn, "fatal": fatal}));
        Value::Object(self.counts.iter().map(row).collect())
    }

    /// Checks a call that arrives. `usable_token`: the client has a token that it has no reason to replace.
    pub(crate) fn arrived(&mut self, call: &Call, knobs: &Knobs, usable_token: bool) {
        if knobs.limits && call.in_flight > knobs.max_in_flight {
            self.report("I7", true, &format!("{} calls in flight", call.in_flight), call);
        }
        self.check_retry_after(call);
        match call.operation {
            Operation::Create => self.create_arrived(call, knobs),
            Operation::Token => self.token_arrived(call, usable_token),
            Operation::Legacy if !knobs.legacy_enabled => {
                self.report("I14", true, "a legacy endpoint was called", call);
            }
            Operation::Unknown => self.unknown_arrived(call),
            _ => {}
        }
        if call.is_write() {
            self.write_arrived(call, knobs);
        }
        let flags = ["ignoreCalendar", "ignoreTerms", "ignoreBlocks"];
        let sent = |name: &&str| call.json.as_ref().and_then(|j| j.get(*name)) == Some(&Value::Bool(true));
        if !knobs.allow_ignore && flags.iter().any(sent) {
            self.report("I4", true, "an ignore flag was sent as true", call);
        }
    }

    fn unknown_arrived(&mut self, call: &Call) {
        if call.request.path.contains("/trap") {
            let leaked = call.request.header("authorization").is_some();
            self.report("I12", leaked, "a redirect was followed", call);
        } else {
            self.report("ROUTE", true, "unknown route", call);
        }
    }

    fn check_retry_after(&mut self, call: &Call) {
        let retry_after =
            if call.operation == Operation::Token { &self.token_retry_after } else { &self.api_retry_after };
        if retry_after.until == 0
            || call.arrived.mono < retry_after.from
            || call.arrived.sim >= retry_after.until - 2000
        {
            return;
        }
        let left = (retry_after.until - call.arrived.sim) / 1000;
        self.calls_before_retry_after += 1;
        self.report("I6", true, &format!("called {left} ms before Retry-After ended"), call);
    }

    fn token_arrived(&mut self, call: &Call, usable_token: bool) {
        self.tokens_in_flight += 1;
        if self.tokens_in_flight > 1 {
            self.report("I5", false, "parallel token requests", call);
        }
        if usable_token {
            self.report("I5", false, "a token was requested while a usable one exists", call);
        }
    }

    fn create_arrived(&mut self, call: &Call, knobs: &Knobs) {
        let Some(code) = call.code.clone() else {
            self.report("I1", false, "create without a confirmationCode", call);
            return;
        };
        let record = self.codes.entry(code).or_default();
        record.creates += 1;
        record.in_flight += 1;
        let unverified = record.in_flight > 1 || (record.unknown_since.is_some() && !record.looked_up);
        record.unverified += u32::from(unverified);
        let (refused, creates) = (record.refused, record.creates);
        let too_early = record.second_create(call.arrived.mono, knobs);
        self.unverified_creates += u64::from(unverified);
        if let Some(text) = too_early {
            self.report("I8", true, &text, call);
        }
        if refused {
            let text = "another create after a definite refusal";
            self.report("I13", false, text, call);
        }
        if creates == 6 {
            self.report("I13", false, "more than five creates for one code", call);
        }
    }

    fn write_arrived(&mut self, call: &Call, knobs: &Knobs) {
        let Some(id) = call.id.clone() else { return };
        let gap = knobs.scaled_us(knobs.settle_gap_ms);
        let record = self.writes.entry(id).or_default();
        record.in_flight += 1;
        let overlap = record.in_flight > 1;
        let early = record.ended.is_some_and(|ended| call.arrived.mono + gap / 50 + 2000 < ended + gap);
        let fatal = knobs.profile == Profile::Hostile;
        if overlap {
            self.report("I9", fatal, "overlapping writes to one reservation", call);
        } else if early {
            self.report("I9", fatal, "a write within the settle gap of the one before", call);
        }
    }
}
