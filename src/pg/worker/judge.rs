//! What came back from the sender threads: each reply is classified, told to the lane, and becomes rows to be written.
//! Part of the worker, main thread.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::{Tag, Worker};
use crate::domain::lane;
use crate::domain::outcome::{Operation, Outcome, Reply, classify};
use crate::domain::price;
use crate::domain::transition::Moment;
use crate::net::pool::FinishedRequest;
use crate::pg::job::{Trace, attempt_for_nobody};
use crate::pg::record::Change;
use crate::pg::{memory, queue};

impl Worker {
    /// What came back from the sender threads, judged.
    pub(super) fn collect(&mut self) {
        // A further commit costs more than this pause, unless claimed calls wait for the places.
        if let Some(pool) = self.pool.as_ref().filter(|_| self.prefetched.is_empty()) {
            pool.linger(self.gathering);
        }
        self.judge_all();
    }

    /// Where calls are prefetched: each place that becomes free is taken at once, and what comes in during the next moments
    /// shares a commit.
    pub(super) fn send_prefetched(&mut self) {
        let until = Instant::now() + self.gathering;
        self.recheck_prefetched();
        if self.prefetched.is_empty() {
            return;
        }
        // A refusal that came in meanwhile is known first.
        self.judge_all();
        if self.is_open() {
            return self.recall();
        }
        self.send_claimed();
        while !self.prefetched.is_empty() && self.has_outcomes() && Instant::now() < until {
            if let Some(pool) = &self.pool {
                pool.wait_for_reply(until);
            }
            self.judge_all();
            if self.is_open() {
                return self.recall();
            }
            self.send_claimed();
        }
    }

    fn judge_all(&mut self) {
        let finished = self.pool.as_ref().map(|pool| pool.take_finished()).unwrap_or_default();
        finished.into_iter().for_each(|done| self.judge(done));
        self.take_back();
    }

    /// What never left is due again, as it was.
    pub(super) fn take_back(&mut self) {
        let recalled = self.pool.as_ref().map(|pool| pool.take_released()).unwrap_or_default();
        for tag in recalled {
            match tag {
                Tag::Call(job) => self.take_unsent([*job]),
                Tag::Doctor { question, .. } => {
                    if let Some(question) = question {
                        self.doctor.ask_again(question);
                    }
                }
                // A token request is never recalled.
                Tag::Token { .. } => {}
            }
            self.more = true;
        }
    }

    /// Judges one reply; its rows wait in memory until they are committed.
    pub(super) fn judge(&mut self, done: FinishedRequest<Tag>) {
        let wall = Utc::now();
        let now = self.now();
        let operation = match &done.tag {
            Tag::Token { .. } => Operation::Token,
            Tag::Call(job) => job.operation,
            Tag::Doctor { .. } => Operation::LookUp,
        };
        let outcome = classify(operation, &done.reply, wall);
        let trace = self.trace(&done);
        let age = done.started.elapsed();
        let instant = lane::Instant {
            now,
            started: now.saturating_sub(age),
            wall,
            jitter: jitter(),
            token_call: operation == Operation::Token,
            status: trace.http_status,
            booking: if let Tag::Call(job) = &done.tag { Some(job.due.booking_id.clone()) } else { None },
        };
        if let Reply::Answer(answer) = &done.reply {
            let in_flight = self.in_flight();
            self.lane.observe(&answer.quota, in_flight, age, now);
        }
        match done.tag {
            Tag::Token { requested, mark } => {
                self.lane.came_back(operation, self.lane.generation, &outcome, &instant);
                self.token_came_back(&outcome, requested, &mark, trace);
            }
            Tag::Doctor { question, generation } => {
                self.lane.came_back(operation, generation, &outcome, &instant);
                self.doctor_came_back(question, &outcome, trace);
            }
            Tag::Call(job) => {
                let moment = Moment {
                    started: trace.started,
                    now: wall,
                    jitter: jitter(),
                    outage: self.lane.is_outage_for(operation, &outcome, &instant),
                    token_is_new: self.lane.token_was_new(operation, job.generation),
                };
                let next = job.next(&outcome, &self.settings.policy, &moment);
                let had_token = self.lane.token.is_some();
                self.lane.came_back(operation, job.generation, &outcome, &instant);
                if had_token && self.lane.token.is_none() {
                    self.in_transaction(|_| memory::drop_token());
                }
                let mut change = job.change(&outcome, next, trace);
                change.price = self.price_difference(&change);
                self.note(&change);
                self.unrecorded.push(change);
            }
        }
        self.more = true;
    }

    fn trace(&mut self, done: &FinishedRequest<Tag>) -> Trace {
        let answer = if let Reply::Answer(answer) = &done.reply { Some(answer) } else { None };
        if let Some(date) =
            answer.and_then(|answer| answer.date.as_deref()).and_then(|date| DateTime::parse_from_rfc2822(date).ok())
        {
            self.news.clock_skew_ms = Some((date.with_timezone(&Utc) - Utc::now()).num_milliseconds());
        }
        Trace {
            started: done.started_at,
            duration_ms: i32::try_from(done.elapsed.as_millis()).unwrap_or(i32::MAX),
            http_status: answer.map(|answer| answer.status),
            request_id: answer.and_then(|answer| answer.request_id.clone()),
        }
    }

    /// Guestly's total against what was paid, where the call told it.
    fn price_difference(&self, change: &Change) -> Option<String> {
        let held = change.held.as_ref()?;
        price::apart(held.learned.total.as_deref()?, held.paid?, self.settings.money.price_tolerance)
    }

    fn note(&mut self, change: &Change) {
        // Whether it is a success is known once it is recorded.
        if let Some(problem) =
            change.kept.as_ref().and_then(|kept| kept.problem.as_ref()).filter(|_| change.held.is_none())
        {
            self.last_error = Some(problem.sentence.clone());
            self.news.error = Some(format!("booking {}: {problem}", change.booking_id));
        }
    }

    /// An answer that is about no booking: the doctor's, if it asked, and in any case the breaker's.
    fn doctor_came_back(&mut self, question: Option<u32>, outcome: &Outcome, trace: Trace) {
        let attempt = attempt_for_nobody(Operation::LookUp, outcome, trace);
        let (now, wall) = (self.now(), Utc::now());
        let kept = self.in_transaction(|worker| {
            let mark = worker.mark();
            memory::remember(&mut worker.lane, &worker.news, mark.as_deref(), now, wall)?;
            queue::log(&[attempt])
        });
        if kept.is_some() {
            self.news = memory::News::default();
        }
        if let Some(question) = question {
            self.answer(question, Some(outcome));
        }
    }
}

/// In [0, 1): the standard library seeds its hashers from the system's randomness.
pub(super) fn jitter() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1u64 << 53) as f64
}
