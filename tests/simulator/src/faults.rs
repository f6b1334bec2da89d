//! The fault plan: rules that select calls, and their effects. Installed by admin.rs, asked by arrival.rs, all under the state
//! lock. Without rules it costs one length check.

use crate::call::Call;
use crate::clock::Now;
use crate::rng::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A rule, as the admin call sends it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(rename = "match", default)]
    pub matcher: Matcher,
    pub effect: Effect,
    /// The number of calls that matched, and how many of them got the effect.
    #[serde(skip_deserializing)]
    pub seen: u64,
    #[serde(skip_deserializing)]
    pub fired: u64,
    #[serde(skip)]
    installed: u64,
}

/// The calls that a rule selects: all given conditions must hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Matcher {
    pub method: Option<String>,
    #[serde(alias = "path_regex")]
    pub path: Option<String>,
    pub operation: Option<String>,
    pub body_contains: Option<String>,
    /// Only the n-th matching call, from 1.
    pub nth: Option<u64>,
    pub every: Option<u64>,
    pub prob: Option<f64>,
    /// The effect is used at most this many times.
    pub count: Option<u64>,
    /// Real milliseconds since the rule was installed: only after, and only for this time.
    pub after_ms: Option<u64>,
    pub for_ms: Option<u64>,
}

/// Before or after the commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum When {
    #[default]
    Before,
    After,
}

/// The way a connection is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Disconnect {
    #[default]
    Rst,
    Fin,
    HalfBody,
    WrongLength,
    ShortLength,
}

/// The effect on a matching call; `kind` is its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Effect {
    Latency {
        ms: u64,
        max_ms: Option<u64>,
        #[serde(default)]
        when: When,
    },
    Hang {
        ms: u64,
        #[serde(default)]
        when: When,
    },
    Hold {
        #[serde(default)]
        when: When,
    },
    DropBeforeAccept {
        #[serde(default)]
        how: Disconnect,
    },
    DropAfterAccept {
        #[serde(default)]
        how: Disconnect,
    },
    LateCommit {
        ms: u64,
        /// The status to answer with now; without it the connection is broken.
        status: Option<u16>,
        #[serde(default)]
        how: Disconnect,
    },
    Status {
        #[serde(alias = "status")]
        code: u16,
        #[serde(default)]
        body: Option<String>,
        #[serde(default)]
        retry_after: Option<Value>,
        #[serde(default)]
        committed: bool,
    },
    RateLimit {
        #[serde(default)]
        retry_after: Option<Value>,
    },
    TokenExpireNow,
    TokenRevoke,
    OauthDown {
        status: Option<u16>,
    },
    CalendarConflict {
        status: Option<u16>,
    },
    Garbage {
        shape: String,
        status: Option<u16>,
    },
    /// Replaces one field of a successful answer.
    Rewrite {
        field: String,
        value: Value,
    },
    Redirect {
        to: String,
        code: Option<u16>,
    },
    SlowBody {
        bytes_per_s: u64,
    },
    StatusSilentIgnore,
}

impl Effect {
    /// The name in the call log.
    pub(crate) fn name(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.get("kind").and_then(Value::as_str).unwrap_or("?").to_owned()
    }
}

/// A header value given as text or number.
pub(crate) fn header_text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// All installed rules.
#[derive(Default)]
pub(crate) struct FaultPlan {
    pub rules: Vec<Rule>,
}

impl FaultPlan {
    pub(crate) fn install(&mut self, value: &Value, now: Now) -> Result<(), String> {
        let list = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        let mut rules = Vec::new();
        for entry in list {
            let mut rule: Rule = serde_json::from_value(entry).map_err(|e| e.to_string())?;
            rule.installed = now.mono;
            rules.push(rule);
        }
        self.rules.extend(rules);
        Ok(())
    }

    /// Removes the rules that hold calls.
    pub(crate) fn remove_holds(&mut self) {
        self.rules.retain(|rule| !matches!(rule.effect, Effect::Hold { .. }));
    }

    /// The effects for this call, in the order of the rules.
    pub(crate) fn pick(&mut self, call: &Call, now: Now, rng: &mut Rng) -> Vec<Effect> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        self.rules.iter_mut().filter_map(|rule| rule.fires(call, now, rng)).collect()
    }
}

impl Rule {
    fn fires(&mut self, call: &Call, now: Now, rng: &mut Rng) -> Option<Effect> {
        let age = now.mono.saturating_sub(self.installed) / 1000;
        if !self.matcher.matches(call, age) || self.matcher.count.is_some_and(|count| self.fired >= count) {
            return None;
        }
        self.seen += 1;
        let by_place = self.matcher.nth.is_none_or(|n| n == self.seen)
            && self.matcher.every.is_none_or(|n| n == 0 || self.seen.is_multiple_of(n));
        if !by_place || self.matcher.prob.is_some_and(|p| !rng.chance(p)) {
            return None;
        }
        self.fired += 1;
        Some(self.effect.clone())
    }
}

impl Matcher {
    fn matches(&self, call: &Call, age_ms: u64) -> bool {
        self.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(&call.request.method))
            && self.path.as_deref().is_none_or(|p| call.request.path.contains(p) || call.request.target.contains(p))
            && self.operation.as_deref().is_none_or(|o| o == call.operation.as_str())
            && self.after_ms.is_none_or(|ms| age_ms >= ms)
            && self.for_ms.is_none_or(|ms| age_ms < ms)
            && self.body_contains.as_deref().is_none_or(|part| contains(&call.request.body, part.as_bytes()))
    }
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    part.is_empty() || body.windows(part.len()).any(|window| window == part)
}
