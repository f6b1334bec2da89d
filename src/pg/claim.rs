//! Claiming: takes what is due, reads the bookings, plans, and writes the intents; all in the caller's transaction, so that
//! everything is durable before a byte leaves. Main thread only.

use chrono::{DateTime, Utc};

use super::bookings::{Bookings, WriteBack};
use super::job::{Job, without_call};
use super::queue::{self, Due, Intent, Kept, Skip};
use super::record::{Change, Deleted, Patience, record_all};
use super::session::{self, Result, SqlError};
use super::settings::{Settings, paid_statuses};
use super::{host_code, statement};
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::field::{Field, Row};
use crate::domain::operation::Operation;
use crate::domain::plan::{Plan, Queued, Rules, plan, plan_deleted};
use crate::domain::reservation::Tables;
use crate::domain::snapshot::{RemoteReservation, remote_or_named};

mod read;

/// Takes bookings whose data changed into the queue; the rows of those that had failed say so.
pub fn absorb(bookings: &Bookings, test_mode: bool) -> Result<()> {
    let mended = queue::absorb(test_mode)?;
    if mended.is_empty() {
        return Ok(());
    }
    // Those that somebody holds say it with their outcome, and so does each of them where the host's code does not end.
    if host_code::is_careful() {
        return Ok(());
    }
    let locked = host_code::for_several(|| bookings.lock(&mended))?.locked;
    match host_code::for_several(|| session::subtransaction(|| bookings.mark_pending(&locked))) {
        Err(error) if !error.is_cancel() => Err(error),
        _ => Ok(()),
    }
}

/// What a claim gave.
#[derive(Default)]
pub struct Claimed {
    /// Calls to be sent.
    pub jobs: Vec<Job>,
    /// Due, but somebody holds these bookings.
    pub busy: Vec<String>,
    /// Fewer than asked for were due.
    pub drained: bool,
}

