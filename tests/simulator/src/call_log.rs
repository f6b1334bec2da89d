//! The call log: one row for each call, bounded. Written by state.rs under its lock, read through admin.rs.

use crate::call::{Call, Ending, fingerprint};
use crate::clock::Now;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// One call and its end.
pub(crate) struct Row {
    pub seq: u64,
    wall_us: i64,
    operation: &'static str,
    method: String,
    path: String,
    code: Option<String>,
    origin_id: Option<String>,
    pub status: u16,
    pub committed: bool,
    ending: Ending,
    faults: Vec<String>,
    in_flight: u32,
    duration_us: u64,
    bearer: Option<String>,
}

/// The latest rows.
#[derive(Default)]
pub(crate) struct CallLog {
    rows: VecDeque<Row>,
    pub dropped: u64,
}

impl CallLog {
    pub(crate) fn push(&mut self, call: &Call, ending: Ending, status: u16, committed: bool, now: Now, keep: usize) {
        let row = Row {
            seq: call.seq,
            wall_us: call.arrived.wall,
            operation: call.operation.as_str(),
            method: call.request.method.clone(),
            path: call.request.path.clone(),
            code: call.shown_code().map(str::to_owned),
            origin_id: call.origin_id.clone(),
            status,
            committed,
            ending,
            faults: call.faults.clone(),
            in_flight: call.in_flight,
            duration_us: now.mono.saturating_sub(call.arrived.mono),
            bearer: call.bearer.as_deref().map(fingerprint),
        };
        if keep > 0 {
            self.rows.push_back(row);
        }
        while self.rows.len() > keep {
            self.rows.pop_front();
            self.dropped += 1;
        }
    }

    /// Corrects a row: a late commit, an answer that could not be written.
    pub(crate) fn amend(&mut self, seq: u64, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.iter_mut().rev().find(|row| row.seq == seq) {
            change(row);
        }
    }

    /// Rows after `since`, oldest first; only those of the given operation and code.
    pub(crate) fn json(&self, since: u64, operation: Option<&str>, code: Option<&str>, limit: usize) -> Value {
        let wanted = |row: &&Row| {
            row.seq > since
                && operation.is_none_or(|o| o == row.operation)
                && code.is_none_or(|c| row.code.as_deref() == Some(c))
        };
        let rows: Vec<Value> = self.rows.iter().filter(wanted).take(limit).map(Row::json).collect();
        json!({"rows": rows, "kept": self.rows.len(), "dropped": self.dropped})
    }
}

impl Row {
    pub(crate) fn set_ending(&mut self, ending: Ending) {
        self.ending = ending;
    }

    fn json(&self) -> Value {
        json!({
            "seq": self.seq, "wall_us": self.wall_us, "operation": self.operation, "method": self.method,
            "path": self.path, "confirmationCode": self.code, "originId": self.origin_id, "status": self.status,
            "committed": self.committed, "ending": self.ending.as_str(), "faults": self.faults,
            "in_flight": self.in_flight, "duration_us": self.duration_us, "bearer": self.bearer,
        })
    }
}
