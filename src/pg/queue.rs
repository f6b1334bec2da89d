//! The worker's statements on our own tables, by name. Rows go in and come out as plain values. Main thread only, inside a
//! transaction of `pg::session`.

use chrono::{DateTime, Utc};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;

use super::bookings::Probed;
use super::session::Result;
use super::{settings, statement, sys};
use crate::domain::error::ErrorClass;

mod ahead;
mod due;
mod held;
mod rows;

pub use ahead::{Ahead, ahead, note};
pub use due::{Skip, due};
pub use held::{absorb, is_changed, keep, payments_sent};
pub use rows::*;

/// Rows that one step of pruning deletes; the statement says the same number.
pub const PRUNE_STEP: usize = 1000;

/// Seconds since the epoch, as the statements take times.
pub fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_micros() as f64 / 1e6
}

/// The time of that many seconds since the epoch.
pub fn time(seconds: f64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros((seconds * 1e6).round() as i64).unwrap_or_default()
}

/// This server, database and environment, as `guestly.installations` names them.
pub fn installation() -> (String, pg_sys::Oid, String) {
    (sys::system_identifier().to_string(), sys::my_database(), settings::environment())
}

/// Reads the switches.
pub fn gate() -> Result<Gate> {
    let (server, database, environment) = installation();
    let here: [DatumWithOid; 3] = [server.into(), database.into(), environment.into()];
    let gate = statement::row(include_str!("../../sql/queries/gate.sql"), &here, |row| {
        Ok(Gate { paused: row.get(1)?.unwrap_or(true), armed: row.get(2)?.unwrap_or(false), version: row.get(3)? })
    })?;
    Ok(gate.unwrap_or_default())
}

/// The bookings of these claims whose calls may still leave.
pub fn may_leave(claims: &[(String, i64)]) -> Result<Vec<String>> {
    let (ids, fences): (Vec<String>, Vec<i64>) = claims.iter().cloned().unzip();
    statement::rows(include_str!("../../sql/queries/may_leave.sql"), &[ids.into(), fences.into()], |row| {
        Ok(row.get(1)?.unwrap_or_default())
    })
}

/// When something is due again.
pub fn next_due() -> Result<Option<DateTime<Utc>>> {
    let found = statement::row(include_str!("../../sql/queries/next_due.sql"), &[], |row| Ok(row.get::<f64>(1)?))?;
    Ok(found.flatten().map(time))
}

/// The probe where no table is attached.
pub fn peek() -> Result<Probed> {
    let found = statement::row(include_str!("../../sql/queries/peek.sql"), &[], |row| {
        Ok(Probed {
            open: Vec::new(),
            ready: row.get(1)?.unwrap_or_default(),
            // Without the table nothing is sent.
            sending: false,
            next_due: row.get::<f64>(2)?.map(time),
            oldest: row.get::<f64>(3)?.map(time),
        })
    })?;
    Ok(found.unwrap_or_default())
}

/// A call that is about to leave.
pub struct Intent {
    /// The booking.
    pub booking_id: String,
    /// The fence.
    pub claim: i64,
    /// What is called.
    pub operation: &'static str,
    /// Tries, this one included.
    pub attempts: u32,
    /// Confirmation code of a create or its look-up.
    pub code: Option<String>,
}

/// Writes the intents.
pub fn begin(intents: &[Intent]) -> Result<()> {
    let args: [DatumWithOid; 5] = [
        column(intents, |intent| intent.booking_id.clone()).into(),
        column(intents, |intent| intent.claim).into(),
        column(intents, |intent| intent.operation).into(),
        column(intents, |intent| signed(intent.attempts)).into(),
        column(intents, |intent| intent.code.clone()).into(),
    ];
    statement::run(include_str!("../../sql/queries/begin.sql"), &args)
}

/// Leaves bookings to a person that were cancelled before they were sent.
pub fn withdraw(ids: Vec<String>) -> Result<()> {
    statement::run(include_str!("../../sql/queries/withdraw.sql"), &[ids.into()])
}

/// After a promotion or a recovery to a point in time: calls may have left that this server knows nothing of. `look` is
/// when they are looked up.
pub fn follow_timeline(now: DateTime<Utc>, look: DateTime<Utc>) -> Result<()> {
    statement::run(include_str!("../../sql/queries/doubt_all.sql"), &[seconds(now).into(), seconds(look).into()])?;
    statement::run(include_str!("../../sql/queries/timeline.sql"), &[])
}

/// Writes what stays in the queue; gives the bookings whose claim was still ours.
pub fn record(rows: &[(String, Option<i64>, Kept)]) -> Result<Vec<String>> {
    let seconds_of = |at: &Option<DateTime<Utc>>| at.map(seconds);
    let args: [DatumWithOid; 14] = [
        column(rows, |row| row.0.clone()).into(),
        column(rows, |row| row.1).into(),
        column(rows, |row| row.2.state).into(),
        column(rows, |row| signed(row.2.attempts)).into(),
        column(rows, |row| seconds_of(&row.2.due)).into(),
        column(rows, |row| seconds_of(&row.2.uncertain_since)).into(),
        column(rows, |row| signed(row.2.look_ups)).into(),
        column(rows, |row| signed(row.2.unconfirmed_creates)).into(),
        column(rows, |row| row.2.pending_refusal.map(ErrorClass::as_str)).into(),
        column(rows, |row| row.2.verify_first).into(),
        column(rows, |row| row.2.problem.as_ref().map(|problem| problem.class.as_str())).into(),
        column(rows, |row| row.2.problem.as_ref().map(|problem| problem.sentence.clone())).into(),
        column(rows, |row| row.2.held).into(),
        column(rows, |row| signed(row.2.failed_reads)).into(),
    ];
    statement::rows(include_str!("../../sql/queries/record.sql"), &args, |row| Ok(row.get(1)?.unwrap_or_default()))
}

