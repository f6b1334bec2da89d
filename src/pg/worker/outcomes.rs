//! Outcomes of calls until they are committed, and their part of `guestly.status`. Part of the worker, main thread; only
//! `save_state` runs statements.

use chrono::{DateTime, Utc};

use super::api::Api;
use super::context::Ctx;
use crate::domain::error::Problem;
use crate::domain::retry::Backoff;
use crate::pg::db::session::Result;
use crate::pg::job::Job;
use crate::pg::record_outcomes::{OutcomeRows, WriteRetries, at_exit};
use crate::pg::store;

/// No more bookings are claimed while more outcomes than this wait to be written.
const PENDING_MAX: usize = 200;

/// Outcomes that are not committed yet.
pub(super) struct Outcomes {
    /// Not committed yet.
    pub(super) pending: Vec<OutcomeRows>,
    /// Retries of bookings whose row cannot be read or written.
    pub(super) retries: WriteRetries,
    /// Changes since the worker state was saved.
    pub(super) update: store::worker_state::StatusUpdate,
    /// The last error, for the doctor and for alerts.
    pub(super) last_error: Option<String>,
}

impl Outcomes {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            pending: Vec::new(),
            retries: WriteRetries::new(backoff),
            update: store::worker_state::StatusUpdate::default(),
            last_error: None,
        }
    }

    /// Adds claims whose calls were never sent: their bookings are due again, unchanged.
    pub(super) fn add_unsent(&mut self, jobs: impl IntoIterator<Item = Job>) {
        self.pending.extend(jobs.into_iter().map(Job::unsent));
    }

    /// True if an outcome can be written now, that is, does not wait for a retry.
    pub(super) fn has_writable(&self) -> bool {
        self.pending.iter().any(|outcome| !self.retries.is_waiting(&outcome.booking_id))
    }

    /// Takes the outcomes that can be written now; the others stay.
    pub(super) fn take_writable(&mut self) -> Vec<OutcomeRows> {
        let retries = &self.retries;
        self.pending.extract_if(.., |outcome| !retries.is_waiting(&outcome.booking_id)).collect()
    }

    /// True while too many outcomes wait to claim more.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() > PENDING_MAX
    }

    /// Registers `unwritten` and the pending outcomes to be written if the process must end now.
    pub(super) fn save_at_exit(&self, unwritten: &[OutcomeRows]) {
        at_exit::set_unrecorded(unwritten.iter().chain(&self.pending));
    }

    /// Records an error for the status; `subject` names the booking or the token.
    pub(super) fn record_error(&mut self, subject: &str, problem: &Problem) {
        self.last_error = Some(problem.sentence.clone());
        self.update.error = Some(format!("{subject}: {problem}"));
    }

    /// True if the status has changed since it was saved.
    pub(super) fn has_update(&self) -> bool {
        self.update != store::worker_state::StatusUpdate::default()
    }

    /// Saves the worker state in the caller's transaction. [`Outcomes::state_saved`] must follow after the commit.
    pub(super) fn save_state(&self, ctx: &Ctx, api: &mut Api, wall: DateTime<Utc>) -> Result<()> {
        let fingerprint = api.fingerprint(ctx);
        store::worker_state::save(&mut api.gate, &self.update, fingerprint.as_deref(), ctx.now(), wall)
    }

    /// The saved state is committed.
    pub(super) fn state_saved(&mut self) {
        self.update = store::worker_state::StatusUpdate::default();
    }
}
