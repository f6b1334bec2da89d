//! The urgency of an arrival. Part of `domain::alert`; pure, any thread.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

/// An arrival within this time is urgent.
const URGENT_WITHIN: TimeDelta = TimeDelta::hours(48);

/// True if the arrival is less than 48 hours away, or past. Days begin at midnight UTC.
#[must_use]
pub fn is_urgent(arrival: Option<NaiveDate>, now: DateTime<Utc>) -> bool {
    let limit = now.checked_add_signed(URGENT_WITHIN).map_or(NaiveDate::MAX, |then| then.date_naive());
    arrival.is_some_and(|day| day <= limit)
}

/// The last day of arrival that an outage's list shows.
#[must_use]
pub fn last_arrival_of_list(now: DateTime<Utc>) -> NaiveDate {
    now.date_naive().checked_add_days(Days::new(2)).unwrap_or(NaiveDate::MAX)
}
