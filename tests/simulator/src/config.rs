//! The simulator's knobs. Everything about the API that is unknown is a knob; a profile is a set of values.
//! Read by every module under the state lock; changed through the admin calls.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An interpretation of the API's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Strictly as documented.
    Documented,
    /// As observed by real clients: asynchronous writes, quirks.
    Observed,
    /// The worst case of everything that is not documented.
    Hostile,
}

/// Settings of one simulator.
#[derive(Clone, Debug)]
pub struct Config {
    /// TCP port on 127.0.0.1; 0 lets the system choose.
    pub port: u16,
    /// All other settings.
    pub knobs: Knobs,
}

impl Default for Config {
    fn default() -> Self {
        Self { port: 0, knobs: Knobs::of(Profile::Observed) }
    }
}

/// Every adjustable behaviour. The admin calls accept any subset of these names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    /// The profile that the other values come from; it also selects the variant of the validation.
    pub profile: Profile,
    /// Seed of all random choices.
    pub seed: u64,
    /// Factor of every lag and of the propagation delay; 0.02 makes tests fast.
    pub lag_scale: f64,
    /// Enforces rate limits and the limit of calls in flight.
    pub limits: bool,
    /// Calls per first window; 0 is no limit.
    pub per_second: u32,
    /// Calls per second window; 0 is no limit.
    pub per_minute: u32,
    /// Calls per third window; 0 is no limit.
    pub per_hour: u32,
    /// Length of the first window in milliseconds.
    pub second_ms: u64,
    /// Length of the second window in milliseconds.
    pub minute_ms: u64,
    /// Length of the third window in milliseconds.
    pub hour_ms: u64,
    /// Calls allowed at the same time.
    pub max_in_flight: u32,
    /// Counts refused calls against the limits.
    pub refused_calls_count: bool,
    /// Smallest Retry-After of a refused call in seconds.
    pub retry_after_min_s: u64,
    /// Sends the header `X-RateLimit-Remaining-Hour`.
    pub remaining_hour_header: bool,
    /// Body of a 429: `json`, `empty` or `html`.
    pub rate_limit_body: String,
    /// Calls that arrive within this time after a 429 are no violation, since they were already on their way; in ms.
    pub retry_after_grace_ms: u64,
    /// Tokens per window and client id; 0 is no cap.
    pub token_cap: u32,
    /// Length of the token window in seconds.
    pub token_window_s: u64,
    /// The window is fixed and starts with the first token, instead of rolling.
    pub token_fixed_window: bool,
    /// Each refused token request extends the wait by ten minutes.
    pub punish_hammering: bool,
    /// `expires_in` of new tokens in seconds.
    pub token_lifetime_s: u64,
    /// Status for an expired token; 0 mixes 401 and 403.
    pub expired_status: u16,
    /// Status for a revoked token; 0 mixes 401 and 403.
    pub revoked_status: u16,
    /// The client id that gets tokens.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Status for dates that are taken.
    pub conflict_status: u16,
    /// Status for a stay that violates the terms.
    pub terms_status: u16,
    /// Requires `guest.phones`.
    pub require_phones: bool,
    /// Refuses a second reservation with the same confirmation code with 422.
    pub unique_confirmation_code: bool,
    /// Requires `cancellationReason` to be one of `cancel_reasons`.
    pub strict_cancel_reason: bool,
    /// The accepted reasons.
    pub cancel_reasons: Vec<String>,
    /// Two writes to one reservation within this time race each other (ms, scaled).
    pub settle_gap_ms: u64,
    /// Loses the first of two racing writes although both were answered with 200.
    pub lost_writes: bool,
    /// Propagation delay of a create whose outcome is unknown, for invariant I8 (ms, scaled).
    pub settle_ms: u64,
    /// Range of the lag until a create can be read by id (ms, scaled).
    pub visible_ms: [u64; 2],
    /// Range of the further lag until it is in the search index (ms, scaled).
    pub index_ms: [u64; 2],
    /// Range of the lag of other writes (ms, scaled).
    pub write_ms: [u64; 2],
    /// Latency of every call in ms (not scaled).
    pub latency_ms: u64,
    /// Idle connections are closed after this time in ms; 0 is never.
    pub keep_alive_ms: u64,
    /// Rows kept in the call log; older ones are dropped.
    pub call_log_rows: usize,
    /// Allows the client to send `ignoreCalendar`, `ignoreTerms`, `ignoreBlocks`.
    pub allow_ignore: bool,
    /// Allows calls of legacy endpoints (other than payments).
    pub legacy_enabled: bool,
    /// Includes the `money` object in reads.
    pub money_in_reads: bool,
    /// Includes `origin` and `originId` in search results.
    pub origin_in_search: bool,
    /// Sends amounts as text.
    pub money_as_text: bool,
    /// Name of the id in search results: `reservationId`, `_id` or `id`.
    pub search_id_key: String,
}

impl Knobs {
    /// Overrides these with a JSON object of knobs.
    ///
    /// # Errors
    /// A sentence if a name is unknown or a value has the wrong type; nothing is changed then.
    pub fn overlay(&self, changes: &Value) -> Result<Self, String> {
        let mut whole = serde_json::to_value(self).map_err(|e| e.to_string())?;
        let changes = changes.as_object().ok_or("knobs must be a JSON object")?;
        if let Some(map) = whole.as_object_mut() {
            map.extend(changes.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        serde_json::from_value(whole).map_err(|e| e.to_string())
    }

    /// Milliseconds times the lag scale, in microseconds.
    pub(crate) fn scaled_us(&self, ms: u64) -> u64 {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let us = (ms as f64 * 1000.0 * self.lag_scale.max(0.0)) as u64;
        us
    }
}
