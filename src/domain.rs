//! Decides: everything the extension knows about bookings, Guestly and time, as functions from values to values.
//!
//! Rules of the folder, held by `tests/architecture.rs`: no pgrx, no ureq, no clock, no randomness, no threads. Time and
//! jitter are arguments. What needs a mock to be tested belongs elsewhere.

#![forbid(unsafe_code)]

pub mod alert;
pub mod booking;
pub mod breaker;
pub mod error;
pub mod held;
pub mod notes;
pub mod outcome;
pub mod payment;
pub mod plan;
pub mod price;
pub mod rate_limiter;
pub mod redact;
pub mod reference;
pub mod request;
pub mod reservation;
pub mod retry;
pub mod send_gate;
pub mod token;
pub mod transition;
pub mod update;
