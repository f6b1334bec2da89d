//! One cycle of the worker: records outcomes and claims due bookings, in one short transaction or, if there are both, in two;
//! then sends the calls. Part of the worker, main thread; never waits for the network.

use std::collections::VecDeque;
use std::time::Instant;

use chrono::Utc;

use super::api::Api;
use super::claiming::{Batch, claim_batch, has_claimable};
use super::claims::Claims;
use super::context::Ctx;
use super::outcomes::Outcomes;
use super::schedule::{Schedule, may_claim};
use super::sending::{release_unsent, send, send_prefetched};
use crate::domain::retry::{BAD_ADDRESS_PAUSE, RECORD_PAUSE};
use crate::domain::send_gate::Permit;
use crate::pg::db::session::{self, Result};
use crate::pg::host::bookings::Bookings;
use crate::pg::record_outcomes::{Access, OutcomeRows, at_exit, record_all, record_one, take_success};
use crate::pg::{host_code, store, sys};

/// The transactions of one cycle.
#[derive(Clone, Copy)]
struct CyclePlan {
    permit: Permit,
    /// Outcomes are written in this cycle.
    records: bool,
    /// The worker's state needs no saving in this transaction.
    state_is_saved: bool,
}

/// The results of one transaction.
#[derive(Default)]
struct Committed {
    batch: Batch,
    /// Outcomes that must wait for a lock or a retry.
    postponed: Vec<OutcomeRows>,
    /// There is something to claim, in a transaction of its own.
    claim_next: bool,
    state_saved: bool,
}

/// Records outcomes, claims due bookings, and sends their calls.
pub(super) fn run(ctx: &mut Ctx, api: &mut Api, claims: &mut Claims, outcomes: &mut Outcomes, schedule: &mut Schedule) {
    schedule.add_backlog(send_prefetched(ctx, api, claims, outcomes, schedule.linger));
    schedule.add_backlog(outcomes.retries.is_due());
    if !outcomes.has_writable() && !schedule.is_something_due(ctx) {
        return;
    }
    // The open breaker chooses the next call: prefetched ones may be others.
    if api.is_open() && !claims.prefetched.is_empty() {
        schedule.add_backlog(release_unsent(api, claims, outcomes));
    }
    let permit = may_claim(ctx, api, claims, outcomes, Utc::now());
    if !outcomes.has_writable() && matches!(permit, Permit::Wait(_)) {
        return;
    }
    let began = Instant::now();
    let cautious = host_code::is_cautious() || outcomes.retries.is_slow(Access::Write);
    let recorded = cautious && outcomes.has_writable();
    if recorded && !record_one_by_one(ctx, claims, outcomes, schedule) {
        return;
    }
    let unwritten = if cautious { Vec::new() } else { outcomes.take_writable() };
    let mut plan = CyclePlan {
        permit,
        records: recorded || !unwritten.is_empty(),
        state_is_saved: !recorded && unwritten.is_empty(),
    };
    if transact(ctx, api, claims, outcomes, schedule, plan, unwritten) {
        // The outcomes are committed before mapping expressions of other bookings run.
        plan.state_is_saved = true;
        transact(ctx, api, claims, outcomes, schedule, plan, Vec::new());
    }
    schedule.set_linger(began.elapsed());
}

/// After host code did not end in time, records each outcome in a transaction of its own, those without failed attempts
/// first. Once the time limit is used up, the others wait for the next cycle. False if a transaction failed.
fn record_one_by_one(ctx: &mut Ctx, claims: &mut Claims, outcomes: &mut Outcomes, schedule: &mut Schedule) -> bool {
    let (began, mut unwritten) = (Instant::now(), VecDeque::from(outcomes.take_writable()));
    unwritten.make_contiguous().sort_by_key(|outcome| outcomes.retries.tries(Access::Write, &outcome.booking_id));
    at_exit::set_unrecorded(unwritten.iter().chain(&outcomes.pending));
    let mut failure = None;
    while began.elapsed() < host_code::SHORT_LIMIT
        && failure.is_none()
        && let Some(outcome) = unwritten.pop_front()
    {
        let retries = &mut outcomes.retries;
        let written = session::transaction(c"guestly_sync: recording", || {
            let bookings = Bookings::load()?;
            Ok(record_one(bookings.as_ref(), outcome.clone(), retries))
        });
        match written {
            Ok(None) => {
                claims.end(&outcome.booking_id);
                at_exit::remove(&outcome.booking_id);
            }
            Ok(Some(postponed)) => {
                if !outcomes.retries.is_waiting(&postponed.booking_id) {
                    ctx.back_off(RECORD_PAUSE);
                }
                outcomes.pending.push(postponed);
            }
            Err(error) => {
                outcomes.pending.push(outcome);
                failure = Some(error);
            }
        }
    }
    outcomes.pending.extend(unwritten);
    claims.keep_in_progress(&outcomes.pending);
    if let Some(error) = &failure {
        schedule.add_backlog(true);
        ctx.failed(error);
    }
    failure.is_none()
}

