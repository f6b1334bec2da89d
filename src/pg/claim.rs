//! Claims due bookings: locks the queue rows, reads the bookings, plans, and writes the intents, all in the caller's transaction,
//! so that the intents are durable before a byte leaves. Called by `pg::worker::claiming`; main thread only.

use chrono::{DateTime, Utc};

use super::db::session::{self, Result, SqlError};
use super::host::bookings::{Bookings, WriteBack};
use super::host_code;
use super::job::{Job, without_call};
use super::record_outcomes::{Deleted, OutcomeRows, WriteRetries, record_all};
use super::settings::Settings;
use super::store;
use super::store::queue::{QueueState, QueueUpdate, Skip};
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::field::{Field, Row};
use crate::domain::operation::Operation;
use crate::domain::plan::{Plan, Rules, plan, plan_deleted};
use crate::domain::queue_row::QueueRow;
use crate::domain::snapshot::{RemoteReservation, remote_or_named};

mod read;

/// Queues the dirty bookings, and marks those that had failed as pending in the source table.
pub fn drain_changes(bookings: &Bookings, test_mode: bool) -> Result<()> {
    let failed = store::changes::drain(test_mode)?;
    if failed.is_empty() {
        return Ok(());
    }
    // Locked rows are written with their next outcome; so are all rows while the host's code does not end in time.
    if host_code::is_cautious() {
        return Ok(());
    }
    let locked = host_code::for_several(|| bookings.lock(&failed))?.locked;
    match host_code::for_several(|| session::subtransaction(|| bookings.mark_pending(&locked))) {
        Err(error) if !error.is_cancel() => Err(error),
        _ => Ok(()),
    }
}

/// The result of a claim.
#[derive(Default)]
pub struct Claimed {
    /// Calls to be sent.
    pub jobs: Vec<Job>,
    /// Bookings that were due, but are locked by another transaction.
    pub locked: Vec<String>,
    /// Fewer than `limit` were due.
    pub drained: bool,
}

/// Claims up to `limit` bookings, without those to skip (`passed_over`). `retries` schedules bookings whose rows cannot be read
/// or written; `next_fence` returns a new fencing token for each claim.
pub fn claim_and_plan(
    bookings: &Bookings,
    settings: &Settings,
    now: DateTime<Utc>,
    limit: u32,
    passed_over: Skip,
    retries: &mut WriteRetries,
    mut next_fence: impl FnMut() -> i64,
) -> Result<Claimed> {
    let due = store::queue::claim_due(now, limit, passed_over)?;
    let drained = due.len() < limit as usize;
    let ids: Vec<String> = due.iter().map(|due| due.booking_id.clone()).collect();
    let mut claimed = Claimed { drained, ..Claimed::default() };
    if ids.is_empty() {
        return Ok(claimed);
    }
    let rules = store::rules::load(bookings, settings)?;
    let mut without_calls = Vec::new();
    let mut read = read::read(bookings, &ids, retries);
    claimed.drained &= !read.is_incomplete;
    claimed.locked.append(&mut read.locked);
    for mut due in due {
        let Some(row) = read.rows.remove(&due.booking_id) else { continue };
        let gone = matches!(row, Ok(None));
        if let Ok(Some(row)) = &row {
            match remote_or_named(due.remote.take(), row) {
                Ok(known) => due.remote = known,
                Err(problem) => {
                    let reference = row.get(Field::Reference).map(str::to_owned);
                    without_calls.push(OutcomeRows { reference, ..failed(&due, problem, now) });
                    continue;
                }
            }
        }
        if !settings.test_mode && row.as_ref().is_ok_and(Option::is_some) {
            due.look_up_by_code();
        }
        match decide(due, row, &rules, now) {
            Decision::Call(due, operation, mut reservation) => {
                reservation.use_earlier_code(due.code.as_deref());
                let row = due.planned(operation, next_fence(), &reservation.code);
                claimed.jobs.push(Job { row, reservation, generation: 0, gone });
            }
            Decision::NoCall(rows) => without_calls.push(*rows),
        }
    }
    if !claimed.jobs.is_empty() {
        store::queue::mark_sending(&claimed.jobs.iter().map(|job| &job.row).collect::<Vec<_>>())?;
        let records = |job: &&Job| job.row.operation == Operation::RecordPayment;
        store::reservations::mark_payments_sent(
            claimed.jobs.iter().filter(records).map(|job| job.row.booking_id.clone()).collect(),
        )?;
    }
    // Their queue rows are unchanged, so they are still due.
    let postponed = record_all(Some(bookings), without_calls, retries)?.into_iter().map(|outcome| outcome.booking_id);
    claimed.locked.extend(postponed.filter(|id| !retries.is_waiting(id)));
    Ok(claimed)
}

