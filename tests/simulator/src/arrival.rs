//! Step one of a call: its number, the invariants, faults, rate limits and the token. Called by server.rs under the state
//! lock.

use crate::answer::Answer;
use crate::call::{Call, Operation};
use crate::clock::Now;
use crate::faults::{Effect, When};
use crate::state::State;
use crate::tokens::{self, TokenError};
use serde_json::json;

/// Decisions made when a call arrives.
#[derive(Default)]
pub(crate) struct Arrival {
    pub effects: Vec<Effect>,
    pub refusal: Option<Answer>,
    /// Before the commit.
    pub before: Delay,
    /// Between the commit and the answer.
    pub after: Delay,
}

/// The delay of a call on one side of its commit.
#[derive(Clone, Copy, Default)]
pub(crate) struct Delay {
    pub ms: u64,
    /// Waits for the next release; the number of releases so far.
    pub until_release: Option<u64>,
}

impl Arrival {
    fn delay(&mut self, when: When) -> &mut Delay {
        match when {
            When::Before => &mut self.before,
            When::After => &mut self.after,
        }
    }
}

impl Delay {
    pub(crate) const fn is_none(self) -> bool {
        self.ms == 0 && self.until_release.is_none()
    }
}

impl State {
    /// Numbers the call, checks it, picks faults, and applies rate limits and the token.
    pub(crate) fn arrive(&mut self, call: &mut Call) -> Arrival {
        self.commit_due();
        let now = self.now();
        self.seq += 1;
        (call.seq, call.epoch, call.arrived) = (self.seq, self.epoch, now);
        let token = call.operation == Operation::Token;
        let usable_token = token && self.tokens.client_has_usable_token(now);
        self.checker.arrived(call, &self.knobs, usable_token);
        self.metrics.arrived(call);
        let effects = self.fault_plan.pick(call, now, &mut self.rng);
        call.faults = effects.iter().map(Effect::name).collect();
        let before = Delay { ms: self.knobs.latency_ms, until_release: None };
        let mut arrival = Arrival { before, ..Arrival::default() };
        for effect in &effects {
            self.apply_on_arrival(effect, call, &mut arrival, now);
        }
        let never_accepted = effects.iter().any(|e| matches!(e, Effect::DropBeforeAccept { .. }));
        if !token && !never_accepted && call.request.path.starts_with("/v1/") {
            arrival.refusal = self.admit(call, now);
        }
        self.check_url(call);
        arrival.effects = effects;
        arrival
    }

    fn apply_on_arrival(&mut self, effect: &Effect, call: &Call, arrival: &mut Arrival, now: Now) {
        match effect {
            Effect::Latency { ms, max_ms, when } => {
                let ms = self.rng.between(*ms, max_ms.unwrap_or(*ms));
                arrival.delay(*when).ms += ms;
            }
            Effect::Hang { ms, when } => arrival.delay(*when).ms += ms,
            Effect::Hold { when } => arrival.delay(*when).until_release = Some(self.releases),
            Effect::TokenExpireNow => self.tokens.expire(call.bearer.as_deref(), now),
            Effect::TokenRevoke => self.tokens.revoke_all(),
            _ => {}
        }
    }

    /// Checks the rate limits first, then the token.
    fn admit(&mut self, call: &mut Call, now: Now) -> Option<Answer> {
        let over_concurrency = call.in_flight > self.knobs.max_in_flight;
        if let Err(seconds) = self.limits.take(&self.knobs, now.sim, over_concurrency) {
            call.rate_refused = true;
            let answer = match self.knobs.rate_limit_body.as_str() {
                "html" => Answer::html(429),
                "empty" => Answer::empty(429),
                _ => Answer::json(429, &json!({"message": "Too Many Requests"})),
            };
            return Some(answer.with("Retry-After", seconds.to_string()));
        }
        self.check_bearer(call, now).err().map(|trouble| {
            call.token_refused = true;
            tokens::refusal(trouble, &self.knobs, &mut self.rng)
        })
    }

    fn check_bearer(&mut self, call: &Call, now: Now) -> Result<(), TokenError> {
        let bearer = call.bearer.as_deref();
        let known_bad =
            bearer.and_then(|value| self.tokens.known_bad(value, now, self.knobs.retry_after_grace_ms * 1000));
        if let Some(text) = known_bad {
            self.checker.report("I12", true, text, call);
        }
        let checked = self.tokens.check(bearer, now);
        match checked {
            Err(TokenError::Missing) => self.checker.report("I12", true, "a call without a token", call),
            Err(TokenError::NeverIssued) => self.checker.report("I12", true, "a token that was never issued", call),
            _ => {}
        }
        checked
    }

    fn check_url(&mut self, call: &Call) {
        let secret = &self.knobs.client_secret;
        let target = &call.request.target;
        if (!secret.is_empty() && target.contains(secret.as_str())) || self.tokens.appears_in(target) {
            self.checker.report("I12", true, "a secret in the URL", call);
        }
    }
}
