//! What Guestly holds, written down; and bookings whose data changed, taken into the queue. Part of `pg::queue`: main
//! thread only.

use chrono::NaiveDate;
use pgrx::datum::DatumWithOid;

use super::{Held, column, signed};
use crate::domain::guests::GuestCount;
use crate::domain::snapshot::PaymentState;
use crate::pg::session::Result;
use crate::pg::statement;

/// Writes what Guestly holds: (booking, what).
pub fn keep(rows: &[(String, Held)]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let snapshot = |row: &(String, Held)| row.1.update.snapshot.clone();
    let day = |day: Option<NaiveDate>| day.map(|day| day.to_string());
    let count =
        |row: &(String, Held), of: fn(GuestCount) -> u32| row.1.update.snapshot.guests.map(|guests| signed(of(guests)));
    let args: [DatumWithOid; 19] = [
        column(rows, |row| row.0.clone()).into(),
        column(rows, |row| row.1.reservation_id.clone()).into(),
        column(rows, |row| row.1.code.clone()).into(),
        column(rows, |row| snapshot(row).status).into(),
        column(rows, |row| snapshot(row).listing_id).into(),
        column(rows, |row| day(snapshot(row).check_in)).into(),
        column(rows, |row| day(snapshot(row).check_out)).into(),
        column(rows, |row| count(row, |guests| guests.adults)).into(),
        column(rows, |row| count(row, |guests| guests.children)).into(),
        column(rows, |row| count(row, |guests| guests.infants)).into(),
        column(rows, |row| count(row, |guests| guests.pets)).into(),
        column(rows, |row| row.1.adopted).into(),
        column(rows, |row| row.1.update.verified).into(),
        column(rows, |row| row.1.update.ended).into(),
        column(rows, |row| row.1.update.changed).into(),
        column(rows, |row| snapshot(row).notes).into(),
        column(rows, |row| snapshot(row).payment.map(PaymentState::as_str)).into(),
        column(rows, |row| row.1.update.total.clone()).into(),
        column(rows, |row| row.1.paid).into(),
    ];
    statement::run(include_str!("../../../sql/queries/keep.sql"), &args)
}

/// Before the payments of these bookings are recorded: whatever comes of it, they are asked for before they are recorded again.
pub fn payments_sent(ids: Vec<String>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    statement::run(include_str!("../../../sql/queries/payments_sent.sql"), &[ids.into()])
}

/// True if there are bookings whose data changed.
pub fn is_changed() -> Result<bool> {
    let any = statement::row(include_str!("../../../sql/queries/changed.sql"), &[], |row| Ok(row.get::<bool>(1)?))?;
    Ok(any.flatten() == Some(true))
}

/// Queues the bookings whose data changed, as far as that matters; gives those that had failed, and are queued afresh.
pub fn absorb(test_mode: bool) -> Result<Vec<String>> {
    // What is committed in between wakes the worker, which then looks again.
    if !is_changed()? {
        return Ok(Vec::new());
    }
    let mended = statement::rows(include_str!("../../../sql/queries/absorb.sql"), &[test_mode.into()], |row| {
        Ok((row.get::<String>(1)?.unwrap_or_default(), row.get::<String>(2)?))
    })?;
    if mended.is_empty() {
        return Ok(Vec::new());
    }
    let args: [DatumWithOid; 2] =
        [column(&mended, |row| row.0.clone()).into(), column(&mended, |row| row.1.clone()).into()];
    statement::rows(include_str!("../../../sql/queries/requeue.sql"), &args, |row| Ok(row.get(1)?.unwrap_or_default()))
}
