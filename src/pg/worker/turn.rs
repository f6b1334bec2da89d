//! One turn of the worker: a short transaction in which what has come in is recorded and what is due is claimed, then the calls
//! leave. Part of the worker, main thread; waits for nothing.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::{Worker, pace};
use crate::domain::lane::Go;
use crate::pg::bookings::Bookings;
use crate::pg::claim::{self, Claimed};
use crate::pg::memory::{self, News};
use crate::pg::record::{Change, record_all};
use crate::pg::session::{self, Result};
use crate::pg::{queue, sys};

/// How soon an outcome that could not be written is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

impl Worker {
    /// One short transaction: what has come in is recorded, what is due is claimed. Then the calls leave.
    pub(super) fn turn(&mut self) {
        self.look_around();
        if self.not_before.is_some_and(|then| then > Instant::now()) {
            return;
        }
        self.not_before = None;
        self.recall_and_keep_token();
        self.answer_the_doctor();
        self.send_prefetched();
        self.more |= self.patience.is_over();
        if !self.rescue() || (!self.has_outcomes() && !self.is_something_due()) {
            return;
        }
        let (now, wall) = (self.now(), Utc::now());
        let go = self.may_claim(now, wall);
        if !self.has_outcomes() && matches!(go, Go::Wait(_)) {
            return;
        }
        let changes = self.take_outcomes();
        let (kept, began) = (changes.clone(), Instant::now());
        let worked =
            session::transaction(c"guestly_sync: recording and claiming", || self.work(go, changes, now, wall));
        self.gathering = pace::gathering(began.elapsed());
        match worked {
            Ok((claimed, postponed)) => {
                let stuck = kept.is_empty() && claimed.jobs.is_empty() && self.token_intent.is_none();
                let may_go = !matches!(go, Go::Wait(_)) && self.is_something_due();
                // Locked by somebody else: a claim in a tight loop would find the same.
                let busy = postponed.iter().any(|change| !self.patience.is_resting(&change.booking_id));
                if busy || (stuck && may_go && claimed.busy.is_empty()) {
                    self.not_before = Some(Instant::now() + TRY_AGAIN);
                }
                // What was recalled meanwhile stands there already.
                self.unrecorded.extend(postponed);
                self.send_token_request();
                self.send(claimed.jobs);
                let quiet = !self.more && self.in_flight() == 0;
                sys::report_statistics(quiet);
            }
            Err(error) => {
                self.keep_calling(&kept);
                self.unrecorded.extend(kept);
                self.token_intent = None;
                self.more = true;
                self.trouble(&error);
            }
        }
    }

    fn work(
        &mut self,
        go: Go,
        changes: Vec<Change>,
        now: Duration,
        wall: DateTime<Utc>,
    ) -> Result<(Claimed, Vec<Change>)> {
        let bookings = Bookings::load()?;
        self.bookings.clone_from(&bookings);
        let any = !changes.is_empty();
        for change in &changes {
            self.calling.remove(&change.booking_id);
        }
        let postponed = record_all(bookings.as_ref(), changes, &mut self.patience);
        self.keep_calling(&postponed);
        let claimed = match (&bookings, self.may_send()?) {
            (Some(bookings), true) => self.claim(bookings, go, any, wall)?,
            _ => {
                self.recall();
                (self.more, self.next_due) = (false, None);
                Claimed::default()
            }
        };
        // A claim alone changes nothing of what is remembered: what was written last, and the time since, say the same.
        if any || (!claimed.jobs.is_empty() && self.news != News::default()) {
            let mark = self.mark();
            memory::remember(&mut self.lane, &self.news, mark.as_deref(), now, wall)?;
            self.news = News::default();
        }
        Ok((claimed, postponed))
    }

    /// What is due and may go, or a request for a token. `recorded`: outcomes were written in the same transaction.
    fn claim(&mut self, bookings: &Bookings, go: Go, recorded: bool, wall: DateTime<Utc>) -> Result<Claimed> {
        self.absorb(bookings);
        let passed_over = self.passed_over(wall);
        let mut claimed = Claimed::default();
        match go {
            Go::Send(calls) => {
                let claims = &mut self.claims;
                let fence = || {
                    *claims += 1;
                    *claims
                };
                let patience = &mut self.patience;
                claimed = claim::claim(bookings, &self.settings, wall, calls, passed_over, patience, fence)?;
                self.more = !claimed.drained;
            }
            // The token's answer sets it again.
            Go::FetchToken => {
                if !queue::due(wall, 1, passed_over)?.is_empty() {
                    self.intend_token(wall)?;
                }
                self.more = false;
            }
            Go::Wait(_) => {}
        }
        self.still_may_send(&claimed)?;
        self.pass_over(&claimed.busy, wall);
        if !self.settings.test_mode && !claimed.jobs.is_empty() && self.lane.should_renew(wall) {
            self.intend_token(wall)?;
        }
        // The outcomes of these calls will ask, and what was known before stands until then.
        let later = !recorded && !claimed.jobs.is_empty() && self.next_due.is_none_or(|due| due > wall);
        if !self.more && !later {
            self.next_due = queue::next_due()?.into_iter().chain(self.busy.values().copied()).min();
        }
        Ok(claimed)
    }
}
