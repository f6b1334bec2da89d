//! The outcome of a call, as the state machine sees it. Part of `domain::outcome`; pure, any thread.

use std::time::Duration;

use super::hits::Hit;
use crate::domain::error::ErrorClass;
use crate::domain::redact::Secret;

/// The outcome of a call. Sentences can be shown to the owner: no control characters, no personal data, at most 400
/// characters.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The reservation exists.
    Created {
        /// Guestly's id.
        reservation_id: String,
        /// The code that Guestly echoed.
        confirmation_code: Option<String>,
        /// The total as Guestly shows it, if the answer has it.
        total: Option<String>,
    },
    /// Guestly accepted a change. Only a read-back proves that it was made.
    Updated {
        /// The total as Guestly shows it, if the answer has it.
        total: Option<String>,
    },
    /// The notes of all payments that Guestly lists for a reservation.
    Payments(Vec<String>),
    /// The reservations of a look-up; may be empty.
    Found(Vec<Hit>),
    /// An access token.
    Token {
        /// The token.
        access_token: Secret,
        /// Its lifetime; 86 400 s when the answer names none or an absurd one.
        expires_in: Duration,
    },
    /// Permanent: the same request will be refused again.
    Refused {
        /// For the `error_class` column.
        class: ErrorClass,
        /// For the operator.
        sentence: String,
    },
    /// 401 or 403 that mentions neither dates nor terms; for a token request also a 400.
    TokenRejected {
        /// The status code.
        status: u16,
        /// For the operator.
        sentence: String,
    },
    /// 429. Nothing was done.
    Throttled {
        /// The wait asked for, at most 3600 s.
        retry_after: Option<Duration>,
        /// For the operator.
        sentence: String,
    },
    /// Nothing reached the API.
    NotSent {
        /// For the operator.
        sentence: String,
    },
    /// Nothing was sent because the request itself is invalid. This is about the booking, not about the API.
    Unsendable {
        /// For the operator.
        sentence: String,
    },
    /// 408 or 5xx: it reached the API and may have taken effect.
    Unavailable {
        /// The wait asked for, at most 3600 s.
        retry_after: Option<Duration>,
        /// For the operator.
        sentence: String,
    },
    /// The effect is unknown: no whole answer, or a success that cannot be read.
    Unknown {
        /// For the operator.
        sentence: String,
    },
}

impl Outcome {
    /// True if the answer says that Guestly did what was asked.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(
            self,
            Self::Created { .. } | Self::Updated { .. } | Self::Payments(_) | Self::Found(_) | Self::Token { .. }
        )
    }
}
