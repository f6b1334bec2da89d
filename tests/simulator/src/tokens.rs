//! OAuth tokens: issue, cap, expiry, revocation and checks. Under the state lock.

use crate::answer::Answer;
use crate::call::{Call, fingerprint};
use crate::clock::Now;
use crate::config::Knobs;
use crate::http::parse_pairs;
use crate::rng::Rng;
use serde_json::json;
use std::collections::HashMap;

/// One issued token.
pub(crate) struct Token {
    issued: u64,
    lifetime_us: u64,
    expires: i64,
    revoked: bool,
    /// When a call was first answered with 401 or 403 because of it.
    pub rejected: Option<u64>,
    /// The client has received it.
    pub delivered: bool,
}

/// The reason why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    Missing,
    NeverIssued,
    Expired,
    Revoked,
}

/// All tokens since the last reset.
#[derive(Default)]
pub(crate) struct Tokens {
    by_value: HashMap<String, Token>,
    issues: Vec<i64>,
    blocked_until: i64,
    pub issued: u64,
    pub refused: u64,
}

impl Tokens {
    /// Answers a token request.
    pub(crate) fn request(&mut self, call: &Call, knobs: &Knobs, now: Now, rng: &mut Rng) -> Answer {
        let bad = |status, error: &str| Answer::json(status, &json!({"error": error}));
        let form = call.request.header("content-type").unwrap_or("");
        if !form.starts_with("application/x-www-form-urlencoded") {
            return bad(400, "invalid_request");
        }
        let pairs = parse_pairs(&String::from_utf8_lossy(&call.request.body));
        let field = |name: &str| pairs.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v.as_str());
        if field("grant_type") != "client_credentials" {
            return bad(400, "unsupported_grant_type");
        }
        if field("scope") != "open-api" {
            return bad(400, "invalid_scope");
        }
        if field("client_id") != knobs.client_id || field("client_secret") != knobs.client_secret {
            return bad(401, "invalid_client");
        }
        if let Some(seconds) = self.seconds_until_allowed(knobs, now) {
            return Answer::json(429, &json!({"message": "Too many requests"}))
                .with("Retry-After", seconds.to_string());
        }
        self.issue(knobs, now, rng)
    }

    fn seconds_until_allowed(&mut self, knobs: &Knobs, now: Now) -> Option<i64> {
        let window = i64::try_from(knobs.token_window_s).unwrap_or(86_400) * 1_000_000;
        if knobs.token_fixed_window {
            if self.issues.first().is_some_and(|first| now.sim - first >= window) {
                self.issues.clear();
            }
        } else {
            self.issues.retain(|at| now.sim - at < window);
        }
        let cap = knobs.token_cap as usize;
        let full = cap > 0 && self.issues.len() >= cap;
        if !full && now.sim >= self.blocked_until {
            return None;
        }
        self.refused += 1;
        let free_at = if full { self.issues.first().map_or(now.sim, |first| first + window) } else { now.sim };
        if knobs.punish_hammering {
            self.blocked_until = self.blocked_until.max(free_at) + 600_000_000;
        }
        Some((self.blocked_until.max(free_at) - now.sim + 999_999).max(1_000_000) / 1_000_000)
    }

    fn issue(&mut self, knobs: &Knobs, now: Now, rng: &mut Rng) -> Answer {
        self.issues.push(now.sim);
        self.issued += 1;
        let value = format!("eyJzaW0iOjF9.{:016x}{:016x}.{:016x}", rng.next(), self.issued, rng.next());
        let lifetime_us = knobs.token_lifetime_s * 1_000_000;
        let token = Token {
            issued: now.mono,
            lifetime_us,
            expires: now.sim + i64::try_from(lifetime_us).unwrap_or(i64::MAX / 4),
            revoked: false,
            rejected: None,
            delivered: false,
        };
        let body = json!({"token_type": "Bearer", "expires_in": knobs.token_lifetime_s, "access_token": value, "scope": "open-api"});
        self.by_value.insert(value, token);
        Answer::json(200, &body).committed()
    }

    /// The client has received the newest token.
    pub(crate) fn delivered(&mut self) {
        if let Some(token) = self.by_value.values_mut().max_by_key(|t| t.issued) {
            token.delivered = true;
        }
    }

    /// True if the client has a token that it has no reason to replace: not refused and not about to expire.
    pub(crate) fn client_has_usable_token(&self, now: Now) -> bool {
        self.by_value.values().any(|token| {
            let left = (token.issued + token.lifetime_us).saturating_sub(now.mono);
            let renew = (token.lifetime_us / 100 * 15).min(3_600_000_000) + 1_000_000;
            token.delivered && token.rejected.is_none() && left > renew
        })
    }

    /// Checks a token.
    pub(crate) fn check(&self, bearer: Option<&str>, now: Now) -> Result<(), TokenError> {
        let token = self.by_value.get(bearer.ok_or(TokenError::Missing)?).ok_or(TokenError::NeverIssued)?;
        if token.revoked {
            Err(TokenError::Revoked)
        } else if now.sim >= token.expires {
            Err(TokenError::Expired)
        } else {
            Ok(())
        }
    }

    /// Why the client should have known that this token is no longer valid: by its own clock, or because it was refused.
    pub(crate) fn known_bad(&self, bearer: &str, now: Now, grace_us: u64) -> Option<&'static str> {
        let token = self.by_value.get(bearer)?;
        if now.mono > token.issued + token.lifetime_us + grace_us {
            return Some("the token is past its expires_in");
        }
        let refused_before = token.rejected.is_some_and(|at| now.mono > at + grace_us);
        refused_before.then_some("the token was already refused")
    }

    pub(crate) fn mark_rejected(&mut self, bearer: &str, now: Now) {
        if let Some(token) = self.by_value.get_mut(bearer) {
            token.rejected.get_or_insert(now.mono);
        }
    }

    pub(crate) fn revoke_all(&mut self) {
        self.by_value.values_mut().for_each(|token| token.revoked = true);
    }

    pub(crate) fn expire(&mut self, bearer: Option<&str>, now: Now) {
        if let Some(token) = bearer.and_then(|value| self.by_value.get_mut(value)) {
            token.expires = now.sim;
        }
    }

    /// True if the text contains an issued token.
    pub(crate) fn appears_in(&self, text: &str) -> bool {
        self.by_value.keys().any(|value| text.contains(value.as_str()))
    }

    /// Fingerprints of all tokens, for `/__sim/state`.
    pub(crate) fn fingerprints(&self) -> Vec<String> {
        self.by_value.keys().map(|value| fingerprint(value)).collect()
    }
}

/// The answer to a token that is not accepted.
pub(crate) fn refusal(trouble: TokenError, knobs: &Knobs, rng: &mut Rng) -> Answer {
    let chosen = match trouble {
        TokenError::Expired => knobs.expired_status,
        TokenError::Revoked => knobs.revoked_status,
        TokenError::Missing | TokenError::NeverIssued => 401,
    };
    let status = if chosen == 0 { if rng.chance(0.5) { 401 } else { 403 } } else { chosen };
    if status == 403 {
        let message = "You don't have permission to access, please contact Guesty support.";
        return Answer::json(403, &json!({"message": message}));
    }
    Answer::json(status, &json!({"error": {"code": "UNAUTHORIZED", "message": "Unauthorized"}}))
}
