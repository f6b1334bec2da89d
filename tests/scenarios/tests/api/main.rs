//! The remote API from the client's side: tokens, TLS, rate limits, outages, `Retry-After`, undocumented behaviour.

mod api_variants;
mod breaker;
mod hanging_calls;
mod rate_limits;
mod retries;
mod retry_after;
mod tls;
mod token;
