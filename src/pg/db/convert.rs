//! Values as the statements take and give them. Pure.

use chrono::{DateTime, Utc};

/// Seconds since the epoch, as the statements take times.
pub fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_micros() as f64 / 1e6
}

/// The time of that many seconds since the epoch.
pub fn time(seconds: f64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros((seconds * 1e6).round() as i64).unwrap_or_default()
}

/// One column of several rows, as an array for a statement.
pub fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// A count as Postgres stores it.
pub fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
