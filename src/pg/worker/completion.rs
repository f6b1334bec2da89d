//! Completes calls: classifies each reply, reports it to the send gate, and turns it into rows to be written. Part of the
//! worker, main thread.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::api::{Api, PingReply, Purpose};
use super::context::Ctx;
use super::outcomes::Outcomes;
use crate::domain::operation::Operation;
use crate::domain::outcome::{Outcome, Reply, classify};
use crate::domain::price;
use crate::domain::send_gate;
use crate::domain::transition::Moment;
use crate::net::pool::FinishedRequest;
use crate::pg::job::{Job, Trace};
use crate::pg::record_outcomes::OutcomeRows;
use crate::pg::store;

/// Completes the calls that have ended. Waits up to `linger` for more of them, so that they share a commit. True if there were
/// any.
pub(super) fn complete_after(linger: Duration, ctx: &mut Ctx, api: &mut Api, outcomes: &mut Outcomes) -> bool {
    if let Some(pool) = &api.pool {
        pool.linger(linger);
    }
    complete_all(ctx, api, outcomes)
}

/// Completes the calls that have ended, and takes those that the pool has released. True if there were any.
pub(super) fn complete_all(ctx: &mut Ctx, api: &mut Api, outcomes: &mut Outcomes) -> bool {
    let finished = api.pool.as_ref().map(|pool| pool.take_finished()).unwrap_or_default();
    let mut found = !finished.is_empty();
    finished.into_iter().for_each(|done| complete(ctx, api, outcomes, done));
    if let Some(jobs) = api.take_released() {
        outcomes.add_unsent(jobs);
        found = true;
    }
    found
}

/// Completes one call; its rows wait in memory until they are committed.
pub(super) fn complete(ctx: &mut Ctx, api: &mut Api, outcomes: &mut Outcomes, done: FinishedRequest<Purpose>) {
    let (wall, now) = (Utc::now(), ctx.now());
    let (operation, booking) = match &done.tag {
        Purpose::Token { .. } => (Operation::Token, None),
        Purpose::Call(job) => (job.row.operation, Some(job.row.booking_id.clone())),
        Purpose::Ping { .. } => (Operation::LookUp, None),
    };
    let outcome = classify(operation, &done.reply, wall);
    record_clock_skew(outcomes, &done);
    let trace = trace(&done);
    let age = done.started.elapsed();
    let completion = send_gate::Completion {
        now,
        started: now.saturating_sub(age),
        wall,
        jitter: jitter(),
        token_call: operation == Operation::Token,
        status: trace.http_status,
        booking,
    };
    if let Reply::Answer(answer) = &done.reply {
        let in_flight = api.in_flight();
        api.gate.observe(&answer.rate_limit, in_flight, age, now);
    }
    match done.tag {
        Purpose::Token { requested, fingerprint } => {
            api.gate.record_outcome(operation, api.gate.tokens.generation, &outcome, &completion);
            api.complete_token(ctx, outcomes, &outcome, (requested, fingerprint), trace);
        }
        Purpose::Ping { question, generation } => {
            api.gate.record_outcome(operation, generation, &outcome, &completion);
            api.ping_replies.push(PingReply { question, outcome, trace });
        }
        Purpose::Call(job) => complete_call(ctx, api, outcomes, *job, &outcome, &completion, trace),
    }
}

fn complete_call(
    ctx: &mut Ctx,
    api: &mut Api,
    outcomes: &mut Outcomes,
    job: Job,
    outcome: &Outcome,
    completion: &send_gate::Completion,
    trace: Trace,
) {
    let operation = job.row.operation;
    let moment = Moment {
        started: trace.started,
        now: completion.wall,
        jitter: jitter(),
        outage: api.gate.is_outage_for(operation, outcome, completion),
        token_is_new: api.gate.tokens.was_new_for(operation, job.generation),
    };
    let next = job.next(outcome, &ctx.settings.policy, &moment);
    let had_token = api.gate.tokens.token.is_some();
    api.gate.record_outcome(operation, job.generation, outcome, completion);
    if had_token && api.gate.tokens.token.is_none() {
        ctx.transaction(|_| store::worker_state::delete_token());
    }
    let mut rows = job.into_rows(outcome, next, trace);
    rows.price = price_difference(ctx, &rows);
    // A reservation counts as a success only once it is recorded.
    if let Some(problem) = rows
        .queue_update
        .as_ref()
        .and_then(|update| update.problem.as_ref())
        .filter(|_| rows.reservation_update.is_none())
    {
        outcomes.record_error(&format!("booking {}", rows.booking_id), problem);
    }
    outcomes.pending.push(rows);
}

/// A sentence, if the call reported a total that differs from the amount paid.
fn price_difference(ctx: &Ctx, rows: &OutcomeRows) -> Option<String> {
    let reservation = rows.reservation_update.as_ref()?;
    price::describe_difference(
        reservation.update.total.as_deref()?,
        reservation.paid?,
        ctx.settings.payments.price_tolerance,
    )
}

/// The times and ids of a call, for the log.
pub(super) fn trace(done: &FinishedRequest<Purpose>) -> Trace {
    let answer = if let Reply::Answer(answer) = &done.reply { Some(answer) } else { None };
    Trace {
        started: done.started_at,
        duration_ms: i32::try_from(done.elapsed.as_millis()).unwrap_or(i32::MAX),
        http_status: answer.map(|answer| answer.status),
        request_id: answer.and_then(|answer| answer.request_id.clone()),
    }
}

/// Records the API's clock minus ours, for the status.
fn record_clock_skew(outcomes: &mut Outcomes, done: &FinishedRequest<Purpose>) {
    let Reply::Answer(answer) = &done.reply else { return };
    let date = answer.date.as_deref().and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    if let Some(date) = date {
        outcomes.update.clock_skew_ms = Some((date.with_timezone(&Utc) - Utc::now()).num_milliseconds());
    }
}

/// A random number in [0, 1): the standard library seeds its hashers from the system's randomness.
pub(super) fn jitter() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1u64 << 53) as f64
}
