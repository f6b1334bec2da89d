//! The state behind the lock, and the last step of a call. Called by server.rs on the connections' threads; the lock is never
//! held while waiting or writing.

use crate::answer::Answer;
use crate::call::{Call, Ending, Operation};
use crate::call_log::CallLog;
use crate::clock::{Clock, Now};
use crate::config::Knobs;
use crate::faults::FaultPlan;
use crate::invariants::CallEnd;
use crate::invariants::Checker;
use crate::limits::Limits;
use crate::listings::{self, Listing};
use crate::metrics::Metrics;
use crate::reservations::Reservations;
use crate::rng::Rng;
use crate::tokens::Tokens;
use std::collections::HashMap;
use std::sync::Arc;

/// A call that is answered and not yet committed.
pub(crate) struct PendingCommit {
    pub due: u64,
    pub call: Call,
}

/// The simulator's state.
pub(crate) struct State {
    pub clock: Arc<Clock>,
    pub knobs: Knobs,
    /// The time by which tests have advanced the clock, in µs.
    pub offset: i64,
    pub epoch: u64,
    pub seq: u64,
    next_id: u64,
    pub rng: Rng,
    pub listings: HashMap<String, Listing>,
    pub reservations: Reservations,
    pub tokens: Tokens,
    pub limits: Limits,
    pub fault_plan: FaultPlan,
    pub checker: Checker,
    pub call_log: CallLog,
    pub metrics: Metrics,
    pub pending_commits: Vec<PendingCommit>,
    /// The number of releases of held calls.
    pub releases: u64,
}

impl State {
    pub(crate) fn new(knobs: Knobs, clock: Arc<Clock>, epoch: u64) -> Self {
        let sim = clock.now(0).sim;
        Self {
            rng: Rng::new(knobs.seed),
            limits: Limits::new(&knobs, sim),
            listings: listings::defaults(),
            clock,
            knobs,
            epoch,
            offset: 0,
            seq: 0,
            next_id: 0,
            reservations: Reservations::default(),
            tokens: Tokens::default(),
            fault_plan: FaultPlan::default(),
            checker: Checker::default(),
            call_log: CallLog::default(),
            metrics: Metrics::default(),
            pending_commits: Vec::new(),
            releases: 0,
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now(self.offset)
    }

    /// The next of the sequential 24-hex ids.
    pub(crate) fn new_id(&mut self) -> String {
        self.next_id += 1;
        format!("{:08x}{:016x}", 0x6a00_0000_u64 + (self.knobs.seed & 0xff_ffff), self.next_id)
    }

    /// A random lag of this range, scaled, in µs.
    pub(crate) fn lag(&mut self, range_ms: [u64; 2]) -> u64 {
        let (low, high) = (self.knobs.scaled_us(range_ms[0]), self.knobs.scaled_us(range_ms[1]));
        self.rng.between(low, high)
    }

    /// Sets the knobs. Rate limits start full again only if their sizes changed.
    pub(crate) fn set_knobs(&mut self, knobs: Knobs) {
        let shape = |k: &Knobs| (k.limits, k.per_second, k.per_minute, k.per_hour, k.second_ms, k.minute_ms, k.hour_ms);
        let reshaped = shape(&self.knobs) != shape(&knobs);
        self.knobs = knobs;
        if reshaped {
            self.limits = Limits::new(&self.knobs, self.now().sim);
        }
    }

    /// Checks and logs a call that has ended: before the answer is written, so that its reader finds the row.
    pub(crate) fn finish(&mut self, call: &Call, ending: Ending, answer: &Answer) {
        if call.epoch != self.epoch {
            return;
        }
        let now = self.now();
        let retry_after = answer.header("Retry-After");
        let end = CallEnd { ending, status: answer.status, committed: answer.committed, retry_after };
        self.checker.ended(call, &end, &self.knobs, now);
        self.metrics.ended(call, ending, answer.status, answer.committed);
        self.call_log.push(call, ending, answer.status, answer.committed, now, self.knobs.call_log_rows);
        if call.operation == Operation::Token && ending == Ending::Answered && answer.status == 200 && !call.garbled {
            self.tokens.delivered();
        }
        if let Some(bearer) = call.bearer.as_deref().filter(|_| call.token_refused && ending == Ending::Answered) {
            self.tokens.mark_rejected(bearer, now);
        }
    }

    /// The client disconnected although an answer was ready.
    pub(crate) fn client_gone(&mut self, call: &Call) {
        if call.epoch == self.epoch {
            let now = self.now();
            self.checker.client_gone(call, now);
            self.call_log.amend(call.seq, |row| row.set_ending(Ending::ClientGone));
        }
    }

    /// A call was executed although its client had disconnected.
    pub(crate) fn committed_without_client(&mut self, call: &Call, answer: &Answer) {
        if call.epoch == self.epoch && answer.committed {
            self.metrics.late_commits += 1;
            self.call_log.amend(call.seq, |row| row.committed = true);
        }
    }
}
