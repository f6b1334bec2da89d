//! The meaning of an answer of the API.
//!
//! | file | contents |
//! |---|---|
//! | `outcome/types.rs` | [`Outcome`] |
//! | `outcome/reply.rs` | raw replies and rate-limit headers |
//! | `outcome/classify.rs` | from a reply to an outcome; a 429 is handled here |
//! | `outcome/refusal.rs` | the meaning of a 4xx |
//! | `outcome/hits.rs` | the reservations in an answer |
//! | `outcome/payments.rs` | the payments of a reservation |
//! | `outcome/error_text.rs` | the message in an error body |
//! | `outcome/retry_after.rs` | the `Retry-After` header |
//! | `outcome/sentence.rs` | sentences without personal data |

mod classify;
mod error_text;
mod hits;
mod payments;
mod refusal;
mod reply;
mod retry_after;
mod sentence;
mod types;

pub use classify::classify;
pub use error_text::error_text;
pub use hits::Hit;
pub use refusal::speaks_of_code;
pub use reply::{Answer, RateLimitHeaders, Reply, Window};
pub use retry_after::parse_retry_after;
pub use types::Outcome;

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
