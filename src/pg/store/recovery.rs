//! Recovery of the queue: orphaned claims, a changed clock, another WAL timeline, host code that hung. Called by
//! `pg::worker`; main thread only, inside a transaction.

use chrono::{DateTime, Utc};
use pgrx::datum::DatumWithOid;

use crate::pg::db::convert::{seconds, signed};
use crate::pg::db::session::Result;
use crate::pg::db::statement;

/// The number of claims of a dead worker. The rate limiter has not counted their calls.
pub fn count_orphans() -> Result<u32> {
    let count =
        statement::row(
            include_str!("../../../sql/queries/queue/count_orphans.sql"),
            &[],
            |row| Ok(row.get::<i64>(1)?),
        )?;
    Ok(count.flatten().and_then(|count| u32::try_from(count).ok()).unwrap_or_default())
}

/// Turns every claim of a dead worker into an uncertain outcome, except the bookings `own`. `look_up`: when creates are
/// looked up;
/// `read_back`: when changes are read back.
pub fn recover_orphans(
    now: DateTime<Utc>,
    look_up: DateTime<Utc>,
    read_back: DateTime<Utc>,
    own: Vec<String>,
) -> Result<()> {
    let args: [DatumWithOid; 4] = [seconds(now).into(), seconds(look_up).into(), seconds(read_back).into(), own.into()];
    statement::run(include_str!("../../../sql/queries/queue/recover_orphans.sql"), &args)
}

/// Postpones a booking for which host code ran for `after_seconds` until the worker was ended. The fifth time the booking
/// fails, and the sentence for the operator is returned.
pub fn postpone_hung(booking_id: &str, now: DateTime<Utc>, after_seconds: u32) -> Result<Option<String>> {
    let args: [DatumWithOid; 3] = [booking_id.into(), seconds(now).into(), signed(after_seconds).into()];
    statement::row(include_str!("../../../sql/queries/queue/postpone_hung.sql"), &args, |row| Ok(row.get(1)?))
        .map(Option::flatten)
}

/// Saves the WAL timeline. If it has changed (promotion or point-in-time recovery), calls may have left that this server does not
/// know of: all rows become uncertain, and are looked up at `look_up`.
pub fn follow_wal_timeline(now: DateTime<Utc>, look_up: DateTime<Utc>) -> Result<()> {
    statement::run(
        include_str!("../../../sql/queries/queue/mark_all_uncertain.sql"),
        &[seconds(now).into(), seconds(look_up).into()],
    )?;
    statement::run(include_str!("../../../sql/queries/worker/save_wal_timeline.sql"), &[])
}

/// Moves due times after `latest` back to `latest`, and times of uncertainty after `now` back to `now`.
pub fn clamp_due(now: DateTime<Utc>, latest: DateTime<Utc>) -> Result<()> {
    statement::run(
        include_str!("../../../sql/queries/queue/clamp_due.sql"),
        &[seconds(now).into(), seconds(latest).into()],
    )
}

/// Shifts every due time by `by` seconds.
pub fn shift_clock(by: f64) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/queue/shift_clock.sql"), &[by.into()])
}
