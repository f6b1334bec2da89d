//! `guestly_doctor(online => true)`: a session asks through shared memory; the worker tests the credentials with a ping and writes
//! the answer to its state table. Part of the worker, main thread.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::api::Api;
use super::context::Ctx;
use super::outcomes::Outcomes;
use crate::domain::operation::Operation;
use crate::domain::outcome::Outcome;
use crate::domain::retry::DOCTOR_ANSWER_FRESH_FOR;
use crate::domain::send_gate::Permit;
use crate::pg::job::attempt_without_booking;
use crate::pg::{shm, store, sys};

/// The questions of `guestly_doctor()`, and Guestly's last answer.
pub(super) struct Doctor {
    /// The last question that was read.
    taken: u32,
    /// The question that waits for its answer.
    waiting: Option<u32>,
    last: Option<Answer>,
}

/// The outcome of the last ping.
struct Answer {
    at: Instant,
    /// The credentials and addresses.
    fingerprint: Option<String>,
    status: &'static str,
    text: String,
}

impl Doctor {
    /// Questions up to `asked` were for another worker.
    pub(super) fn new(asked: u32) -> Self {
        Self { taken: asked, waiting: None, last: None }
    }

    /// Forgets the last answer: settings changed.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Reads a new question, or continues with one that waits for a token.
    pub(super) fn tick(&mut self, ctx: &mut Ctx, api: &mut Api, outcomes: &Outcomes) {
        if let Some(question) = api.take_returned_question() {
            self.waiting = Some(question);
        }
        let asked = shm::slot(sys::my_database()).asked;
        if asked != self.taken {
            (self.taken, self.waiting) = (asked, Some(asked));
            if let Some(why) = ctx.why_not_sending() {
                return self.reply(ctx, asked, "fail", &why);
            }
            ctx.transaction(|ctx| {
                api.look_for_credentials(ctx);
                Ok(())
            });
        }
        let Some(question) = self.waiting else { return };
        let wall = Utc::now();
        let in_flight = api.in_flight();
        match api.gate.permit_calls(ctx.now(), wall, in_flight, ctx.settings.concurrency) {
            Permit::Send(_) => match self.fresh(api.fingerprint(ctx).as_deref()) {
                Some((status, answer)) => self.reply(ctx, question, status, &answer),
                None if api.ping(ctx, Some(question)) => self.waiting = None,
                None => self.explain(ctx, api, outcomes, question),
            },
            Permit::FetchToken => {
                ctx.transaction(|ctx| api.intend_token(ctx, wall));
                api.send_token_request(ctx);
                if api.credentials.is_none() {
                    self.explain(ctx, api, outcomes, question);
                }
            }
            // A token request is in flight, and its reply wakes the worker.
            Permit::Wait(None) => {}
            Permit::Wait(Some(_)) => self.explain(ctx, api, outcomes, question),
        }
    }

    /// Writes the outcomes of pings: the worker state and, if the doctor asked, the answer.
    pub(super) fn record_replies(&mut self, ctx: &mut Ctx, api: &mut Api, outcomes: &mut Outcomes) {
        for reply in std::mem::take(&mut api.ping_replies) {
            let attempt = attempt_without_booking(Operation::LookUp, &reply.outcome, reply.trace);
            let written = ctx.transaction(|ctx| {
                outcomes.save_state(ctx, api, Utc::now())?;
                store::attempts::add(&[attempt])
            });
            if written.is_some() {
                outcomes.state_saved();
            }
            if let Some(question) = reply.question {
                let (status, answer) = describe(&reply.outcome);
                let fingerprint = api.fingerprint(ctx);
                self.last = Some(Answer { at: Instant::now(), fingerprint, status, text: answer.clone() });
                self.reply(ctx, question, status, &answer);
            }
        }
    }

    /// Guestly's last answer for these credentials, with its age, if it is recent.
    fn fresh(&self, fingerprint: Option<&str>) -> Option<(&'static str, String)> {
        let is_fresh =
            |last: &&Answer| last.at.elapsed() < DOCTOR_ANSWER_FRESH_FOR && last.fingerprint.as_deref() == fingerprint;
        let last = self.last.as_ref().filter(is_fresh)?;
        Some((last.status, format!("{} (from memory, {} s old)", last.text, last.at.elapsed().as_secs())))
    }

    /// Answers with the reason why no call can be made now.
    fn explain(&mut self, ctx: &mut Ctx, api: &mut Api, outcomes: &Outcomes, question: u32) {
        let (status, answer) = why_not_tried(ctx, api, outcomes);
        self.reply(ctx, question, status, &answer);
    }

    fn reply(&mut self, ctx: &mut Ctx, question: u32, status: &str, answer: &str) {
        self.waiting = None;
        ctx.transaction(|_| store::worker_state::save_doctor_answer(status, answer));
        shm::doctor_answered(question);
    }
}

fn describe(outcome: &Outcome) -> (&'static str, String) {
    match outcome {
        Outcome::Found(_) => ("ok", "Guestly accepted the credentials and answered a look-up".to_owned()),
        Outcome::Throttled { sentence, .. } => ("warn", sentence.clone()),
        Outcome::TokenRejected { sentence, .. }
        | Outcome::Refused { sentence, .. }
        | Outcome::NotSent { sentence }
        | Outcome::Unsendable { sentence }
        | Outcome::Unavailable { sentence, .. }
        | Outcome::Unknown { sentence } => ("fail", sentence.clone()),
        _ => ("fail", "an answer of another kind of call".to_owned()),
    }
}

fn why_not_tried(ctx: &Ctx, api: &mut Api, outcomes: &Outcomes) -> (&'static str, String) {
    let (now, wall) = (ctx.now(), Utc::now());
    let at = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S UTC");
    if let Some(blocked) = api.gate.tokens.reason_not_usable(wall) {
        return ("fail", format!("{}; not tried again before {}", blocked.sentence, at(blocked.until)));
    }
    if api.gate.breaker.is_outage() {
        return ("fail", "Guestly cannot be reached; the next probe follows within a minute".to_owned());
    }
    if let Some(until) = api.gate.limiter.paused_until().filter(|until| *until > now) {
        return ("warn", format!("Guestly requested a pause until {}", at(wall + (until - now))));
    }
    // Normal in the middle of a backlog.
    if api.gate.limiter.next_permit(now).is_some() {
        return ("warn", "the rate limit allows no call now; a backlog uses it up".to_owned());
    }
    ("fail", outcomes.last_error.clone().unwrap_or_else(|| "no access token could be fetched".to_owned()))
}
