//! The remote API as a client meets it: tokens, TLS, rate limits, outages, `Retry-After`, undocumented behaviour.

mod api_variants;
mod breaker;
mod hanging_calls;
mod rate_limits;
mod retries;
mod retry_after;
mod tls;
mod token;
