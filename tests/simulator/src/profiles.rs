//! The three profiles: values of the knobs that belong together. Called when a simulator starts or is reset.

use crate::config::{Knobs, Profile};
use std::sync::LazyLock;

impl Knobs {
    /// The knobs of a profile.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let base = OBSERVED.clone();
        match profile {
            Profile::Observed => base,
            Profile::Documented => Self {
                profile,
                visible_ms: [0, 0],
                index_ms: [0, 0],
                write_ms: [0, 0],
                conflict_status: 401,
                terms_status: 401,
                require_phones: true,
                money_in_reads: false,
                origin_in_search: false,
                ..base
            },
            Profile::Hostile => Self {
                profile,
                visible_ms: [0, 60_000],
                index_ms: [0, 15_000],
                write_ms: [0, 60_000],
                settle_gap_ms: 60_000,
                lost_writes: true,
                conflict_status: 401,
                terms_status: 401,
                expired_status: 0,
                revoked_status: 0,
                remaining_hour_header: false,
                refused_calls_count: true,
                punish_hammering: true,
                rate_limit_body: "html".into(),
                strict_cancel_reason: true,
                origin_in_search: false,
                money_as_text: true,
                search_id_key: "_id".into(),
                ..base
            },
        }
    }
}

static OBSERVED: LazyLock<Knobs> = LazyLock::new(|| Knobs {
    profile: Profile::Observed,
    seed: 1,
    lag_scale: 1.0,
    limits: true,
    per_second: 15,
    per_minute: 120,
    per_hour: 5000,
    second_ms: 1000,
    minute_ms: 60_000,
    hour_ms: 3_600_000,
    max_in_flight: 15,
    refused_calls_count: false,
    retry_after_min_s: 1,
    remaining_hour_header: true,
    rate_limit_body: "json".into(),
    retry_after_grace_ms: 100,
    token_cap: 5,
    token_window_s: 86_400,
    token_fixed_window: false,
    punish_hammering: false,
    token_lifetime_s: 86_400,
    expired_status: 403,
    revoked_status: 401,
    client_id: "sim-client".into(),
    client_secret: "sim-secret".into(),
    conflict_status: 400,
    terms_status: 400,
    require_phones: false,
    unique_confirmation_code: false,
    strict_cancel_reason: false,
    cancel_reasons: vec!["Cancelled Due to Hold/Expiration".into()],
    settle_gap_ms: 5000,
    lost_writes: false,
    settle_ms: 90_000,
    visible_ms: [0, 18_000],
    index_ms: [0, 10_000],
    write_ms: [0, 5000],
    latency_ms: 0,
    keep_alive_ms: 0,
    call_log_rows: 200_000,
    allow_ignore: false,
    legacy_enabled: false,
    money_in_reads: true,
    origin_in_search: true,
    money_as_text: false,
    search_id_key: "reservationId".into(),
});
