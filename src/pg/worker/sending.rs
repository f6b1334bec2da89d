//! Sends claimed calls, releases those that may no longer be sent, and simulates calls in test mode. Part of the worker, main
//! thread.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use chrono::Utc;
use pgrx::log;

use super::api::Api;
use super::claims::Claims;
use super::completion::complete_all;
use super::context::Ctx;
use super::outcomes::Outcomes;
use crate::domain::outcome::Outcome;
use crate::domain::redact::mask_personal;
use crate::domain::send_gate::Permit;
use crate::domain::snapshot::TEST_PREFIX;
use crate::domain::transition::Transition;
use crate::pg::host::bookings::Bookings;
use crate::pg::job::{Job, Trace};
use crate::pg::store;

/// Sends the calls whose intent is committed, as many as the gate permits; the others stay prefetched. True if some are due
/// again.
pub(super) fn send(ctx: &mut Ctx, api: &mut Api, claims: &mut Claims, outcomes: &mut Outcomes, jobs: Vec<Job>) -> bool {
    if ctx.settings.test_mode {
        jobs.into_iter().for_each(|job| simulate(job, outcomes));
        return false;
    }
    claims.begin(&jobs);
    claims.prefetched.extend(jobs);
    send_permitted(ctx, api, claims, outcomes)
}

/// Sends prefetched calls: each finished call is replaced at once, and replies within `linger` share a commit. True if
/// bookings are due again or replies arrived.
pub(super) fn send_prefetched(
    ctx: &mut Ctx,
    api: &mut Api,
    claims: &mut Claims,
    outcomes: &mut Outcomes,
    linger: Duration,
) -> bool {
    let until = Instant::now() + linger;
    let mut found = recheck_prefetched(ctx, api, claims, outcomes);
    if claims.prefetched.is_empty() {
        return found;
    }
    loop {
        // Replies first: a refusal may close the gate.
        found |= complete_all(ctx, api, outcomes);
        if api.is_open() {
            return release_unsent(api, claims, outcomes) | found;
        }
        found |= send_permitted(ctx, api, claims, outcomes);
        if claims.prefetched.is_empty() || !outcomes.has_writable() || Instant::now() >= until {
            return found;
        }
        if let Some(pool) = &api.pool {
            pool.wait_for_reply(until);
        }
    }
}

/// Releases every claimed call that was not sent. True if there was one.
pub(super) fn release_unsent(api: &mut Api, claims: &mut Claims, outcomes: &mut Outcomes) -> bool {
    let prefetched = std::mem::take(&mut claims.prefetched);
    let any = !prefetched.is_empty();
    outcomes.add_unsent(prefetched);
    api.release_unsent();
    let released = api.take_released();
    let found = any || released.is_some();
    outcomes.add_unsent(released.unwrap_or_default());
    found
}

/// Releases prefetched calls that may no longer be sent: all of them if sending was stopped since the claim, or if the source
/// table or its mapping changed; otherwise those of bookings that were changed or removed from the queue.
fn recheck_prefetched(ctx: &mut Ctx, api: &mut Api, claims: &mut Claims, outcomes: &mut Outcomes) -> bool {
    if claims.prefetched.is_empty() {
        return false;
    }
    let fences: Vec<_> = claims.prefetched.iter().map(|job| (job.row.booking_id.clone(), job.row.claim_id)).collect();
    let checked = ctx.transaction(|ctx| {
        let may_send = ctx.may_send()? && Bookings::load()? == ctx.table;
        if may_send { store::queue::claims_to_send(&fences).map(Some) } else { Ok(None) }
    });
    let Some(may_leave) = checked.flatten() else { return release_unsent(api, claims, outcomes) };
    if may_leave.len() == fences.len() {
        return false;
    }
    let (stay, back): (VecDeque<Job>, VecDeque<Job>) =
        claims.prefetched.drain(..).partition(|job| may_leave.contains(&job.row.booking_id));
    claims.prefetched = stay;
    outcomes.add_unsent(back);
    true
}

/// Sends as many prefetched calls as the gate permits. True if some are due again.
fn send_permitted(ctx: &mut Ctx, api: &mut Api, claims: &mut Claims, outcomes: &mut Outcomes) -> bool {
    let mut found = false;
    if let Permit::Send(calls) = api.permit(ctx, Utc::now()) {
        for _ in 0..calls {
            let Some(job) = claims.prefetched.pop_front() else { break };
            if let Err(job) = api.send(ctx, job) {
                outcomes.add_unsent([*job]);
                found = true;
            }
        }
    }
    // A place is free but the gate is closed, perhaps for long.
    if !claims.prefetched.is_empty() && api.in_flight() < ctx.settings.concurrency {
        found |= release_unsent(api, claims, outcomes);
    }
    found
}

/// Test mode: logs the request without the guest's data, and gives the booking an id that never counts as real.
fn simulate(job: Job, outcomes: &mut Outcomes) {
    let request = job.request();
    let body = request.body.as_ref().map(mask_personal).unwrap_or_default();
    log!("guestly_sync test mode: {} {} {body}", request.method.as_str(), request.path);
    let reservation_id = format!("{TEST_PREFIX}{}", job.reservation.code);
    let outcome = Outcome::Created { reservation_id: reservation_id.clone(), confirmation_code: None, total: None };
    let next = Transition::Synced { reservation_id, adopted: false, warning: None, found: None };
    let trace = Trace { started: Utc::now(), ..Trace::default() };
    outcomes.pending.push(job.into_rows(&outcome, next, trace));
}
