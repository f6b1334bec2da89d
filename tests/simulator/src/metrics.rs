//! Counters over all calls. Written by state.rs under its lock, read through admin.rs.

use crate::call::{Call, Ending};
use crate::invariants::{Checker, CodeRecord};
use crate::state::State;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Counts of one operation.
#[derive(Default)]
struct Count {
    requests: u64,
    committed: u64,
    dropped: u64,
    client_gone: u64,
    by_status: BTreeMap<u16, u64>,
    first_us: i64,
    last_us: i64,
}

/// All counters since the last reset.
#[derive(Default)]
pub(crate) struct Metrics {
    operations: BTreeMap<&'static str, Count>,
    pub max_in_flight: u32,
    pub rate_limited: u64,
    pub answered_429: u64,
    pub late_commits: u64,
}

impl Metrics {
    pub(crate) fn arrived(&mut self, call: &Call) {
        self.max_in_flight = self.max_in_flight.max(call.in_flight);
        let count = self.operations.entry(call.operation.as_str()).or_default();
        if count.requests == 0 {
            count.first_us = call.arrived.wall;
        }
        count.requests += 1;
        count.last_us = call.arrived.wall;
    }

    pub(crate) fn ended(&mut self, call: &Call, ending: Ending, status: u16, committed: bool) {
        let count = self.operations.entry(call.operation.as_str()).or_default();
        count.committed += u64::from(committed);
        match ending {
            Ending::Answered => *count.by_status.entry(status).or_default() += 1,
            Ending::Dropped => count.dropped += 1,
            Ending::ClientGone => count.client_gone += 1,
        }
        self.answered_429 += u64::from(status == 429 && ending == Ending::Answered);
        self.rate_limited += u64::from(call.rate_refused);
    }

    fn operations_json(&self) -> Value {
        let mut map = Map::new();
        for (name, count) in &self.operations {
            let statuses: Map<String, Value> = count.by_status.iter().map(|(s, n)| (s.to_string(), json!(n))).collect();
            let row = json!({"requests": count.requests, "committed": count.committed, "dropped": count.dropped,
                "client_gone": count.client_gone, "by_status": statuses, "first_us": count.first_us, "last_us": count.last_us});
            map.insert((*name).to_owned(), row);
        }
        Value::Object(map)
    }
}

/// The body of `GET /__sim/metrics`; `brief` omits the maps with an entry for each code.
pub(crate) fn json(state: &State, brief: bool) -> Value {
    let m = &state.metrics;
    let total: u64 = m.operations.values().map(|c| c.requests).sum();
    let first = m.operations.values().map(|c| c.first_us).min();
    let last = m.operations.values().map(|c| c.last_us).max();
    let mut body = json!({
        "requests": total, "operations": m.operations_json(), "max_in_flight": m.max_in_flight,
        "tokens_issued": state.tokens.issued, "tokens_refused": state.tokens.refused,
        "rate_limited": m.rate_limited, "answered_429": m.answered_429,
        "calls_before_retry_after_ended": state.checker.calls_before_retry_after,
        "creates_without_look_up": state.checker.unverified_creates, "late_commits": m.late_commits,
        "late_commits_pending": state.pending_commits.len(), "reservations": state.reservations.list.len(),
        "first_us": first, "last_us": last, "bucket_levels": state.limits.levels(),
        "violations": state.checker.counts_json(), "codes": codes_json(&state.checker),
    });
    if let Some(map) = body.as_object_mut().filter(|_| !brief) {
        let per_code = |value: fn(&CodeRecord) -> i64| -> Value {
            state.checker.codes.iter().map(|(code, r)| (code.clone(), json!(value(r)))).collect::<Map<_, _>>().into()
        };
        map.insert("creates_per_code".into(), per_code(|r| i64::from(r.creates)));
        map.insert("active_per_code".into(), per_code(|r| i64::from(r.active)));
    }
    body
}

fn codes_json(checker: &Checker) -> Value {
    let count = |wanted: fn(&CodeRecord) -> bool| checker.codes.values().filter(|r| wanted(r)).count();
    json!({
        "total": checker.codes.len(), "created_more_than_once": count(|r| r.creates > 1),
        "active_once": count(|r| r.active == 1), "active_more_than_once": count(|r| r.active > 1),
        "not_active": count(|r| r.active < 1), "unresolved": count(|r| r.unknown_since.is_some()),
    })
}
