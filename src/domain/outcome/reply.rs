//! What came back from the network, before anybody judged it.
//!
//! Built by `net::client` on a pool thread, read by `classify` and the quota on the main thread.
//! Must not import: pgrx, ureq, clocks, threads.

/// One rate-limit window as the API states it; each number may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Calls per window.
    pub limit: Option<u32>,
    /// Calls left now, for the whole account.
    pub remaining: Option<u32>,
}

/// The `X-RateLimit-*` headers of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimitHeaders {
    /// The one-second window.
    pub second: Window,
    /// The one-minute window.
    pub minute: Window,
    /// The one-hour window.
    pub hour: Window,
}

/// An HTTP answer of which status line and headers were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, at most 1 MiB of it. Any bytes.
    pub body: Vec<u8>,
    /// `Retry-After`, as sent.
    pub retry_after: Option<String>,
    /// `x-request-id`; Guesty's support asks for it.
    pub request_id: Option<String>,
    /// `Date`, as sent.
    pub date: Option<String>,
    /// The rate-limit headers.
    pub rate_limit: RateLimitHeaders,
    /// False: the body was larger than the cap and `body` is only its beginning.
    pub whole: bool,
}

/// How a call ended. The line between `NotSent` and `Lost` is what keeps bookings single:
/// after `NotSent` a create may be sent again at once, after `Lost` only when a look-up found
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An HTTP answer.
    Answer(Answer),
    /// Certainly nothing reached the API: bad URL, DNS, connect, TLS handshake.
    NotSent {
        /// Plain words, no secret.
        reason: String,
    },
    /// Certainly nothing reached the API, and nothing ever will: this request has no valid address or no valid head.
    Unsendable {
        /// Plain words, no secret.
        reason: String,
    },
    /// Sent or maybe sent, without a whole answer: time-out, reset, short body, interrupted.
    Lost {
        /// Plain words, no secret.
        reason: String,
    },
}
