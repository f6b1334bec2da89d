//! Decides when the worker claims and how long it sleeps. Part of the worker, main thread; runs no statement.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::api::Api;
use super::claims::Claims;
use super::context::Ctx;
use super::outcomes::Outcomes;
use crate::domain::retry::COMMIT_BATCH_DELAY;
use crate::domain::send_gate::Permit;

/// Bookings that test mode completes in one transaction.
const TEST_BATCH: u32 = 100;

/// The schedule of the worker.
#[derive(Default)]
pub(super) struct Schedule {
    /// There may be more to claim.
    pub(super) backlog: bool,
    /// When the next queue row is due; `None` if unknown, or if there is none.
    pub(super) next_due: Option<DateTime<Utc>>,
    /// Time for which replies are collected before a commit: a fraction of the last transaction's duration.
    pub(super) linger: Duration,
}

impl Schedule {
    /// Adds the report of a part: true if there may be more to claim.
    pub(super) fn add_backlog(&mut self, backlog: bool) {
        self.backlog |= backlog;
    }

    /// Nothing can be claimed until an event.
    pub(super) fn clear(&mut self) {
        (self.backlog, self.next_due) = (false, None);
    }

    /// The times of all queue rows may have changed.
    pub(super) fn check_again(&mut self) {
        (self.backlog, self.next_due) = (true, None);
    }

    /// Sets the collection time from the duration of the last transaction.
    pub(super) fn set_linger(&mut self, transaction: Duration) {
        self.linger = (transaction / 4).min(COMMIT_BATCH_DELAY);
    }

    pub(super) fn is_something_due(&self, ctx: &Ctx) -> bool {
        ctx.settings.enabled && (self.backlog || self.next_due.is_some_and(|due| due <= Utc::now()))
    }

    /// Time until the next cycle has something to do; `None` until an event.
    pub(super) fn pause(&self, ctx: &Ctx, api: &mut Api, claims: &Claims, outcomes: &Outcomes) -> Option<Duration> {
        let retry = outcomes.retries.next_due().map(|then| then.saturating_duration_since(Instant::now()));
        let work = if let Some(pause) = ctx.pause() {
            Some(pause)
        } else if outcomes.has_writable() {
            // Outcomes of test mode and released calls are added after the transaction.
            Some(Duration::ZERO)
        } else if self.is_something_due(ctx) {
            match may_claim(ctx, api, claims, outcomes, Utc::now()) {
                Permit::Wait(pause) => pause,
                Permit::Send(_) | Permit::FetchToken => Some(Duration::ZERO),
            }
        } else {
            let due = self.next_due.filter(|_| ctx.settings.enabled);
            due.map(|due| (due - Utc::now()).to_std().unwrap_or_default())
        };
        retry.into_iter().chain(work).min()
    }
}

/// The number of calls that may be claimed now; test mode needs no permit.
pub(super) fn may_claim(ctx: &Ctx, api: &mut Api, claims: &Claims, outcomes: &Outcomes, wall: DateTime<Utc>) -> Permit {
    if !ctx.settings.enabled || outcomes.is_full() {
        return Permit::Wait(None);
    }
    if ctx.settings.test_mode {
        return Permit::Send(TEST_BATCH);
    }
    api.permit_to_claim(ctx, wall, claims.prefetched.len())
}