/// Claims up to `limit` bookings, none of those `passed_over`. What cannot be written is a matter of `patience`.
/// `claim` gives a new fence for each.
pub fn claim(
    bookings: &Bookings,
    settings: &Settings,
    now: DateTime<Utc>,
    limit: u32,
    passed_over: Skip,
    patience: &mut Patience,
    mut claim: impl FnMut() -> i64,
) -> Result<Claimed> {
    let due = queue::due(now, limit, passed_over)?;
    let drained = due.len() < limit as usize;
    let ids: Vec<String> = due.iter().map(|due| due.booking_id.clone()).collect();
    let mut claimed = Claimed { drained, ..Claimed::default() };
    if ids.is_empty() {
        return Ok(claimed);
    }
    let rules = rules(bookings, settings)?;
    let mut settled = Vec::new();
    let mut read = read::read(bookings, &ids, patience);
    claimed.drained &= !read.left;
    claimed.busy.append(&mut read.busy);
    for mut due in due {
        let Some(row) = read.rows.remove(&due.booking_id) else { continue };
        let gone = matches!(row, Ok(None));
        if let Ok(Some(row)) = &row {
            match remote_or_named(due.remote.take(), row) {
                Ok(known) => due.remote = known,
                Err(problem) => {
                    let reference = row.get(Field::Reference).map(str::to_owned);
                    settled.push(Change { reference, ..failed(&due, problem, now) });
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
                claimed.jobs.push(Job { due: *due, operation, reservation, claim: claim(), generation: 0, gone });
            }
            Decision::NoCall(change) => settled.push(*change),
        }
    }
    let intents: Vec<Intent> = claimed.jobs.iter().map(Job::intent).collect();
    if !intents.is_empty() {
        queue::begin(&intents)?;
        let records = |job: &&Job| job.operation == Operation::RecordPayment;
        queue::payments_sent(claimed.jobs.iter().filter(records).map(|job| job.due.booking_id.clone()).collect())?;
    }
    // Their queue rows are unchanged: what must wait is simply due again.
    let postponed = record_all(Some(bookings), settled, patience)?.into_iter().map(|change| change.booking_id);
    claimed.busy.extend(postponed.filter(|id| !patience.is_resting(id)));
    Ok(claimed)
}

impl Due {
    /// Guestly does not hold the reservation that the booking's row names: what it is asked for now is our code.
    fn look_up_by_code(&mut self) {
        let named = |remote: &mut RemoteReservation| !remote.verified && !remote.ended && !remote.is_test();
        if self.pending_refusal.is_some() {
            self.missing_reservation = self.remote.take_if(named).map(|remote| remote.reservation_id);
        }
    }
}

enum Decision {
    Call(Box<Due>, Operation, Box<crate::domain::reservation::Reservation>),
    NoCall(Box<Change>),
}

fn decide(due: Due, row: Result<Option<Row>>, rules: &Rules, now: DateTime<Utc>) -> Decision {
    let settled = |change: Change| Decision::NoCall(Box::new(change));
    // A doubt alone (a copy, a promoted standby) does not say that a create was begun.
    let creating = due.code.is_some() || due.unconfirmed_creates > 0;
    let queued = Queued {
        force: due.force,
        verify_first: due.verify_first,
        creating,
        read_back_first: due.verify_first && !due.waited,
        remote: due.remote.clone(),
    };
    let (planned, reference) = match (row, &due.remote) {
        (Ok(Some(row)), _) => (plan(&row, &queued, rules, now), row.get(Field::Reference).map(str::to_owned)),
        (Ok(None), Some(remote)) if remote.snapshot.is_over() && creating => return settled(gone(&due, now)),
        (Ok(None), Some(remote)) => match plan_deleted(&due.booking_id, remote, &queued, rules, now) {
            Plan::Done => return settled(deleted(&due, remote, now)),
            planned => (planned, None),
        },
        (Ok(None), None) => return settled(gone(&due, now)),
        (Err(error), _) => return settled(failed(&due, unreadable(&error), now)),
    };
    match planned {
        Plan::Call(operation, reservation) => Decision::Call(Box::new(due), operation, reservation),
        Plan::Wait(until) => {
            let kept = Kept {
                state: if queued.read_back_first { "unknown" } else { "waiting" },
                due: Some(until),
                pending_refusal: due.pending_refusal,
                held: !creating,
                problem: due.problem.clone(),
                ..Kept::failed_in_doubt(&due, due.attempts)
            };
            settled(Change { kept: Some(kept), attempt: None, ..without_call(&due, "plan", "waits", None, now) })
        }
        Plan::Done => {
            let id = due.remote.as_ref().map(|remote| remote.reservation_id.clone()).unwrap_or_default();
            let write = WriteBack { idle: true, ..WriteBack::synced(&due.booking_id, &id, due.attempts) };
            settled(Change { write: Some(write), ..without_call(&due, "plan", "nothing_to_do", None, now) })
        }
        Plan::Withdraw(why) => {
            let write = Some(WriteBack::unsynced(&due.booking_id, "pending", None, due.attempts));
            let why = Problem::new(ErrorClass::InvalidBooking, why);
            settled(Change { write, withdrawn: true, ..without_call(&due, "plan", "withdrawn", Some(why), now) })
        }
        Plan::Fail(problem) => settled(Change { reference, ..failed(&due, problem, now) }),
    }
}

fn failed(due: &Due, problem: Problem, now: DateTime<Utc>) -> Change {
    // The try that was not made counts: the row says that it was looked at.
    let attempts = due.attempts.saturating_add(1);
    let write = Some(WriteBack::unsynced(&due.booking_id, "failed", Some(&problem), attempts));
    let kept = Some(Kept { problem: Some(problem.clone()), ..Kept::failed_in_doubt(due, attempts) });
    Change { kept, write, ..without_call(due, "plan", "refused", Some(problem), now) }
}

/// The booking was deleted. The confirmation code is what a person can look for.
fn gone(due: &Due, now: DateTime<Utc>) -> Change {
    let problem = Problem::new(ErrorClass::InvalidBooking, "the booking was deleted");
    let uncertain = due.uncertain_since.is_some() || due.unconfirmed_creates > 0;
    let deleted = uncertain.then_some(Deleted::InDoubt);
    Change { reference: due.code.clone(), deleted, ..without_call(due, "plan", "gone", Some(problem), now) }
}

/// Guestly holds what the host has deleted: a person decides, unless it was over anyway or never real.
fn deleted(due: &Due, remote: &RemoteReservation, now: DateTime<Utc>) -> Change {
    let change = gone(due, now);
    let held = !remote.is_test() && !remote.snapshot.is_over();
    let deleted = held.then(|| Deleted::Held(remote.reservation_id.clone())).or(change.deleted);
    Change { reference: due.code.clone().or_else(|| Some(remote.code.clone())), deleted, ..change }
}

fn unreadable(error: &SqlError) -> Problem {
    let sentence = format!("the booking cannot be read: {}; see guestly.field_map", error.words());
    Problem::new(if read::passes(error) { ErrorClass::Internal } else { ErrorClass::InvalidBooking }, sentence)
}

/// Listings, statuses and the words for messages.
pub fn rules(bookings: &Bookings, settings: &Settings) -> Result<Rules> {
    let mut tables = Tables::default();
    statement::rows(include_str!("../../sql/queries/rules.sql"), &[], |row| {
        let (from, to) = (row.get::<String>(2)?.unwrap_or_default(), row.get::<String>(3)?.unwrap_or_default());
        match row.get::<i32>(1)? {
            Some(1) => tables.listings.insert(from, to),
            _ => tables.statuses.insert(from.to_lowercase(), to),
        };
        Ok(())
    })?;
    Ok(Rules {
        tables,
        labels: bookings.labels(),
        source: settings.source.clone(),
        test_mode: settings.test_mode,
        paid: paid_statuses(),
        propagation_delay: settings.policy.propagation_delay,
        cancel_on_delete: settings.cancel_on_delete,
        payments: settings.money.payments.clone(),
    })
}
