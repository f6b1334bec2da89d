//! Writes of the sweep: bookings that no trigger queued, the baseline, and excluded bookings. Main thread only, inside a
//! transaction.

use chrono::{DateTime, Utc};
use pgrx::datum::DatumWithOid;

use crate::pg::db::convert::{column, seconds};
use crate::pg::db::session::Result;
use crate::pg::db::statement;

/// Queues the bookings that the sweep found: (booking, day of arrival). `uncertain_since`: since then, a call of an earlier
/// worker may be taking effect.
pub fn enqueue(found: &[(String, Option<String>)], uncertain_since: Option<DateTime<Utc>>) -> Result<()> {
    let args: [DatumWithOid; 3] = [
        column(found, |row| row.0.clone()).into(),
        column(found, |row| row.1.clone()).into(),
        uncertain_since.map(seconds).into(),
    ];
    statement::run(include_str!("../../../sql/queries/queue/enqueue_swept.sql"), &args)
}

/// Excludes bookings from the sweep that were cancelled before they were sent.
pub fn exclude_withdrawn(ids: Vec<String>) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/changes/add_withdrawn.sql"), &[ids.into()])
}

/// The payment statuses that the baseline covers.
pub fn paid_statuses_seen() -> Result<Vec<String>> {
    let statuses =
        statement::row(include_str!("../../../sql/queries/source_table/paid_statuses_seen.sql"), &[], |row| {
            Ok(row.get(1)?)
        })?;
    Ok(statuses.flatten().unwrap_or_default())
}

/// Adds new paid statuses to the baseline, with the bookings that already have one of them.
pub fn record_baseline(statuses: &[String], ids: &[String]) -> Result<()> {
    let args: [DatumWithOid; 2] = [statuses.to_vec().into(), ids.to_vec().into()];
    statement::run(include_str!("../../../sql/queries/source_table/record_baseline.sql"), &args)
}
