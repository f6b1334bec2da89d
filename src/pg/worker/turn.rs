//! One turn of the worker: what has come in is recorded and what is due is claimed, in one short transaction or, where there is
//! both, in two; then the calls leave. Part of the worker, main thread; waits for nothing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::{Worker, pace};
use crate::domain::breaker::NextCall;
use crate::domain::retry::RECORD_PAUSE;
use crate::domain::send_gate::Permit;
use crate::pg::bookings::Bookings;
use crate::pg::claim::{self, Claimed};
use crate::pg::memory::{self, News};
use crate::pg::queue::Skip;
use crate::pg::record::{Access, Change, at_exit, record_all, record_one, take_succeeded};
use crate::pg::session::{self, Result};
use crate::pg::{host_code, queue, sys};

/// The state that one turn begins with.
struct Turn {
    go: Permit,
    now: Duration,
    wall: DateTime<Utc>,
    /// Outcomes are written in it.
    recorded: bool,
    /// The successor's knowledge is written, or has not changed.
    remembered: bool,
}

/// The results of one transaction.
#[derive(Default)]
struct Worked {
    claimed: Option<Claimed>,
    /// Outcomes that must wait.
    postponed: Vec<Change>,
    /// There is something to claim, in a transaction of its own.
    claim_next: bool,
}

impl Worker {
    /// Records the outcomes that have come in, claims what is due; then the calls leave.
    pub(super) fn turn(&mut self) {
        at_exit::hold(&self.unrecorded);
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
        // The calls that are claimed already may not be those that the breaker wants to see tried.
        if self.is_open() && !self.prefetched.is_empty() {
            self.recall();
        }
        let (now, wall) = (self.now(), Utc::now());
        let go = self.may_claim(now, wall);
        if !self.has_outcomes() && matches!(go, Permit::Wait(_)) {
            return;
        }
        let began = Instant::now();
        let careful = host_code::is_careful() || self.patience.is_slow(Access::Write);
        let apart = careful && self.has_outcomes();
        if apart && !self.record_apart() {
            return;
        }
        let changes = if careful { Vec::new() } else { self.take_outcomes() };
        let mut turn =
            Turn { go, now, wall, recorded: apart || !changes.is_empty(), remembered: !apart && changes.is_empty() };
        if self.transact(&turn, changes) {
            // What was recorded is committed before mapping expressions of other bookings run.
            turn.remembered = true;
            self.transact(&turn, Vec::new());
        }
        self.gathering = pace::gathering(began.elapsed());
    }

    /// Code of the host did not end in time a moment ago: each outcome is written in a transaction of its own, those first that
    /// gave no trouble. Once the limit is used up the rest waits for the next turn. False: nothing can be written.
    fn record_apart(&mut self) -> bool {
        let (began, mut changes) = (Instant::now(), VecDeque::from(self.take_outcomes()));
        changes.make_contiguous().sort_by_key(|change| self.patience.tries(Access::Write, &change.booking_id));
        at_exit::hold(changes.iter().chain(&self.unrecorded));
        let mut error = None;
        while began.elapsed() < host_code::SHORT
            && error.is_none()
            && let Some(change) = changes.pop_front()
        {
            let patience = &mut self.patience;
            let written = session::transaction(c"guestly_sync: recording", || {
                let bookings = Bookings::load()?;
                Ok(record_one(bookings.as_ref(), change.clone(), patience))
            });
            match written {
                Ok(None) => {
                    self.calling.remove(&change.booking_id);
                    at_exit::written(&change.booking_id);
                }
                Ok(Some(postponed)) => {
                    if !self.patience.is_resting(&postponed.booking_id) {
                        self.not_before = Some(Instant::now() + RECORD_PAUSE);
                    }
                    self.unrecorded.push(postponed);
                }
                Err(problem) => {
                    self.unrecorded.push(change);
                    error = Some(problem);
                }
            }
        }
        self.unrecorded.extend(changes);
        let waiting = self.unrecorded.clone();
        self.keep_calling(&waiting);
        if let Some(error) = &error {
            self.more = true;
            self.trouble(error);
        }
        error.is_none()
    }

    /// One transaction and what follows from it; true if the claim is to be made in another one.
    fn transact(&mut self, turn: &Turn, changes: Vec<Change>) -> bool {
        let kept = changes.clone();
        at_exit::hold(kept.iter().chain(&self.unrecorded));
        let worked = session::transaction(c"guestly_sync: recording and claiming", || self.work(turn, changes));
        match worked {
            Ok(worked) => {
                let claimed = worked.claimed.unwrap_or_default();
                let ask = std::mem::take(&mut self.ask);
                let stuck = !turn.recorded && claimed.jobs.is_empty() && self.token_intent.is_none() && !ask;
                let may_go = !matches!(turn.go, Permit::Wait(_)) && self.is_something_due();
                // Locked by another session: a claim in a tight loop would find the same.
                let busy = worked.postponed.iter().any(|change| !self.patience.is_resting(&change.booking_id));
                if busy || (stuck && may_go && claimed.busy.is_empty()) {
                    self.not_before = Some(Instant::now() + RECORD_PAUSE);
                }
                // What was recalled meanwhile stands there already.
                self.unrecorded.extend(worked.postponed);
                at_exit::hold(&self.unrecorded);
                self.send_token_request();
                self.send(claimed.jobs);
                if ask {
                    self.ask_for_nobody();
                }
                let quiet = !self.more && self.in_flight() == 0;
                sys::report_statistics(quiet);
                worked.claim_next
            }
            Err(error) => {
                self.keep_calling(&kept);
                self.unrecorded.extend(kept);
                self.token_intent = None;
                self.ask = false;
                self.more = true;
                // Of the host's code, which did not end in time: the next turn is careful.
                if !(error.is_cancel() && host_code::is_careful()) {
                    self.trouble(&error);
                }
                false
            }
        }
    }

