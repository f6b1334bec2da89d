//! Claims in the order that the breaker chooses: due bookings, a ping, or a token request. Runs in the transaction of the
//! cycle. Part of the worker, main thread.

use chrono::{DateTime, Utc};
use pgrx::PgSqlErrorCode;

use super::api::Api;
use super::claims::Claims;
use super::context::Ctx;
use super::outcomes::Outcomes;
use crate::domain::breaker::NextCall;
use crate::domain::send_gate::Permit;
use crate::pg::claim::{self, Claimed};
use crate::pg::db::session::{self, Result, SqlError};
use crate::pg::host::bookings::Bookings;
use crate::pg::job::Job;
use crate::pg::store::{self, queue::Skip};

/// The claims of one transaction.
#[derive(Default)]
pub(super) struct Batch {
    /// Calls to be sent.
    pub(super) jobs: Vec<Job>,
    /// Due bookings that another session has locked.
    pub(super) locked: Vec<String>,
    /// True if there may be more to claim; `None` if that is not known.
    pub(super) backlog: Option<bool>,
    /// A ping must be sent: the breaker asks for one.
    pub(super) ping: bool,
}

/// Claims as many bookings as `permit` allows, or records the intent to request a token. Errors: sending was stopped
/// meanwhile, or a statement failed; the caller must roll back.
pub(super) fn claim_batch(
    ctx: &mut Ctx,
    api: &mut Api,
    claims: &mut Claims,
    outcomes: &mut Outcomes,
    bookings: &Bookings,
    permit: Permit,
) -> Result<Batch> {
    let wall = Utc::now();
    queue_changes(ctx, bookings);
    let passed_over = claims.passed_over(outcomes, wall);
    let mut batch = Batch::default();
    match permit {
        Permit::Send(calls) => batch = claim_by_steps(ctx, api, claims, outcomes, bookings, calls, passed_over)?,
        // The reply with the token starts the next claim.
        Permit::FetchToken => {
            if is_due(wall, passed_over)? {
                api.intend_token(ctx, wall)?;
            }
            batch.backlog = Some(false);
        }
        Permit::Wait(_) => {}
    }
    check_switches_again(ctx, api, &batch)?;
    claims.pass_over(&batch.locked, wall);
    if !ctx.settings.test_mode && !batch.jobs.is_empty() && api.gate.tokens.should_renew(wall) {
        api.intend_token(ctx, wall)?;
    }
    Ok(batch)
}

/// True if a claim would find something. It then needs a transaction of its own: it may run host code for other bookings.
pub(super) fn has_claimable(claims: &mut Claims, outcomes: &Outcomes, permit: Permit) -> Result<bool> {
    let wall = Utc::now();
    let passed_over = claims.passed_over(outcomes, wall);
    Ok(store::changes::any()? || (matches!(permit, Permit::Send(_)) && is_due(wall, passed_over)?))
}

fn is_due(wall: DateTime<Utc>, passed_over: Vec<String>) -> Result<bool> {
    Ok(!store::queue::claim_due(wall, 1, Skip { bookings: passed_over, kind: None })?.is_empty())
}

/// Queues dirty bookings, in a subtransaction: a failure does not delay new bookings.
fn queue_changes(ctx: &mut Ctx, bookings: &Bookings) {
    match session::subtransaction(|| claim::drain_changes(bookings, ctx.settings.test_mode)) {
        Err(error) if !error.is_transient() => ctx.report(
            &format!("cannot queue changed bookings: {error}"),
            "Changes and cancellations wait, new bookings are sent. See SELECT * FROM guestly_doctor().",
        ),
        _ => {}
    }
}

/// pg_restore loads the queue after the switches. Reading the switches again after the claim guarantees that both were read.
fn check_switches_again(ctx: &mut Ctx, api: &Api, batch: &Batch) -> Result<()> {
    if (batch.jobs.is_empty() && api.token_intent.is_none()) || ctx.may_send()? {
        return Ok(());
    }
    Err(SqlError::new(PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE, "sending was stopped"))
}

/// Claims up to `calls` bookings in the order of the breaker's steps; while it is open, one call of its choice or a ping.
fn claim_by_steps(
    ctx: &Ctx,
    api: &mut Api,
    claims: &mut Claims,
    outcomes: &mut Outcomes,
    bookings: &Bookings,
    calls: u32,
    mut passed_over: Vec<String>,
) -> Result<Batch> {
    let settings = &ctx.settings;
    if !settings.test_mode && api.gate.tokens.take_check_request() {
        return Ok(Batch { ping: true, backlog: Some(true), ..Batch::default() });
    }
    let any = NextCall::Claim { skip_bookings: Vec::new(), skip_kind: None };
    let steps = if settings.test_mode { vec![any] } else { api.gate.breaker.next_calls(ctx.now()) };
    let mut batch = Batch { backlog: Some(true), ..Batch::default() };
    for step in steps {
        let left = calls.saturating_sub(u32::try_from(batch.jobs.len()).unwrap_or(u32::MAX));
        if left == 0 || (api.is_open() && !batch.jobs.is_empty()) {
            return Ok(batch);
        }
        let NextCall::Claim { skip_bookings, skip_kind } = step else {
            return Ok(Batch { ping: true, backlog: Some(true), ..batch });
        };
        let is_narrowed = !skip_bookings.is_empty() || skip_kind.is_some();
        let skip = Skip { bookings: passed_over.iter().cloned().chain(skip_bookings).collect(), kind: skip_kind };
        let next_fence = || claims.next_fence();
        let Claimed { jobs, locked, drained } =
            claim::claim_and_plan(bookings, settings, Utc::now(), left, skip, &mut outcomes.retries, next_fence)?;
        passed_over.extend(locked.iter().cloned().chain(outcomes.retries.waiting()));
        batch.locked.extend(locked);
        batch.jobs.extend(jobs);
        batch.backlog = Some(!drained || is_narrowed);
    }
    if api.is_open() && batch.jobs.is_empty() {
        api.gate.breaker.mark_exhausted();
    }
    Ok(batch)
}
