//! Decisions: bookings, Guestly and time, as functions from values to values. Nothing here performs I/O.
//!
//! `tests/architecture.rs` enforces the rules of the folder: no pgrx, no ureq, no clock, no randomness, no threads, and no
//! import cycle between files. Time and jitter are arguments. Code that needs a mock to be tested belongs elsewhere.

#![forbid(unsafe_code)]

// Small shared types; they import at most each other.
pub mod confirmation_code;
pub mod error;
pub mod field;
pub mod guests;
pub mod operation;
pub mod redact;
pub mod retry;

// Values, and rules about one of them.
pub mod alert;
pub mod breaker;
pub mod notes;
pub mod outcome;
pub mod price;
pub mod request;
pub mod snapshot;
pub mod token;

// From a booking to the wanted reservation; from the state of the connection to a permit.
pub mod booking;
pub mod payment;
pub mod queue_row;
pub mod rate_limiter;
pub mod reservation;
pub mod send_gate;

// The decisions.
pub mod diff;
pub mod plan;
pub mod transition;
pub mod update_request;
