//! Recovery of the queue by a new worker: orphaned claims, a changed clock, another WAL timeline, code of the host that did not
//! end. Main thread only, inside a transaction.

use chrono::{DateTime, Utc};
use pgrx::datum::DatumWithOid;

use crate::pg::db::convert::{seconds, signed};
use crate::pg::db::session::Result;
use crate::pg::db::statement;

/// The number of claims that a dead worker left: their calls are not counted yet.
pub fn count_orphans() -> Result<u32> {
    let count =
        statement::row(
            include_str!("../../../sql/queries/queue/count_orphans.sql"),
            &[],
            |row| Ok(row.get::<i64>(1)?),
        )?;
    Ok(count.flatten().and_then(|count| u32::try_from(count).ok()).unwrap_or_default())
}

/// Makes every claim of a dead worker unknown, those of `ours` left out; `look` is when a create is looked up, `settled` when
/// a change is read back.
pub fn recover_orphans(
    now: DateTime<Utc>,
    look_up: DateTime<Utc>,
    read_back: DateTime<Utc>,
    own: Vec<String>,
) -> Result<()> {
    let args: [DatumWithOid; 4] = [seconds(now).into(), seconds(look_up).into(), seconds(read_back).into(), own.into()];
    statement::run(include_str!("../../../sql/queries/queue/recover_orphans.sql"), &args)
}

/// A worker was ended after so many seconds because code of the host did not end for this booking: it waits for a while. After
/// five times it has failed; then this gives the sentence for a person.
pub fn postpone_hung(booking_id: &str, now: DateTime<Utc>, after_seconds: u32) -> Result<Option<String>> {
    let args: [DatumWithOid; 3] = [booking_id.into(), seconds(now).into(), signed(after_seconds).into()];
    statement::row(include_str!("../../../sql/queries/queue/postpone_hung.sql"), &args, |row| Ok(row.get(1)?))
        .map(Option::flatten)
}

/// After a promotion or a recovery to a point in time: calls may have left that this server knows nothing of. `look` is
/// when they are looked up.
pub fn follow_wal_timeline(now: DateTime<Utc>, look_up: DateTime<Utc>) -> Result<()> {
    statement::run(
        include_str!("../../../sql/queries/queue/mark_all_uncertain.sql"),
        &[seconds(now).into(), seconds(look_up).into()],
    )?;
    statement::run(include_str!("../../../sql/queries/worker/save_wal_timeline.sql"), &[])
}

/// Moves due times after `latest` back to it, and times of uncertainty after `now` back to that.
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
