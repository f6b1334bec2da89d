//! Outcomes of calls until they are committed, and what `guestly.status` will say of them. Part of the worker, main thread;
//! only `save_state` runs statements.

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

/// See the module.
pub(super) struct Outcomes {
    /// Not committed yet.
    pub(super) pending: Vec<OutcomeRows>,
    /// When bookings whose row cannot be read or written are tried again.
    pub(super) retries: WriteRetries,
    /// What changed since the worker's state was saved.
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

    /// Adds claims whose calls never left: their bookings are due again, unchanged.
    pub(super) fn add_unsent(&mut self, jobs: impl IntoIterator<Item = Job>) {
        self.pending.extend(jobs.into_iter().map(Job::unsent));
    }

    /// True if an outcome can be written now: one that waits for the host's row does not count.
    pub(super) fn has_writable(&self) -> bool {
        self.pending.iter().any(|outcome| !self.retries.is_waiting(&outcome.booking_id))
    }

    /// Takes the outcomes that can be written now; the others stay.
    pub(super) fn take_writable(&mut self) -> Vec<OutcomeRows> {
        let retries = &self.retries;
        self.pending.extract_if(.., |outcome| !retries.is_waiting(&outcome.booking_id)).collect()
    }

    /// True while so many outcomes wait that nothing more should be claimed.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() > PENDING_MAX
    }

    /// Registers everything that is not committed to be written if the process must end now: `changes` and what is pending.
    pub(super) fn save_at_exit(&self, unwritten: &[OutcomeRows]) {
        at_exit::set_unrecorded(unwritten.iter().chain(&self.pending));
    }

    /// Remembers an error for the status; `subject` says what it concerns.
    pub(super) fn record_error(&mut self, subject: &str, problem: &Problem) {
        self.last_error = Some(problem.sentence.clone());
        self.update.error = Some(format!("{subject}: {problem}"));
    }

    /// True if the saved state would not be what it was, apart from time that has passed.
    pub(super) fn has_update(&self) -> bool {
        self.update != store::worker_state::StatusUpdate::default()
    }

    /// Saves what a successor needs and `guestly.status` shows, in the caller's transaction. [`Outcomes::state_saved`] must
    /// follow once that is committed.
    pub(super) fn save_state(&self, ctx: &Ctx, api: &mut Api, wall: DateTime<Utc>) -> Result<()> {
        let fingerprint = api.fingerprint(ctx);
        store::worker_state::save(&mut api.gate, &self.update, fingerprint.as_deref(), ctx.now(), wall)
    }

    /// The saved state is committed.
    pub(super) fn state_saved(&mut self) {
        self.update = store::worker_state::StatusUpdate::default();
    }
}