enum Decision {
    Call(Box<QueueRow>, Operation, Box<crate::domain::reservation::Reservation>),
    NoCall(Box<OutcomeRows>),
}

fn decide(due: QueueRow, row: Result<Option<Row>>, rules: &Rules, now: DateTime<Utc>) -> Decision {
    let no_call = |rows: OutcomeRows| Decision::NoCall(Box::new(rows));
    let (planned, reference) = match (row, &due.remote) {
        (Ok(Some(row)), _) => (plan(&row, &due, rules, now), row.get(Field::Reference).map(str::to_owned)),
        (Ok(None), Some(remote)) if remote.snapshot.is_over() && due.is_creating() => return no_call(gone(&due, now)),
        (Ok(None), Some(remote)) => match plan_deleted(remote, &due, rules, now) {
            Plan::Done => return no_call(deleted(&due, remote, now)),
            planned => (planned, None),
        },
        (Ok(None), None) => return no_call(gone(&due, now)),
        (Err(error), _) => return no_call(failed(&due, unreadable(&error), now)),
    };
    match planned {
        Plan::Call(operation, reservation) => Decision::Call(Box::new(due), operation, reservation),
        Plan::Wait(until) => {
            let queue_update = QueueUpdate {
                state: if due.reads_back_first() { QueueState::Unknown } else { QueueState::Waiting },
                due_at: Some(until),
                pending_refusal: due.pending_refusal,
                is_created: !due.is_creating(),
                problem: due.problem.clone(),
                ..QueueUpdate::failed_uncertain(&due, due.attempts)
            };
            no_call(OutcomeRows {
                queue_update: Some(queue_update),
                attempt: None,
                ..without_call(&due, "plan", "waits", None, now)
            })
        }
        Plan::Done => {
            let id = due.remote.as_ref().map(|remote| remote.reservation_id.clone()).unwrap_or_default();
            let write = WriteBack { idle: true, ..WriteBack::synced(&due.booking_id, &id, due.attempts) };
            no_call(OutcomeRows { write_back: Some(write), ..without_call(&due, "plan", "nothing_to_do", None, now) })
        }
        Plan::Withdraw(why) => {
            let write = Some(WriteBack::unsynced(&due.booking_id, "pending", None, due.attempts));
            let why = Problem::new(ErrorClass::InvalidBooking, why);
            no_call(OutcomeRows {
                write_back: write,
                withdrawn: true,
                ..without_call(&due, "plan", "withdrawn", Some(why), now)
            })
        }
        Plan::Fail(problem) => no_call(OutcomeRows { reference, ..failed(&due, problem, now) }),
    }
}

fn failed(due: &QueueRow, problem: Problem, now: DateTime<Utc>) -> OutcomeRows {
    // Counts as an attempt, so that the row shows that the booking was processed.
    let attempts = due.attempts.saturating_add(1);
    let write = Some(WriteBack::unsynced(&due.booking_id, "failed", Some(&problem), attempts));
    let queue_update =
        Some(QueueUpdate { problem: Some(problem.clone()), ..QueueUpdate::failed_uncertain(due, attempts) });
    OutcomeRows { queue_update, write_back: write, ..without_call(due, "plan", "refused", Some(problem), now) }
}

/// The booking was deleted. An operator can search for the confirmation code.
fn gone(due: &QueueRow, now: DateTime<Utc>) -> OutcomeRows {
    let problem = Problem::new(ErrorClass::InvalidBooking, "the booking was deleted");
    let uncertain = due.uncertain_since.is_some() || due.unconfirmed_creates > 0;
    let deleted = uncertain.then_some(Deleted::Uncertain);
    OutcomeRows { reference: due.code.clone(), deleted, ..without_call(due, "plan", "gone", Some(problem), now) }
}

/// Guestly has a reservation whose booking was deleted: an alert, unless the reservation has ended or is one of test mode.
fn deleted(due: &QueueRow, remote: &RemoteReservation, now: DateTime<Utc>) -> OutcomeRows {
    let rows = gone(due, now);
    let is_active = !remote.is_test() && !remote.snapshot.is_over();
    let deleted = is_active.then(|| Deleted::Remote(remote.reservation_id.clone())).or(rows.deleted);
    OutcomeRows { reference: due.code.clone().or_else(|| Some(remote.code.clone())), deleted, ..rows }
}

fn unreadable(error: &SqlError) -> Problem {
    let sentence = format!("the booking cannot be read: {}; see guestly.field_map", error.safe_message());
    Problem::new(if read::is_temporary(error) { ErrorClass::Internal } else { ErrorClass::InvalidBooking }, sentence)
}
