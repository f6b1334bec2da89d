//! `guestly.queue`: claims, intents and outcomes. Main thread only, inside a transaction.

use chrono::{DateTime, Utc};
use pgrx::datum::DatumWithOid;

use crate::domain::error::ErrorClass;
use crate::domain::queue_row::QueueRow;
use crate::pg::db::convert::{Named, column, seconds, signed, time};
use crate::pg::db::session::Result;
use crate::pg::db::statement;
use crate::pg::host::bookings::Swept;

mod claim;
mod rows;

pub use claim::{Skip, claim_due};
pub use rows::*;

/// The bookings of these claims whose calls may still be sent.
pub fn claims_to_send(claims: &[(String, Option<i64>)]) -> Result<Vec<String>> {
    let (ids, claim_ids): (Vec<String>, Vec<Option<i64>>) = claims.iter().cloned().unzip();
    statement::rows(
        include_str!("../../../sql/queries/queue/claims_to_send.sql"),
        &[ids.into(), claim_ids.into()],
        |row| Ok(row.get(1)?.unwrap_or_default()),
    )
}

/// The next due time of a waiting row.
pub fn next_due() -> Result<Option<DateTime<Utc>>> {
    let found =
        statement::row(include_str!("../../../sql/queries/queue/next_due.sql"), &[], |row| Ok(row.get::<f64>(1)?))?;
    Ok(found.flatten().map(time))
}

/// The state of the queue, for a sweep without a source table.
pub fn read_state() -> Result<Swept> {
    let found = statement::row(include_str!("../../../sql/queries/queue/peek.sql"), &[], |row| {
        Ok(Swept {
            unqueued: Vec::new(),
            ready: row.flag("ready")?,
            // Without the table nothing is sent.
            orphaned: false,
            next_due: row.time("next_due")?,
            oldest: row.time("oldest")?,
        })
    })?;
    Ok(found.unwrap_or_default())
}

/// The number of waiting bookings.
pub fn count_waiting() -> Result<i64> {
    let count =
        statement::row(
            include_str!("../../../sql/queries/queue/count_waiting.sql"),
            &[],
            |row| Ok(row.get::<i64>(1)?),
        )?;
    Ok(count.flatten().unwrap_or_default())
}

/// Writes the intents of planned rows, before their calls leave.
pub fn mark_sending(rows: &[&QueueRow]) -> Result<()> {
    let args: [DatumWithOid; 5] = [
        column(rows, |row| row.booking_id.clone()).into(),
        column(rows, |row| row.claim_id).into(),
        column(rows, |row| row.operation.as_str()).into(),
        column(rows, |row| signed(row.attempts)).into(),
        column(rows, |row| row.code.clone()).into(),
    ];
    statement::run(include_str!("../../../sql/queries/queue/mark_sending.sql"), &args)
}

/// Updates rows that stay in the queue; returns the bookings whose claim is still in force.
pub fn update(rows: &[(String, Option<i64>, QueueUpdate)]) -> Result<Vec<String>> {
    let seconds_of = |at: &Option<DateTime<Utc>>| at.map(seconds);
    let args: [DatumWithOid; 14] = [
        column(rows, |row| row.0.clone()).into(),
        column(rows, |row| row.1).into(),
        column(rows, |row| row.2.state.as_str()).into(),
        column(rows, |row| signed(row.2.attempts)).into(),
        column(rows, |row| seconds_of(&row.2.due_at)).into(),
        column(rows, |row| seconds_of(&row.2.uncertain_since)).into(),
        column(rows, |row| signed(row.2.look_ups)).into(),
        column(rows, |row| signed(row.2.unconfirmed_creates)).into(),
        column(rows, |row| row.2.pending_refusal.map(ErrorClass::as_str)).into(),
        column(rows, |row| row.2.verify_first).into(),
        column(rows, |row| row.2.problem.as_ref().map(|problem| problem.class.as_str())).into(),
        column(rows, |row| row.2.problem.as_ref().map(|problem| problem.sentence.clone())).into(),
        column(rows, |row| row.2.is_created).into(),
        column(rows, |row| signed(row.2.failed_reads)).into(),
    ];
    statement::rows(include_str!("../../../sql/queries/queue/update_outcomes.sql"), &args, |row| {
        Ok(row.get(1)?.unwrap_or_default())
    })
}

/// Deletes rows that are done; returns the bookings whose claim was still in force.
pub fn delete_done(rows: &[(String, Option<i64>)]) -> Result<Vec<String>> {
    let args: [DatumWithOid; 2] = [column(rows, |row| row.0.clone()).into(), column(rows, |row| row.1).into()];
    statement::rows(include_str!("../../../sql/queries/queue/delete_done.sql"), &args, |row| {
        Ok(row.get(1)?.unwrap_or_default())
    })
}

/// The bookings of these claims whose claim is still in force, although another transaction has locked the row.
pub fn claims_in_force(rows: &[(String, Option<i64>)]) -> Result<Vec<String>> {
    let args: [DatumWithOid; 2] = [column(rows, |row| row.0.clone()).into(), column(rows, |row| row.1).into()];
    statement::rows(include_str!("../../../sql/queries/queue/claims_in_force.sql"), &args, |row| {
        Ok(row.get(1)?.unwrap_or_default())
    })
}
