//! Property tests of the pure policies: limiter, backoff, look-up schedule, breaker, masking, token, code.
//! Run by cargo; no server, no clock, no threads. Imports `domain` only.
//!
//! Classification is tested in `classify_props.rs`, the state machine in `transition_props.rs`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

mod api;
mod breaker;
mod limiter;
mod limiter_model;
mod poisoned;
mod retry;
mod text;
mod token;

/// A failure prints its input and writes no file.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Nanoseconds from zero to hours, each magnitude equally likely.
fn pause() -> impl Strategy<Value = u64> {
    (0_u32..44, any::<u64>()).prop_map(|(bits, noise)| noise & ((1 << bits) - 1))
}

/// Any duration, including the extremes.
fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        pause().prop_map(Duration::from_nanos),
        any::<(u64, u32)>().prop_map(|(secs, nanos)| Duration::new(secs, nanos % 1_000_000_000)),
        Just(Duration::ZERO),
        Just(Duration::MAX),
    ]
}

/// Any time of the next century.
fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    (0_i64..4_000_000_000_000).prop_map(|millis| DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis))
}
