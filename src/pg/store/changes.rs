//! `guestly.changes`: the dirty bookings. Main thread only, inside a transaction.

use pgrx::datum::DatumWithOid;

use crate::pg::db::convert::column;
use crate::pg::db::session::Result;
use crate::pg::db::statement;

/// True if there is a dirty booking.
pub fn any() -> Result<bool> {
    let any = statement::row(include_str!("../../../sql/queries/changes/any.sql"), &[], |row| Ok(row.get::<bool>(1)?))?;
    Ok(any.flatten() == Some(true))
}

/// Queues the dirty bookings that Guestly has; returns those that had failed and are queued again.
pub fn drain(test_mode: bool) -> Result<Vec<String>> {
    // A change that is committed in between wakes the worker again.
    if !any()? {
        return Ok(Vec::new());
    }
    let failed = statement::rows(include_str!("../../../sql/queries/changes/drain.sql"), &[test_mode.into()], |row| {
        Ok((row.get::<String>(1)?.unwrap_or_default(), row.get::<String>(2)?))
    })?;
    if failed.is_empty() {
        return Ok(Vec::new());
    }
    let args: [DatumWithOid; 2] =
        [column(&failed, |row| row.0.clone()).into(), column(&failed, |row| row.1.clone()).into()];
    statement::rows(include_str!("../../../sql/queries/queue/requeue.sql"), &args, |row| {
        Ok(row.get(1)?.unwrap_or_default())
    })
}

/// Marks bookings as dirty.
pub fn add(booking_ids: Vec<String>) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/changes/add.sql"), &[booking_ids.into()])
}
