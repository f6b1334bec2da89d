//! Step two of a call: the business logic, modified by fault effects; and late commits. Called by server.rs under the state
//! lock.

use crate::answer::{Answer, Delivery};
use crate::arrival::Arrival;
use crate::call::{Call, Ending, Operation};
use crate::clock::Now;
use crate::create::conflict;
use crate::fault_answers;
use crate::faults::{Disconnect, Effect};
use crate::state::{PendingCommit, State};
use serde_json::json;

/// The answer and the way it is sent.
pub(crate) struct Outcome {
    pub answer: Answer,
    pub delivery: Delivery,
}

impl Outcome {
    pub(crate) fn ending(&self) -> Ending {
        let whole = matches!(self.delivery, Delivery::Whole | Delivery::Slow(_));
        if whole { Ending::Answered } else { Ending::Dropped }
    }
}

impl State {
    /// Runs the business logic, modified by the fault effects.
    pub(crate) fn execute(&mut self, call: &mut Call, arrival: &Arrival) -> Outcome {
        self.commit_due();
        if call.epoch != self.epoch {
            return Outcome { answer: Answer::empty(503), delivery: Delivery::Fin };
        }
        if let Some(delivery) = arrival.effects.iter().find_map(dropped_before) {
            return Outcome { answer: Answer::empty(0), delivery };
        }
        let now = self.now();
        let mut outcome = match &arrival.refusal {
            Some(refusal) => Outcome { answer: refusal.clone(), delivery: Delivery::Whole },
            None => self.apply(call, &arrival.effects, now),
        };
        for effect in &arrival.effects {
            apply_effect(effect, call, &mut outcome);
        }
        outcome.answer.headers.push(("x-request-id", format!("sim-{}-{:010}", self.epoch, call.seq)));
        if call.request.path.starts_with("/v1/") {
            outcome.answer.headers.extend(self.limits.headers(&self.knobs));
        }
        outcome
    }

    fn apply(&mut self, call: &mut Call, effects: &[Effect], now: Now) -> Outcome {
        let mut silent = false;
        let mut delivery = Delivery::Whole;
        for effect in effects {
            let answer = match effect {
                Effect::LateCommit { ms, status, how } => {
                    let (due, call) = (now.mono + ms * 1000, call.clone());
                    self.pending_commits.push(PendingCommit { due, call });
                    if status.is_none() {
                        delivery = how.delivery();
                    }
                    Some(fault_answers::status(status.unwrap_or(502), None, None))
                }
                Effect::CalendarConflict { status } => {
                    self.block_for(call, now);
                    Some(conflict(status.unwrap_or(self.knobs.conflict_status)))
                }
                Effect::StatusSilentIgnore => {
                    silent = true;
                    None
                }
                other => fault_answers::replacement(other),
            };
            if let Some(answer) = answer {
                call.token_refused |= refuses_token(effect);
                return Outcome { answer, delivery };
            }
        }
        let answer = self.process(call, now, silent);
        Outcome { answer, delivery }
    }

    fn process(&mut self, call: &Call, now: Now, silent: bool) -> Answer {
        match call.operation {
            Operation::Token => self.tokens.request(call, &self.knobs, now, &mut self.rng),
            Operation::Create => self.create(call, now),
            Operation::Search => self.search(call, now),
            Operation::Get => self.get_by_ids(call, now),
            Operation::Update => self.update(call, now, silent),
            Operation::Payment => self.payments(call, now),
            Operation::Listing => self.get_listing(call),
            Operation::Legacy => Answer::empty(410),
            Operation::Unknown => Answer::json(404, &json!({"message": "Not Found"})),
        }
    }

    /// Commits what is due: lazily, at every call, which no client can distinguish from a timer.
    pub(crate) fn commit_due(&mut self) {
        if self.pending_commits.is_empty() {
            return;
        }
        let mono = self.now().mono;
        let mut due = Vec::new();
        while let Some(at) = self.pending_commits.iter().position(|late| late.due <= mono) {
            due.push(self.pending_commits.swap_remove(at));
        }
        due.sort_by_key(|late| late.due);
        for late in due {
            let at = self.clock.at(late.due, self.offset);
            if self.process(&late.call, at, false).committed {
                self.metrics.late_commits += 1;
                self.call_log.amend(late.call.seq, |row| row.committed = true);
            }
        }
    }
}

/// Applies an effect to a finished answer.
fn apply_effect(effect: &Effect, call: &mut Call, outcome: &mut Outcome) {
    match effect {
        // A call that was refused for its rate was not accepted.
        Effect::DropAfterAccept { how } if outcome.answer.status != 429 => outcome.delivery = how.delivery(),
        Effect::SlowBody { bytes_per_s } => outcome.delivery = Delivery::Slow(*bytes_per_s),
        Effect::Status { code, body, retry_after, committed: true } => {
            let committed = outcome.answer.committed;
            outcome.answer = fault_answers::status(*code, body.as_deref(), retry_after.as_ref());
            outcome.answer.committed = committed;
        }
        Effect::Garbage { shape, status } if outcome.answer.status < 300 => {
            let (answer, garbled) = fault_answers::garbage(shape, &outcome.answer);
            outcome.answer = Answer { status: status.unwrap_or(answer.status), ..answer };
            call.garbled = garbled;
        }
        Effect::Rewrite { field, value } if outcome.answer.status < 300 => {
            outcome.answer.body = fault_answers::rewritten(field, value, &outcome.answer.body);
            // The client cannot trust the id or the code of such an answer.
            call.garbled |= matches!(field.as_str(), "reservationId" | "confirmationCode");
        }
        _ => {}
    }
}

/// The delivery of a call that is never accepted. There is no body to cut in half.
fn dropped_before(effect: &Effect) -> Option<Delivery> {
    match effect {
        Effect::DropBeforeAccept { how: Disconnect::Rst } => Some(Delivery::Rst),
        Effect::DropBeforeAccept { .. } => Some(Delivery::Fin),
        _ => None,
    }
}

/// True if the client takes a rule's 401 or 403 for a refusal of its token.
fn refuses_token(effect: &Effect) -> bool {
    let Effect::Status { code: 401 | 403, body, .. } = effect else { return false };
    let text = body.as_deref().unwrap_or("").to_lowercase();
    !["availab", "terms", "nights"].iter().any(|word| text.contains(word))
}
