//! The claims of this worker: fencing tokens, prefetched calls, and the bookings that the next claim skips. Part of the
//! worker, main thread; runs no statement.

use std::collections::{HashMap, HashSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::outcomes::Outcomes;
use crate::domain::retry::LOCKED_ROW_PAUSE;
use crate::pg::job::Job;
use crate::pg::record_outcomes::OutcomeRows;

/// The claims of this worker.
pub(super) struct Claims {
    last_fence: i64,
    /// Bookings whose call has not ended, or whose outcome is not written.
    in_progress: HashSet<String>,
    /// Claimed, and waiting for a place among the calls in flight.
    pub(super) prefetched: VecDeque<Job>,
    /// Bookings that another session has locked, and the time until which they are skipped.
    locked_until: HashMap<String, DateTime<Utc>>,
}

impl Claims {
    pub(super) fn new() -> Self {
        Self {
            // Larger than every fencing token of an earlier worker.
            last_fence: Utc::now().timestamp_micros(),
            in_progress: HashSet::new(),
            prefetched: VecDeque::new(),
            locked_until: HashMap::new(),
        }
    }

    /// A fencing token that no other claim has.
    pub(super) fn next_fence(&mut self) -> i64 {
        self.last_fence += 1;
        self.last_fence
    }

    /// Marks the bookings of these jobs as in progress, before their calls are sent.
    pub(super) fn begin(&mut self, jobs: &[Job]) {
        self.in_progress.extend(jobs.iter().map(|job| job.row.booking_id.clone()));
    }

    /// Keeps the bookings of these outcomes in progress until the outcomes are written.
    pub(super) fn keep_in_progress(&mut self, outcomes: &[OutcomeRows]) {
        self.in_progress.extend(outcomes.iter().map(|outcome| outcome.booking_id.clone()));
    }

    /// The outcome of this booking is written.
    pub(super) fn end(&mut self, booking_id: &str) {
        self.in_progress.remove(booking_id);
    }

    /// Bookings whose call has not ended, or whose outcome is not written.
    pub(super) fn in_progress(&self) -> Vec<String> {
        self.in_progress.iter().cloned().collect()
    }

    /// Bookings that are not claimed now: in progress, recently locked, or waiting for a retry of their row.
    pub(super) fn passed_over(&mut self, outcomes: &Outcomes, wall: DateTime<Utc>) -> Vec<String> {
        self.locked_until.retain(|_, until| *until > wall && *until <= wall + LOCKED_ROW_PAUSE);
        let locked = self.locked_until.keys();
        self.in_progress.iter().chain(locked).cloned().chain(outcomes.retries.waiting()).collect()
    }

    /// Skips these bookings for a moment: another session has locked them.
    pub(super) fn pass_over(&mut self, locked: &[String], wall: DateTime<Utc>) {
        self.locked_until.extend(locked.iter().map(|id| (id.clone(), wall + LOCKED_ROW_PAUSE)));
    }

    /// The times at which bookings that were locked may be claimed again.
    pub(super) fn locked_until(&self) -> impl Iterator<Item = DateTime<Utc>> {
        self.locked_until.values().copied()
    }

    /// Applies a change of the system clock by `jump`.
    pub(super) fn shift(&mut self, jump: TimeDelta) {
        // Their queue rows are in the state `sending`, which the statement that shifts the queue leaves alone.
        self.prefetched.iter_mut().filter_map(|job| job.row.uncertain_since.as_mut()).for_each(|since| *since += jump);
    }
}
