//! The judge: invariants of the client's behaviour, decided from what the simulator saw.
//! Called by state.rs when a call arrives and when it ends, under the state lock.

use crate::call::{Call, Operation};
use crate::config::{Knobs, Profile};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

const KEPT: usize = 10_000;

/// What is known of one confirmation code.
#[derive(Default)]
pub(crate) struct CodeRecord {
    pub creates: u32,
    pub open: u32,
    pub blind: u32,
    /// When the latest create with an unknown outcome ended.
    pub ambiguous: Option<u64>,
    pub looked_up: bool,
    pub refused: bool,
    pub active: i32,
}

impl CodeRecord {
    /// Why a create arriving now comes too early, if it does.
    fn second_create(&self, mono: u64, knobs: &Knobs) -> Option<String> {
        let settle = knobs.scaled_us(knobs.settle_ms);
        // 1 % for the two clocks' rounding, and what a small settle needs for the threads.
        let tolerance = settle / 100 + 2000;
        if self.open > 1 {
            return Some("a second create while the first is in flight".into());
        }
        let waited = mono.saturating_sub(self.ambiguous?);
        if !self.looked_up {
            return Some("a second create without a look-up after an unknown outcome".into());
        }
        (waited + tolerance < settle).then(|| {
            let (waited, settle) = (waited / 1000, settle / 1000);
            format!("a second create {waited} ms after an unknown outcome, settle is {settle} ms")
        })
    }
}

#[derive(Default)]
pub(crate) struct Hold {
    /// From here (monotonic) until there (simulated) no call may arrive.
    pub from: u64,
    pub until: i64,
}

#[derive(Default)]
pub(crate) struct Writes {
    pub open: u32,
    pub ended: Option<u64>,
}

/// Everything the verdicts come from.
#[derive(Default)]
pub(crate) struct Judge {
    pub violations: Vec<Value>,
    pub counts: BTreeMap<&'static str, [u64; 2]>,
    pub codes: HashMap<String, CodeRecord>,
    pub origins: HashMap<String, i32>,
    pub writes: HashMap<String, Writes>,
    pub api_hold: Hold,
    pub token_hold: Hold,
    pub early_calls: u64,
    pub blind_creates: u64,
    pub token_open: u32,
}

impl Judge {
    /// Notes a breach.
    pub(crate) fn breach(&mut self, id: &'static str, fatal: bool, text: &str, call: &Call) {
        self.counts.entry(id).or_default()[usize::from(fatal)] += 1;
        if self.violations.len() < KEPT {
            self.violations.push(json!({
                "id": id, "severity": if fatal { "fatal" } else { "warn" }, "text": text, "seq": call.seq,
                "wall_us": call.arrived.wall, "operation": call.operation.as_str(), "method": call.request.method,
                "path": call.request.path, "confirmationCode": call.shown_code(),
            }));
        }
    }

    /// Breaches per invariant: `{"I8": {"warn": 0, "fatal": 1}}`.
    pub(crate) fn counts_json(&self) -> Value {
        let row = |(id, [warn, fatal]): (&&str, &[u64; 2])| ((*id).to_owned(), json!({"warn": warn, "fatal": fatal}));
        Value::Object(self.counts.iter().map(row).collect())
    }

    /// Judges a call at its arrival. `good_token`: the client has a token without a reason to replace it.
    pub(crate) fn arrived(&mut self, call: &Call, knobs: &Knobs, good_token: bool) {
        if knobs.limits && call.in_flight > knobs.max_in_flight {
            self.breach("I7", true, &format!("{} calls in flight", call.in_flight), call);
        }
        self.check_hold(call);
        match call.operation {
            Operation::Create => self.create_arrived(call, knobs),
            Operation::Token => self.token_arrived(call, good_token),
            Operation::Legacy if !knobs.legacy_enabled => {
                self.breach("I14", true, "a legacy endpoint was called", call);
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
            self.breach("I4", true, "an ignore flag was sent as true", call);
        }
    }

    fn unknown_arrived(&mut self, call: &Call) {
        if call.request.path.contains("/trap") {
            let leaked = call.request.header("authorization").is_some();
            self.breach("I12", leaked, "a redirect was followed", call);
        } else {
            self.breach("ROUTE", true, "unknown route", call);
        }
    }

    fn check_hold(&mut self, call: &Call) {
        let hold = if call.operation == Operation::Token { &self.token_hold } else { &self.api_hold };
        if hold.until == 0 || call.arrived.mono < hold.from || call.arrived.sim >= hold.until - 2000 {
            return;
        }
        let left = (hold.until - call.arrived.sim) / 1000;
        self.early_calls += 1;
        self.breach("I6", true, &format!("called {left} ms before Retry-After ended"), call);
    }

    fn token_arrived(&mut self, call: &Call, good_token: bool) {
        self.token_open += 1;
        if self.token_open > 1 {
            self.breach("I5", false, "parallel token requests", call);
        }
        if good_token {
            self.breach("I5", false, "a token was asked for while a good one exists", call);
        }
    }

    fn create_arrived(&mut self, call: &Call, knobs: &Knobs) {
        let Some(code) = call.code.clone() else {
            self.breach("I1", false, "create without a confirmationCode", call);
            return;
        };
        let record = self.codes.entry(code).or_default();
        record.creates += 1;
        record.open += 1;
        let blind = record.open > 1 || (record.ambiguous.is_some() && !record.looked_up);
        record.blind += u32::from(blind);
        let (refused, creates) = (record.refused, record.creates);
        let trouble = record.second_create(call.arrived.mono, knobs);
        self.blind_creates += u64::from(blind);
        if let Some(text) = trouble {
            self.breach("I8", true, &text, call);
        }
        if refused {
            let text = "a create again after a definite refusal";
            self.breach("I13", false, text, call);
        }
        if creates == 6 {
            self.breach("I13", false, "more than five creates for one code", call);
        }
    }

    fn write_arrived(&mut self, call: &Call, knobs: &Knobs) {
        let Some(id) = call.id.clone() else { return };
        let gap = knobs.scaled_us(knobs.settle_gap_ms);
        let record = self.writes.entry(id).or_default();
        record.open += 1;
        let overlap = record.open > 1;
        let early = record.ended.is_some_and(|ended| call.arrived.mono + gap / 50 + 2000 < ended + gap);
        let fatal = knobs.profile == Profile::Hostile;
        if overlap {
            self.breach("I9", fatal, "overlapping writes to one reservation", call);
        } else if early {
            self.breach("I9", fatal, "a write within the settle gap of the one before", call);
        }
    }
}
