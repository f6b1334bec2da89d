//! Step two of a call: the business logic, bent by the effects of faults; and commits that come late.
//! Called by server.rs under the state lock.

use crate::answer::{Answer, Delivery};
use crate::arrive::Plan;
use crate::call::{Call, Fate, Operation};
use crate::clock::Now;
use crate::create::conflict;
use crate::effects;
use crate::faults::{Cut, Effect};
use crate::state::{Late, State};
use serde_json::json;

/// The answer and how it leaves.
pub(crate) struct Outcome {
    pub answer: Answer,
    pub delivery: Delivery,
}

impl Outcome {
    pub(crate) fn fate(&self) -> Fate {
        let whole = matches!(self.delivery, Delivery::Whole | Delivery::Slow(_));
        if whole { Fate::Answered } else { Fate::Dropped }
    }
}

impl State {
    /// Step two: the business logic, bent by the effects.
    pub(crate) fn execute(&mut self, call: &mut Call, plan: &Plan) -> Outcome {
        self.land_late();
        if call.epoch != self.epoch {
            return Outcome { answer: Answer::empty(503), delivery: Delivery::Fin };
        }
        if let Some(delivery) = plan.effects.iter().find_map(dropped_before) {
            return Outcome { answer: Answer::empty(0), delivery };
        }
        let now = self.now();
        let mut outcome = match &plan.refusal {
            Some(refusal) => Outcome { answer: refusal.clone(), delivery: Delivery::Whole },
            None => self.apply(call, &plan.effects, now),
        };
        for effect in &plan.effects {
            bend(effect, call, &mut outcome);
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
                    self.late.push(Late { due, call });
                    if status.is_none() {
                        delivery = how.delivery();
                    }
                    Some(effects::status(status.unwrap_or(502), None, None))
                }
                Effect::CalendarConflict { status } => {
                    self.block_for(call, now);
                    Some(conflict(status.unwrap_or(self.knobs.conflict_status)))
                }
                Effect::StatusSilentIgnore => {
                    silent = true;
                    None
                }
                other => effects::instead(other),
            };
            if let Some(answer) = answer {
                call.auth_refused |= refuses_token(effect);
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

    /// Commits what is due. Done lazily at every call, which nobody can tell from a timer.
    pub(crate) fn land_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let mono = self.now().mono;
        let mut due = Vec::new();
        while let Some(at) = self.late.iter().position(|late| late.due <= mono) {
            due.push(self.late.swap_remove(at));
        }
        due.sort_by_key(|late| late.due);
        for late in due {
            let at = self.clock.at(late.due, self.offset);
            if self.process(&late.call, at, false).committed {
                self.metrics.late_commits += 1;
                self.ledger.patch(late.call.seq, |row| row.committed = true);
            }
        }
    }
}

/// Effects on a finished answer.
fn bend(effect: &Effect, call: &mut Call, outcome: &mut Outcome) {
    match effect {
        // A call refused for rate was not accepted, and its status line alone says so.
        Effect::DropAfterAccept { how } if outcome.answer.status != 429 => outcome.delivery = how.delivery(),
        Effect::SlowBody { bytes_per_s } => outcome.delivery = Delivery::Slow(*bytes_per_s),
        Effect::Status { code, body, retry_after, committed: true } => {
            let committed = outcome.answer.committed;
            outcome.answer = effects::status(*code, body.as_deref(), retry_after.as_ref());
            outcome.answer.committed = committed;
        }
        Effect::Garbage { shape, status } if outcome.answer.status < 300 => {
            let (answer, spoiled) = effects::garbage(shape, &outcome.answer);
            outcome.answer = Answer { status: status.unwrap_or(answer.status), ..answer };
            call.spoiled = spoiled;
        }
        Effect::Rewrite { field, value } if outcome.answer.status < 300 => {
            outcome.answer.body = effects::rewritten(field, value, &outcome.answer.body);
            // Of the id and the code a client may rightly believe nothing.
            call.spoiled |= matches!(field.as_str(), "reservationId" | "confirmationCode");
        }
        _ => {}
    }
}

/// How a call that is never accepted ends. There is no body that could be cut in half.
fn dropped_before(effect: &Effect) -> Option<Delivery> {
    match effect {
        Effect::DropBeforeAccept { how: Cut::Rst } => Some(Delivery::Rst),
        Effect::DropBeforeAccept { .. } => Some(Delivery::Fin),
        _ => None,
    }
}

/// Whether a rule's made-up 401 or 403 is a refusal of the token in the client's eyes.
fn refuses_token(effect: &Effect) -> bool {
    let Effect::Status { code: 401 | 403, body, .. } = effect else { return false };
    let text = body.as_deref().unwrap_or("").to_lowercase();
    !["availab", "terms", "nights"].iter().any(|word| text.contains(word))
}
