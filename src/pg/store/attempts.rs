//! `guestly.attempts`: one row per call. Main thread only, inside a transaction.

use chrono::{DateTime, Utc};
use pgrx::datum::DatumWithOid;

use crate::domain::error::Problem;
use crate::pg::db::convert::{column, seconds, signed};
use crate::pg::db::session::Result;
use crate::pg::db::statement;
use crate::pg::store::PRUNE_STEP;

/// One row of `guestly.attempts`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The booking; `None` for a token request or a ping.
    pub booking_id: Option<String>,
    /// Number of the attempt.
    pub attempt: u32,
    /// The name of an operation (`domain::operation::Operation`), or `plan` for a decision without a call.
    pub operation: &'static str,
    /// When it began.
    pub started: DateTime<Utc>,
    /// Its duration in milliseconds.
    pub duration_ms: i32,
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// The outcome, in one word.
    pub outcome: &'static str,
    /// The problem, if any.
    pub problem: Option<Problem>,
    /// `x-request-id`.
    pub request_id: Option<String>,
}

/// Adds rows to the log.
pub fn add(rows: &[Attempt]) -> Result<()> {
    let args: [DatumWithOid; 10] = [
        column(rows, |row| row.booking_id.clone()).into(),
        column(rows, |row| signed(row.attempt)).into(),
        column(rows, |row| row.operation).into(),
        column(rows, |row| seconds(row.started)).into(),
        column(rows, |row| row.duration_ms).into(),
        column(rows, |row| row.http_status.map(i32::from)).into(),
        column(rows, |row| row.outcome).into(),
        column(rows, |row| row.problem.as_ref().map(|problem| problem.class.as_str())).into(),
        column(rows, |row| row.problem.as_ref().map(|problem| problem.sentence.clone())).into(),
        column(rows, |row| row.request_id.clone()).into(),
    ];
    statement::run(include_str!("../../../sql/queries/attempts/add.sql"), &args)
}

/// Deletes one batch of attempts from before `until`; true if there may be more.
pub fn prune(until: DateTime<Utc>) -> Result<bool> {
    let deleted =
        statement::rows(include_str!("../../../sql/queries/attempts/prune.sql"), &[seconds(until).into()], |_| Ok(()))?;
    Ok(deleted.len() >= PRUNE_STEP)
}
