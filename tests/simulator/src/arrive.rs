//! Step one of a call: number, judge, faults, rate, bearer. Called by server.rs under the state lock.

use crate::answer::Answer;
use crate::call::{Call, Operation};
use crate::clock::Now;
use crate::faults::{Effect, When};
use crate::state::State;
use crate::tokens::{self, Trouble};
use serde_json::json;

/// What was decided at the arrival of a call.
#[derive(Default)]
pub(crate) struct Plan {
    pub effects: Vec<Effect>,
    pub refusal: Option<Answer>,
    /// Before the commit.
    pub before: Stay,
    /// Between the commit and the answer.
    pub after: Stay,
}

/// How long a call is kept waiting on one side of its commit.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stay {
    pub ms: u64,
    /// Until the next release; how many there had been.
    pub held: Option<u64>,
}

impl Plan {
    fn stay(&mut self, when: When) -> &mut Stay {
        match when {
            When::Before => &mut self.before,
            When::After => &mut self.after,
        }
    }
}

impl Stay {
    pub(crate) const fn is_none(self) -> bool {
        self.ms == 0 && self.held.is_none()
    }
}

impl State {
    /// Step one: number, judge, faults, rate, bearer.
    pub(crate) fn begin(&mut self, call: &mut Call) -> Plan {
        self.land_late();
        let now = self.now();
        self.seq += 1;
        (call.seq, call.epoch, call.arrived) = (self.seq, self.epoch, now);
        let token = call.operation == Operation::Token;
        let good_token = token && self.tokens.client_has_good_one(now);
        self.judge.arrived(call, &self.knobs, good_token);
        self.metrics.arrived(call);
        let effects = self.faults.pick(call, now, &mut self.rng);
        call.faults = effects.iter().map(Effect::name).collect();
        let before = Stay { ms: self.knobs.latency_ms, held: None };
        let mut plan = Plan { before, ..Plan::default() };
        for effect in &effects {
            self.prepare(effect, call, &mut plan, now);
        }
        let never_accepted = effects.iter().any(|e| matches!(e, Effect::DropBeforeAccept { .. }));
        if !token && !never_accepted && call.request.path.starts_with("/v1/") {
            plan.refusal = self.gate(call, now);
        }
        self.check_url(call);
        plan.effects = effects;
        plan
    }

    fn prepare(&mut self, effect: &Effect, call: &Call, plan: &mut Plan, now: Now) {
        match effect {
            Effect::Latency { ms, max_ms, when } => {
                let ms = self.rng.between(*ms, max_ms.unwrap_or(*ms));
                plan.stay(*when).ms += ms;
            }
            Effect::Hang { ms, when } => plan.stay(*when).ms += ms,
            Effect::Hold { when } => plan.stay(*when).held = Some(self.releases),
            Effect::TokenExpireNow => self.tokens.expire(call.bearer.as_deref(), now),
            Effect::TokenRevoke => self.tokens.revoke_all(),
            _ => {}
        }
    }

    /// Rate first, then the bearer.
    fn gate(&mut self, call: &mut Call, now: Now) -> Option<Answer> {
        let crowded = call.in_flight > self.knobs.max_in_flight;
        if let Err(seconds) = self.limits.take(&self.knobs, now.sim, crowded) {
            call.rate_refused = true;
            let answer = match self.knobs.rate_limit_body.as_str() {
                "html" => Answer::html(429),
                "empty" => Answer::empty(429),
                _ => Answer::json(429, &json!({"message": "Too Many Requests"})),
            };
            return Some(answer.with("Retry-After", seconds.to_string()));
        }
        self.check_bearer(call, now).err().map(|trouble| {
            call.auth_refused = true;
            tokens::refusal(trouble, &self.knobs, &mut self.rng)
        })
    }

    fn check_bearer(&mut self, call: &Call, now: Now) -> Result<(), Trouble> {
        let bearer = call.bearer.as_deref();
        let known_bad =
            bearer.and_then(|value| self.tokens.known_bad(value, now, self.knobs.retry_after_grace_ms * 1000));
        if let Some(text) = known_bad {
            self.judge.breach("I12", true, text, call);
        }
        let checked = self.tokens.check(bearer, now);
        match checked {
            Err(Trouble::Missing) => self.judge.breach("I12", true, "a call without a bearer", call),
            Err(Trouble::NeverIssued) => self.judge.breach("I12", true, "a bearer that was never issued here", call),
            _ => {}
        }
        checked
    }

    fn check_url(&mut self, call: &Call) {
        let secret = &self.knobs.client_secret;
        let target = &call.request.target;
        if (!secret.is_empty() && target.contains(secret.as_str())) || self.tokens.appears_in(target) {
            self.judge.breach("I12", true, "a secret in the URL", call);
        }
    }
}