    fn work(&mut self, turn: &Turn, changes: Vec<Change>) -> Result<Worked> {
        let bookings = Bookings::load()?;
        self.bookings.clone_from(&bookings);
        let any = !changes.is_empty();
        for change in &changes {
            self.calling.remove(&change.booking_id);
        }
        let mut worked =
            Worked { postponed: record_all(bookings.as_ref(), changes, &mut self.patience)?, ..Worked::default() };
        self.keep_calling(&worked.postponed);
        if take_succeeded() {
            self.news.success = Some(turn.wall);
        }
        match (&bookings, self.may_send()?) {
            (Some(_), true) if any && self.is_something_to_claim(turn)? => {
                worked.claim_next = true;
                // The claim that follows waits for the disk, for both.
                sys::set_locally(c"synchronous_commit", "off");
            }
            (Some(bookings), true) => worked.claimed = Some(self.claim(bookings, turn)?),
            _ => {
                self.recall();
                (self.more, self.next_due) = (false, None);
            }
        }
        // A claim alone changes nothing of what is remembered: what was written last, and the time since, say the same.
        let claimed = worked.claimed.as_ref().is_some_and(|claimed| !claimed.jobs.is_empty());
        if !turn.remembered || (claimed && self.news != News::default()) {
            let mark = self.mark();
            memory::remember(&mut self.send_gate, &self.news, mark.as_deref(), turn.now, turn.wall)?;
            self.news = News::default();
        }
        Ok(worked)
    }

    /// Code of the host may run for other bookings than those of the outcomes.
    fn is_something_to_claim(&mut self, turn: &Turn) -> Result<bool> {
        let skip = Skip { bookings: self.passed_over(turn.wall), kind: None };
        let sends = matches!(turn.go, Permit::Send(_));
        Ok(queue::is_changed()? || (sends && !queue::due(turn.wall, 1, skip)?.is_empty()))
    }

    /// Claims what is due and may go, or a request for a token.
    fn claim(&mut self, bookings: &Bookings, turn: &Turn) -> Result<Claimed> {
        self.absorb(bookings);
        let wall = turn.wall;
        let passed_over = self.passed_over(wall);
        let mut claimed = Claimed::default();
        match turn.go {
            Permit::Send(calls) => {
                claimed = self.claim_in_turn(bookings, calls, passed_over, wall)?;
                self.more = !claimed.drained;
            }
            // The token's answer sets it again.
            Permit::FetchToken => {
                if !queue::due(wall, 1, Skip { bookings: passed_over, kind: None })?.is_empty() {
                    self.intend_token(wall)?;
                }
                self.more = false;
            }
            Permit::Wait(_) => {}
        }
        self.still_may_send(&claimed)?;
        self.pass_over(&claimed.busy, wall);
        if !self.settings.test_mode && !claimed.jobs.is_empty() && self.send_gate.tokens.should_renew(wall) {
            self.intend_token(wall)?;
        }
        // The outcomes of these calls will ask, and what was known before stands until then.
        let later = !turn.recorded && !claimed.jobs.is_empty() && self.next_due.is_none_or(|due| due > wall);
        if !self.more && !later {
            self.next_due = queue::next_due()?.into_iter().chain(self.busy.values().copied()).min();
        }
        Ok(claimed)
    }

    /// Up to `calls` jobs in the order of the breaker's steps; while it is open one call of its choice, or a harmless one.
    fn claim_in_turn(
        &mut self,
        bookings: &Bookings,
        calls: u32,
        mut passed_over: Vec<String>,
        wall: DateTime<Utc>,
    ) -> Result<Claimed> {
        let anyone = NextCall::Claim { skip_bookings: Vec::new(), skip_kind: None };
        let steps = if self.settings.test_mode { vec![anyone] } else { self.send_gate.breaker.next_calls(self.now()) };
        let mut all = Claimed::default();
        if !self.settings.test_mode && self.send_gate.tokens.take_check_request() {
            self.ask = true;
            return Ok(all);
        }
        for step in steps {
            let left = calls.saturating_sub(u32::try_from(all.jobs.len()).unwrap_or(u32::MAX));
            if left == 0 || (self.is_open() && !all.jobs.is_empty()) {
                return Ok(all);
            }
            let NextCall::Claim { skip_bookings, skip_kind } = step else {
                (self.ask, all.drained) = (true, false);
                return Ok(all);
            };
            let narrowed = !skip_bookings.is_empty() || skip_kind.is_some();
            let skip = Skip { bookings: passed_over.iter().cloned().chain(skip_bookings).collect(), kind: skip_kind };
            let claims = &mut self.claims;
            let fence = || {
                *claims += 1;
                *claims
            };
            let patience = &mut self.patience;
            let claimed = claim::claim(bookings, &self.settings, wall, left, skip, patience, fence)?;
            passed_over.extend(claimed.busy.iter().cloned().chain(self.patience.resting()));
            all.busy.extend(claimed.busy);
            all.jobs.extend(claimed.jobs);
            all.drained = claimed.drained && !narrowed;
        }
        if self.is_open() && all.jobs.is_empty() {
            self.send_gate.breaker.mark_exhausted();
        }
        Ok(all)
    }
}
