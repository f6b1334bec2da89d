//! The worker's pace: whether something is due, how much may go now, and how long to sleep. Part of the worker, main thread;
//! runs no statement.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::Worker;
use crate::domain::breaker::BreakerState;
use crate::domain::retry::{COMMIT_BATCH_DELAY, LOCKED_ROW_PAUSE};
use crate::domain::send_gate::Permit;
use crate::pg::job::Job;
use crate::pg::record::Change;

/// Outcomes that may wait in memory before no more are claimed.
const UNRECORDED_MAX: usize = 200;
/// Bookings that test mode works off in one transaction.
const TEST_BATCH: u32 = 100;

/// How long replies are gathered, so that they share a commit: a part of what the last one took.
pub(super) fn gathering(transaction: Duration) -> Duration {
    (transaction / 4).min(COMMIT_BATCH_DELAY)
}

impl Worker {
    /// Bookings that are not claimed now: their call has not ended, or somebody held them a moment ago.
    pub(super) fn passed_over(&mut self, wall: DateTime<Utc>) -> Vec<String> {
        self.busy.retain(|_, until| *until > wall && *until <= wall + LOCKED_ROW_PAUSE);
        self.calling.iter().chain(self.busy.keys()).cloned().chain(self.patience.resting()).collect()
    }

    /// Somebody holds these bookings.
    pub(super) fn pass_over(&mut self, busy: &[String], wall: DateTime<Utc>) {
        self.busy.extend(busy.iter().map(|id| (id.clone(), wall + LOCKED_ROW_PAUSE)));
    }

    /// What was claimed and has not left comes back: nothing may be sent any more.
    pub(super) fn recall(&mut self) {
        let prefetched = std::mem::take(&mut self.prefetched);
        self.take_unsent(prefetched);
        if let Some(pool) = &self.pool {
            pool.recall();
        }
        self.take_back();
    }

    /// Claims whose calls never left.
    pub(super) fn take_unsent(&mut self, jobs: impl IntoIterator<Item = Job>) {
        for job in jobs {
            self.unrecorded.push(job.unsent());
            self.more = true;
        }
    }

    /// Outcomes wait to be written, and not for a trigger of the host's.
    pub(super) fn has_outcomes(&self) -> bool {
        self.unrecorded.iter().any(|change| !self.patience.is_resting(&change.booking_id))
    }

    /// Those outcomes; the others stay.
    pub(super) fn take_outcomes(&mut self) -> Vec<Change> {
        let patience = &self.patience;
        self.unrecorded.extract_if(.., |change| !patience.is_resting(&change.booking_id)).collect()
    }

    /// Their bookings are not claimed before they are written.
    pub(super) fn keep_calling(&mut self, changes: &[Change]) {
        self.calling.extend(changes.iter().map(|change| change.booking_id.clone()));
    }

    pub(super) fn is_something_due(&self) -> bool {
        self.settings.enabled && (self.more || self.next_due.is_some_and(|due| due <= Utc::now()))
    }

    /// What may be sent now.
    pub(super) fn go(&mut self, now: Duration, wall: DateTime<Utc>) -> Permit {
        if !self.settings.enabled {
            return Permit::Wait(None);
        }
        let in_flight = self.in_flight();
        self.send_gate.permit_calls(now, wall, in_flight, self.settings.concurrency)
    }

    /// What may be claimed now; test mode needs no send gate.
    pub(super) fn may_claim(&mut self, now: Duration, wall: DateTime<Utc>) -> Permit {
        if !self.settings.enabled || self.unrecorded.len() > UNRECORDED_MAX {
            return Permit::Wait(None);
        }
        if self.settings.test_mode {
            return Permit::Send(TEST_BATCH);
        }
        let (in_flight, waiting) = (self.in_flight(), u32::try_from(self.prefetched.len()).unwrap_or(u32::MAX));
        self.send_gate.permit_claims(now, wall, in_flight, waiting, self.settings.concurrency)
    }

    /// The breaker is open: it decides whose call is the next.
    pub(super) fn is_open(&self) -> bool {
        self.send_gate.breaker.state() == BreakerState::Open
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.pool.as_ref().map_or(0, |pool| u32::try_from(pool.in_flight()).unwrap_or(u32::MAX))
    }

    /// How long to sleep; none until something happens.
    pub(super) fn pause(&mut self) -> Option<Duration> {
        let (now, wall, instant) = (self.now(), Utc::now(), Instant::now());
        let mut pauses = vec![self.next_probe.saturating_duration_since(instant)];
        pauses.extend(self.desk.pause(instant));
        pauses.extend(self.patience.next().map(|then| then.saturating_duration_since(instant)));
        if let Some(then) = self.not_before {
            pauses.push(then.saturating_duration_since(instant));
        } else if self.has_outcomes() {
            // What test mode made up, and what was given back, came after the transaction.
            pauses.push(Duration::ZERO);
        } else if self.is_something_due() {
            match self.may_claim(now, wall) {
                Permit::Wait(Some(time)) => pauses.push(time),
                Permit::Wait(None) => {}
                Permit::Send(_) | Permit::FetchToken => pauses.push(Duration::ZERO),
            }
        } else if let (true, Some(due)) = (self.settings.enabled, self.next_due) {
            pauses.push((due - wall).to_std().unwrap_or_default());
        }
        pauses.into_iter().min()
    }

    /// Time since the worker began.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }
}