/// Runs one transaction, then sends its calls; true if the claim needs another transaction.
fn transact(
    ctx: &mut Ctx,
    api: &mut Api,
    claims: &mut Claims,
    outcomes: &mut Outcomes,
    schedule: &mut Schedule,
    plan: CyclePlan,
    unwritten: Vec<OutcomeRows>,
) -> bool {
    let retained = unwritten.clone();
    outcomes.save_at_exit(&retained);
    let committed = session::transaction(c"guestly_sync: recording and claiming", || {
        record_and_claim(ctx, api, claims, outcomes, schedule, plan, unwritten)
    });
    let committed = match committed {
        Ok(committed) => committed,
        Err(error) => {
            claims.keep_in_progress(&retained);
            outcomes.pending.extend(retained);
            api.token_intent = None;
            schedule.add_backlog(true);
            // If host code did not end in time, the next cycle is cautious.
            if !(error.is_cancel() && host_code::is_cautious()) {
                ctx.failed(&error);
            }
            return false;
        }
    };
    let Committed { batch, postponed, claim_next, state_saved } = committed;
    if state_saved {
        outcomes.state_saved();
    }
    let has_done_nothing = !plan.records && batch.jobs.is_empty() && api.token_intent.is_none() && !batch.ping;
    let may_claim_more = !matches!(plan.permit, Permit::Wait(_)) && schedule.is_something_due(ctx);
    // Locked by another session: claiming again at once would find the same.
    let is_locked = postponed.iter().any(|outcome| !outcomes.retries.is_waiting(&outcome.booking_id));
    if is_locked || (has_done_nothing && may_claim_more && batch.locked.is_empty()) {
        ctx.back_off(RECORD_PAUSE);
    }
    // Appended: calls that were released meanwhile are pending already.
    outcomes.pending.extend(postponed);
    outcomes.save_at_exit(&[]);
    api.send_token_request(ctx);
    schedule.add_backlog(send(ctx, api, claims, outcomes, batch.jobs));
    if batch.ping && !api.ping(ctx, None) {
        ctx.back_off(BAD_ADDRESS_PAUSE);
    }
    sys::report_statistics(!schedule.backlog && api.in_flight() == 0);
    claim_next
}

fn record_and_claim(
    ctx: &mut Ctx,
    api: &mut Api,
    claims: &mut Claims,
    outcomes: &mut Outcomes,
    schedule: &mut Schedule,
    plan: CyclePlan,
    unwritten: Vec<OutcomeRows>,
) -> Result<Committed> {
    let bookings = Bookings::load()?;
    ctx.table.clone_from(&bookings);
    let wall = Utc::now();
    let has_outcomes = !unwritten.is_empty();
    unwritten.iter().for_each(|outcome| claims.end(&outcome.booking_id));
    let postponed = record_all(bookings.as_ref(), unwritten, &mut outcomes.retries)?;
    claims.keep_in_progress(&postponed);
    let mut committed = Committed { postponed, ..Committed::default() };
    if take_success() {
        outcomes.update.success = Some(wall);
    }
    match (&bookings, ctx.may_send()?) {
        (Some(_), true) if has_outcomes && has_claimable(claims, outcomes, plan.permit)? => {
            committed.claim_next = true;
            // The commit of the claim that follows flushes both to disk.
            sys::set_locally(c"synchronous_commit", "off");
        }
        (Some(bookings), true) => {
            committed.batch = claim_batch(ctx, api, claims, outcomes, bookings, plan.permit)?;
            plan_next_claim(claims, schedule, &committed.batch, plan)?;
        }
        _ => {
            release_unsent(api, claims, outcomes);
            schedule.clear();
        }
    }
    // A claim alone does not change the saved state.
    if !plan.state_is_saved || (!committed.batch.jobs.is_empty() && outcomes.has_update()) {
        outcomes.save_state(ctx, api, wall)?;
        committed.state_saved = true;
    }
    Ok(committed)
}

/// Reads when the next row is due, unless more is claimed at once or the outcomes of these calls will read it.
fn plan_next_claim(claims: &Claims, schedule: &mut Schedule, batch: &Batch, plan: CyclePlan) -> Result<()> {
    if let Some(backlog) = batch.backlog {
        schedule.backlog = backlog;
    }
    let is_known = !plan.records && !batch.jobs.is_empty() && schedule.next_due.is_none_or(|due| due > Utc::now());
    if !schedule.backlog && !is_known {
        schedule.next_due = store::queue::next_due()?.into_iter().chain(claims.locked_until()).min();
    }
    Ok(())
}
