//! The raw end of a call. Built by `net` on a sender thread, read by `classify` and the rate limiter on the main thread. Part
//! of `domain::outcome`; imports nothing.

/// One rate-limit window as the API reports it; each number may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Calls per window.
    pub limit: Option<u32>,
    /// Calls left, for the whole account.
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

/// An HTTP answer with a complete head.
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
    /// False if the body was larger than 1 MiB and `body` is only its beginning.
    pub whole: bool,
}

/// The end of a call. The difference between `NotSent` and `Lost` prevents duplicates: after `NotSent` a create may be sent
/// again at once, after `Lost` only if a look-up found nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An HTTP answer.
    Answer(Answer),
    /// Certainly nothing reached the API: DNS, connect or TLS handshake failed.
    NotSent {
        /// Plain words, no secret.
        reason: String,
    },
    /// Certainly nothing reached the API, and repeating does not help: the address or the head of the request is invalid.
    Unsendable {
        /// Plain words, no secret.
        reason: String,
    },
    /// Sent or maybe sent, without a complete answer: time-out, reset, short body, interrupted.
    Lost {
        /// Plain words, no secret.
        reason: String,
    },
}
