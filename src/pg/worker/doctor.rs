//! `guestly_doctor(online => true)`: a session asks through shared memory, the worker tries the credentials with a harmless
//! look-up and writes the answer to `guestly.worker`. Part of the worker, main thread.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::{Tag, Worker};
use crate::domain::outcome::Outcome;
use crate::domain::request::Request;
use crate::domain::retry::DOCTOR_ANSWER_FRESH_FOR;
use crate::domain::send_gate::Permit;
use crate::domain::update_request::look_up;
use crate::pg::{memory, sys, wake};

/// A code that no booking has: the answer is an empty list.
pub(super) const NOBODY: &str = "GS-DOCTOR";

/// Questions, and the last answer that came from Guestly.
pub(super) struct Desk {
    /// The last question that was taken up.
    taken: u32,
    /// The one that waits for its answer.
    waiting: Option<u32>,
    last: Option<Look>,
}

/// What came of the last look-up.
struct Look {
    at: Instant,
    /// The credentials and addresses.
    mark: Option<String>,
    status: &'static str,
    words: String,
}

impl Desk {
    /// Questions up to `asked` were for another worker.
    pub(super) fn new(asked: u32) -> Self {
        Self { taken: asked, waiting: None, last: None }
    }

    /// Its look-up never left.
    pub(super) fn ask_again(&mut self, question: u32) {
        self.waiting = Some(question);
    }

    /// The next question is answered by Guestly: settings changed.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// What Guestly answered a moment ago for these credentials, and how old that is.
    fn fresh(&self, mark: Option<&str>) -> Option<(&'static str, String)> {
        let look = self
            .last
            .as_ref()
            .filter(|look| look.at.elapsed() < DOCTOR_ANSWER_FRESH_FOR && look.mark.as_deref() == mark)?;
        Some((look.status, format!("{} (from memory, {} s old)", look.words, look.at.elapsed().as_secs())))
    }
}

impl Worker {
    /// Takes up a new question, or goes on with one that waits for a token.
    pub(super) fn answer_the_doctor(&mut self) {
        let asked = wake::slot(sys::my_database()).asked;
        if asked != self.doctor.taken {
            (self.doctor.taken, self.doctor.waiting) = (asked, Some(asked));
            if let Some(why) = self.why_silent() {
                return self.reply(asked, "fail", &why);
            }
            self.in_transaction(|worker| {
                worker.look_for_credentials();
                Ok(())
            });
        }
        let Some(question) = self.doctor.waiting else { return };
        let (now, wall) = (self.now(), Utc::now());
        match self.send_gate.permit_calls(now, wall, self.in_flight(), self.settings.concurrency) {
            Permit::Send(_) => match self.doctor.fresh(self.mark().as_deref()) {
                Some((status, words)) => self.reply(question, status, &words),
                None => self.look_for_nobody(question),
            },
            Permit::FetchToken => {
                self.in_transaction(|worker| worker.intend_token(wall));
                self.send_token_request();
                if self.credentials.is_none() {
                    self.answer(question, None);
                }
            }
            // A token is on its way, and comes with a wake-up.
            Permit::Wait(None) => {}
            Permit::Wait(Some(_)) => self.answer(question, None),
        }
    }

    fn look_for_nobody(&mut self, question: u32) {
        let (Some(client), Some(token), Some(pool)) = (self.client(), &self.send_gate.tokens.token, &self.pool) else {
            return self.answer(question, None);
        };
        let request = Request::Call { token: token.value.clone(), request: look_up(NOBODY) };
        self.doctor.waiting = None;
        self.send_gate.limiter.take(1, self.began.elapsed());
        pool.submit(
            client,
            Tag::Doctor { question: Some(question), generation: self.send_gate.tokens.generation },
            request,
        );
    }

    /// Writes the answer; without an outcome it says why nothing could be tried.
    pub(super) fn answer(&mut self, question: u32, outcome: Option<&Outcome>) {
        let (status, words) = match outcome {
            Some(Outcome::Found(_)) => ("ok", "Guestly accepted the credentials and answered a look-up".to_owned()),
            Some(Outcome::TokenRejected { sentence, .. } | Outcome::Refused { sentence, .. }) => {
                ("fail", sentence.clone())
            }
            Some(Outcome::Throttled { sentence, .. }) => ("warn", sentence.clone()),
            Some(
                Outcome::NotSent { sentence }
                | Outcome::Unsendable { sentence }
                | Outcome::Unavailable { sentence, .. }
                | Outcome::Unknown { sentence },
            ) => ("fail", sentence.clone()),
            Some(_) => ("fail", "an answer of another kind of call".to_owned()),
            None => self.why_not(),
        };
        if outcome.is_some() {
            let (at, mark) = (Instant::now(), self.mark());
            self.doctor.last = Some(Look { at, mark, status, words: words.clone() });
        }
        self.reply(question, status, &words);
    }

    fn reply(&mut self, question: u32, status: &str, words: &str) {
        self.doctor.waiting = None;
        self.in_transaction(|_| memory::answer_doctor(status, words));
        wake::answered(question);
    }

    fn why_not(&mut self) -> (&'static str, String) {
        let (now, wall) = (self.now(), Utc::now());
        let at = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S UTC");
        if let Some(trouble) = self.send_gate.tokens.reason_not_usable(wall) {
            return ("fail", format!("{}; not tried again before {}", trouble.sentence, at(trouble.until)));
        }
        if self.send_gate.breaker.is_outage() {
            return ("fail", "Guestly is out of reach; the next probe is near".to_owned());
        }
        if let Some(held) = self.send_gate.limiter.paused_until().filter(|until| *until > now) {
            return ("warn", format!("Guestly asked us to wait until {}", at(wall + (held - now))));
        }
        // In the middle of a backlog that is as it should be.
        if self.send_gate.limiter.next_permit(now).is_some() {
            return ("warn", "the quota allows no call now; a backlog uses it up".to_owned());
        }
        ("fail", self.last_error.clone().unwrap_or_else(|| "no access token could be fetched".to_owned()))
    }
}
