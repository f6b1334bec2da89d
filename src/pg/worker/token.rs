//! The token between this worker and the tables: what a predecessor kept is read before any token is asked for, and what a
//! token request brought is written until that commits. Part of the worker, main thread.

use chrono::{DateTime, Utc};
use pgrx::PgSqlErrorCode;

use super::Worker;
use crate::domain::operation::Operation;
use crate::domain::outcome::Outcome;
use crate::domain::token::Token;
use crate::pg::job::{Trace, attempt_for_nobody};
use crate::pg::memory;
use crate::pg::queue::{self, Attempt};
use crate::pg::session::{Result, SqlError};

/// The outcome of a token request.
pub(super) struct Fetched {
    /// The token, and the credentials it belongs to.
    token: Option<(Token, String)>,
    /// When it was requested, if the request does not count against the five of a day.
    unsent: Option<DateTime<Utc>>,
    attempt: Attempt,
}

impl Worker {
    /// Retries what a locked or broken table prevented.
    pub(super) fn recall_and_keep_token(&mut self) {
        if self.fits != Some(true) {
            return;
        }
        if !self.recalled && self.credentials.is_some() {
            self.in_transaction(|worker| {
                worker.look_for_credentials();
                Ok(())
            });
        }
        self.keep_token();
    }

    /// Reads what the predecessor kept, once for each set of credentials. A table that cannot be read raises, and is read
    /// again in the next turn.
    pub(super) fn recall_once(&mut self) -> Result<()> {
        let Some(mark) = self.mark().filter(|_| !self.recalled) else { return Ok(()) };
        let now = self.now();
        memory::recall(&mut self.send_gate, Some(&mark), now)?;
        self.recalled = true;
        self.more = true;
        Ok(())
    }

    /// The kept token may have been read only now: whether another one is needed has to be decided again.
    pub(super) fn only_if_recalled(knew: bool) -> Result<()> {
        let late = "the saved access token was read late";
        if knew { Ok(()) } else { Err(SqlError::new(PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE, late)) }
    }

    pub(super) fn token_came_back(&mut self, outcome: &Outcome, requested: DateTime<Utc>, mark: &str, trace: Trace) {
        // A token for credentials that are no longer in force is of no use.
        let current = matches!(outcome, Outcome::Token { .. }) && self.mark().as_deref() == Some(mark);
        let token = self.send_gate.tokens.token.clone().filter(|_| current);
        // Neither counts against the five of a day.
        let unsent =
            matches!(outcome, Outcome::NotSent { .. } | Outcome::Unsendable { .. } | Outcome::Unavailable { .. });
        let attempt = attempt_for_nobody(Operation::Token, outcome, trace);
        if let Some(problem) = &attempt.problem {
            self.last_error = Some(problem.sentence.clone());
            self.news.error = Some(format!("access token: {problem}"));
            self.report(
                &format!("no access token: {}", problem.sentence),
                "The bookings wait. See SELECT * FROM guestly_doctor().",
            );
        }
        let token = token.map(|token| (token, mark.to_owned()));
        self.fetched.push(Fetched { token, unsent: unsent.then_some(requested), attempt });
        self.keep_token();
    }

    /// Writes what token requests came to. Until that is committed it stays in memory and is tried again.
    pub(super) fn keep_token(&mut self) {
        if self.fetched.is_empty() {
            return;
        }
        let fetched = std::mem::take(&mut self.fetched);
        let (now, wall) = (self.now(), Utc::now());
        let kept = self.in_transaction(|worker| {
            for each in &fetched {
                worker.write_fetched(each)?;
            }
            // Refused keys stop every call: no outcome of a booking would write it down.
            let in_force = worker.mark();
            memory::remember(&mut worker.send_gate, &worker.news, in_force.as_deref(), now, wall)
        });
        match kept {
            Some(()) => self.news = memory::News::default(),
            None => self.fetched = fetched,
        }
    }

    fn write_fetched(&self, fetched: &Fetched) -> Result<()> {
        // Another one may have followed, or Guestly may have rejected it meanwhile.
        let serves = |token: &(Token, String)| self.send_gate.tokens.token.as_ref() == Some(&token.0);
        if let Some((token, mark)) = fetched.token.as_ref().filter(|token| serves(token)) {
            memory::save_token(token, mark)?;
        }
        if let Some(requested) = fetched.unsent {
            memory::token_unsent(requested)?;
        }
        queue::log(std::slice::from_ref(&fetched.attempt))
    }
}
