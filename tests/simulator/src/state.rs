//! The state behind the lock, what all its parts share, and the last step of a call: finish.
//! Called by server.rs on the connections' threads; the lock is never held while waiting or writing.

use crate::answer::Answer;
use crate::call::{Call, Fate, Operation};
use crate::clock::{Clock, Now};
use crate::config::Knobs;
use crate::faults::Faults;
use crate::judge::Judge;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::listings::{self, Listing};
use crate::metrics::Metrics;
use crate::reservations::Book;
use crate::rng::Rng;
use crate::tokens::Tokens;
use crate::verdicts::End;
use std::collections::HashMap;
use std::sync::Arc;

/// A call whose effect is still to come.
pub(crate) struct Late {
    pub due: u64,
    pub call: Call,
}

/// Everything the simulator knows.
pub(crate) struct State {
    pub clock: Arc<Clock>,
    pub knobs: Knobs,
    /// Advanced time in µs.
    pub offset: i64,
    pub epoch: u64,
    pub seq: u64,
    next_id: u64,
    pub rng: Rng,
    pub listings: HashMap<String, Listing>,
    pub book: Book,
    pub tokens: Tokens,
    pub limits: Limits,
    pub faults: Faults,
    pub judge: Judge,
    pub ledger: Ledger,
    pub metrics: Metrics,
    pub late: Vec<Late>,
    /// How often held calls were let go.
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
            book: Book::default(),
            tokens: Tokens::default(),
            faults: Faults::default(),
            judge: Judge::default(),
            ledger: Ledger::default(),
            metrics: Metrics::default(),
            late: Vec::new(),
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

    /// A lag of this range in µs, scaled.
    pub(crate) fn lag(&mut self, range_ms: [u64; 2]) -> u64 {
        let (low, high) = (self.knobs.scaled_us(range_ms[0]), self.knobs.scaled_us(range_ms[1]));
        self.rng.between(low, high)
    }

    /// Takes new knobs; the buckets are refilled only when their sizes changed.
    pub(crate) fn set_knobs(&mut self, knobs: Knobs) {
        let shape = |k: &Knobs| (k.limits, k.per_second, k.per_minute, k.per_hour, k.second_ms, k.minute_ms, k.hour_ms);
        let reshaped = shape(&self.knobs) != shape(&knobs);
        self.knobs = knobs;
        if reshaped {
            self.limits = Limits::new(&self.knobs, self.now().sim);
        }
    }

    /// Step three: the ledger and the judge. Before the answer is written, so that whoever reads it finds the row.
    pub(crate) fn finish(&mut self, call: &Call, fate: Fate, answer: &Answer) {
        if call.epoch != self.epoch {
            return;
        }
        let now = self.now();
        let retry_after = answer.header("Retry-After");
        let end = End { fate, status: answer.status, committed: answer.committed, retry_after };
        self.judge.ended(call, &end, &self.knobs, now);
        self.metrics.ended(call, fate, answer.status, answer.committed);
        self.ledger.push(call, fate, answer.status, answer.committed, now, self.knobs.keep_ledger);
        if call.operation == Operation::Token && fate == Fate::Answered && answer.status == 200 && !call.spoiled {
            self.tokens.delivered();
        }
        if let Some(bearer) = call.bearer.as_deref().filter(|_| call.auth_refused && fate == Fate::Answered) {
            self.tokens.note_rejected(bearer, now);
        }
    }

    /// The client went away although an answer was ready.
    pub(crate) fn lost(&mut self, call: &Call) {
        if call.epoch == self.epoch {
            let now = self.now();
            self.judge.lost(call, now);
            self.ledger.patch(call.seq, |row| row.set_fate(Fate::Gone));
        }
    }

    /// A call whose client had gone was carried out after all.
    pub(crate) fn committed_alone(&mut self, call: &Call, answer: &Answer) {
        if call.epoch == self.epoch && answer.committed {
            self.metrics.late_commits += 1;
            self.ledger.patch(call.seq, |row| row.committed = true);
        }
    }
}
