//! The end of a call, as the send gate sees it. Part of `domain::send_gate`; pure.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// When and how a call ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completion {
    /// When it ended; monotonic, since the worker's start.
    pub now: Duration,
    /// When it began; monotonic.
    pub started: Duration,
    /// When it ended, by the clock.
    pub wall: DateTime<Utc>,
    /// In [0, 1).
    pub jitter: f64,
    /// True for a token request.
    pub token_call: bool,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The booking that the call was about.
    pub booking: Option<String>,
}