/// Takes bookings out of the queue; gives those whose claim was still ours.
pub fn finish(rows: &[(String, Option<i64>)]) -> Result<Vec<String>> {
    let args: [DatumWithOid; 2] = [column(rows, |row| row.0.clone()).into(), column(rows, |row| row.1).into()];
    statement::rows(include_str!("../../sql/queries/finish.sql"), &args, |row| Ok(row.get(1)?.unwrap_or_default()))
}

/// Of these bookings and claims, those whose claim is in force: somebody else holds their rows.
pub fn still_ours(rows: &[(String, Option<i64>)]) -> Result<Vec<String>> {
    let args: [DatumWithOid; 2] = [column(rows, |row| row.0.clone()).into(), column(rows, |row| row.1).into()];
    statement::rows(include_str!("../../sql/queries/still_ours.sql"), &args, |row| Ok(row.get(1)?.unwrap_or_default()))
}

/// Writes the log.
pub fn log(rows: &[Attempt]) -> Result<()> {
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
    statement::run(include_str!("../../sql/queries/log.sql"), &args)
}

/// Calls of a dead worker that nobody counted.
pub fn orphans() -> Result<u32> {
    let count = statement::row(include_str!("../../sql/queries/orphans.sql"), &[], |row| Ok(row.get::<i64>(1)?))?;
    Ok(count.flatten().and_then(|count| u32::try_from(count).ok()).unwrap_or_default())
}

/// Makes every claim of a dead worker unknown, those of `ours` left out; `look` is when a create is looked up, `settled` when
/// a change is read back.
pub fn rescue(now: DateTime<Utc>, look: DateTime<Utc>, settled: DateTime<Utc>, ours: Vec<String>) -> Result<()> {
    let args: [DatumWithOid; 4] = [seconds(now).into(), seconds(look).into(), seconds(settled).into(), ours.into()];
    statement::run(include_str!("../../sql/queries/rescue.sql"), &args)
}

/// A worker was ended after so many seconds because code of the host did not end for this booking: it waits for a while. After
/// five times it has failed; then this gives the sentence for a person.
pub fn put_off(booking_id: &str, now: DateTime<Utc>, after_seconds: u32) -> Result<Option<String>> {
    let args: [DatumWithOid; 3] = [booking_id.into(), seconds(now).into(), signed(after_seconds).into()];
    statement::row(include_str!("../../sql/queries/put_off.sql"), &args, |row| Ok(row.get(1)?)).map(Option::flatten)
}

/// Nothing waits longer than until `latest`, and no doubt began later than `now`.
pub fn cap(now: DateTime<Utc>, latest: DateTime<Utc>) -> Result<()> {
    statement::run(include_str!("../../sql/queries/cap.sql"), &[seconds(now).into(), seconds(latest).into()])
}

/// Moves every waiting time by that many seconds.
pub fn shift(by: f64) -> Result<()> {
    statement::run(include_str!("../../sql/queries/shift.sql"), &[by.into()])
}

/// Queues what the sweep found: (booking, day of arrival). `doubt_since`: a call of theirs may be taking effect since then.
pub fn sweep(found: &[(String, Option<String>)], uncertain_since: Option<DateTime<Utc>>) -> Result<()> {
    let args: [DatumWithOid; 3] = [
        column(found, |row| row.0.clone()).into(),
        column(found, |row| row.1.clone()).into(),
        uncertain_since.map(seconds).into(),
    ];
    statement::run(include_str!("../../sql/queries/sweep.sql"), &args)
}

/// The words that meant paid when it was last looked at what was paid before.
pub fn paid_words() -> Result<Vec<String>> {
    let words = statement::row(include_str!("../../sql/queries/paid_words.sql"), &[], |row| Ok(row.get(1)?))?;
    Ok(words.flatten().unwrap_or_default())
}

/// Words that mean paid from now on, and the bookings that read so already: those are old.
pub fn take_stock(words: &[String], ids: &[String]) -> Result<()> {
    let args: [DatumWithOid; 2] = [words.to_vec().into(), ids.to_vec().into()];
    statement::run(include_str!("../../sql/queries/take_stock.sql"), &args)
}

/// Deletes the oldest attempts from before `until`, a small step; true if there may be more.
pub fn prune(until: DateTime<Utc>) -> Result<bool> {
    let deleted = statement::rows(include_str!("../../sql/queries/prune.sql"), &[seconds(until).into()], |_| Ok(()))?;
    Ok(deleted.len() >= PRUNE_STEP)
}

fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// A count as Postgres stores it.
pub fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
