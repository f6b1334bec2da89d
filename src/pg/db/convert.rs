//! Converts values to and from the types of the statements. Used by `pg::store` and `pg::host`; pure.

use chrono::{DateTime, NaiveDate, Utc};

use super::session::Result;
use super::statement::Tuple;

/// Seconds since the Unix epoch, the form of times in statements.
pub fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_micros() as f64 / 1e6
}

/// The time at `seconds` since the Unix epoch.
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

/// Columns of a result row by name. Errors: there is no such column, or it has another type.
pub trait Named {
    /// A text; `None` for null.
    fn text(&self, name: &str) -> Result<Option<String>>;
    /// A boolean; null is false.
    fn flag(&self, name: &str) -> Result<bool>;
    /// A count; null and anything negative is 0.
    fn count(&self, name: &str) -> Result<u32>;
    /// A time from seconds since the Unix epoch; `None` for null.
    fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>>;
    /// A day from text; `None` for null and for any other text.
    fn day(&self, name: &str) -> Result<Option<NaiveDate>>;
}

impl Named for Tuple<'_> {
    fn text(&self, name: &str) -> Result<Option<String>> {
        Ok(self.get_by_name(name)?)
    }

    fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.get_by_name(name)?.unwrap_or_default())
    }

    fn count(&self, name: &str) -> Result<u32> {
        let number: Option<i32> = self.get_by_name(name)?;
        Ok(number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default())
    }

    fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>> {
        Ok(self.get_by_name::<f64, _>(name)?.map(time))
    }

    fn day(&self, name: &str) -> Result<Option<NaiveDate>> {
        Ok(self.text(name)?.and_then(|day| day.parse().ok()))
    }
}
