//! Loads and saves the access token: the saved one is loaded before any token is requested, and the outcome of a request is
//! written until that commits. Part of the worker, main thread.

use chrono::{DateTime, Utc};
use pgrx::PgSqlErrorCode;

use super::api::{Api, TokenReply};
use super::context::Ctx;
use super::outcomes::Outcomes;
use crate::domain::operation::Operation;
use crate::domain::outcome::Outcome;
use crate::domain::token::Token;
use crate::pg::db::session::{Result, SqlError};
use crate::pg::job::{Trace, attempt_without_booking};
use crate::pg::store;

impl Api {
    /// Retries reads and writes of the token that failed.
    pub(super) fn retry_token_state(&mut self, ctx: &mut Ctx, outcomes: &mut Outcomes) {
        if !ctx.is_usable() {
            return;
        }
        if !self.restored && self.credentials.is_some() {
            ctx.transaction(|ctx| {
                self.look_for_credentials(ctx);
                Ok(())
            });
        }
        self.record_token_replies(ctx, outcomes);
    }

    /// Reads the credentials, in the caller's transaction. New ones have their own token and history.
    pub(super) fn look_for_credentials(&mut self, ctx: &mut Ctx) {
        let before = self.fingerprint(ctx);
        self.read_credentials(ctx);
        if before != self.fingerprint(ctx) {
            self.gate.tokens.reset();
            self.restored = false;
        }
        if let Err(error) = self.restore(ctx) {
            ctx.report(&format!("cannot load the saved access token: {error}"), "See SELECT * FROM guestly_doctor().");
        }
    }

    /// Loads the predecessor's state, once for each set of credentials. Errors: a table cannot be read now; the next cycle
    /// retries.
    fn restore(&mut self, ctx: &Ctx) -> Result<()> {
        let Some(fingerprint) = self.fingerprint(ctx).filter(|_| !self.restored) else { return Ok(()) };
        store::worker_state::load(&mut self.gate, Some(&fingerprint), ctx.now())?;
        self.restored = true;
        Ok(())
    }

    /// Records the intent to request a token, in the caller's transaction; [`Api::send_token_request`] sends it after the
    /// commit. Errors: the saved token was loaded only now, so that the decision must be made again.
    pub(super) fn intend_token(&mut self, ctx: &mut Ctx, wall: DateTime<Utc>) -> Result<()> {
        let (restored, before) = (self.restored, self.fingerprint(ctx));
        self.look_for_credentials(ctx);
        if let Some(fingerprint) = self.fingerprint(ctx) {
            if !restored || before.as_ref() != Some(&fingerprint) {
                let late = "the saved access token was loaded late";
                return Err(SqlError::new(PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE, late));
            }
            store::worker_state::add_token_request(wall, &fingerprint)?;
            self.token_intent = Some((wall, fingerprint));
        }
        Ok(())
    }

    /// Completes a token request. `request`: when it was recorded, and the fingerprint of its credentials.
    pub(super) fn complete_token(
        &mut self,
        ctx: &mut Ctx,
        outcomes: &mut Outcomes,
        outcome: &Outcome,
        request: (DateTime<Utc>, String),
        trace: Trace,
    ) {
        let (requested, fingerprint) = request;
        // A token for former credentials is useless.
        let current = matches!(outcome, Outcome::Token { .. }) && self.fingerprint(ctx).as_ref() == Some(&fingerprint);
        let token = self.gate.tokens.token.clone().filter(|_| current);
        // None of these counts against the daily cap.
        let unsent =
            matches!(outcome, Outcome::NotSent { .. } | Outcome::Unsendable { .. } | Outcome::Unavailable { .. });
        let attempt = attempt_without_booking(Operation::Token, outcome, trace);
        if let Some(problem) = &attempt.problem {
            outcomes.record_error("access token", problem);
            ctx.report(
                &format!("no access token: {}", problem.sentence),
                "The bookings wait. See SELECT * FROM guestly_doctor().",
            );
        }
        let token = token.map(|token| (token, fingerprint));
        self.token_replies.push(TokenReply { token, unsent: unsent.then_some(requested), attempt });
        self.record_token_replies(ctx, outcomes);
    }

    /// Writes the outcomes of token requests. Until that is committed they stay in memory and are written again.
    pub(super) fn record_token_replies(&mut self, ctx: &mut Ctx, outcomes: &mut Outcomes) {
        if self.token_replies.is_empty() {
            return;
        }
        let replies = std::mem::take(&mut self.token_replies);
        let written = ctx.transaction(|ctx| {
            for reply in &replies {
                self.write_token_reply(reply)?;
            }
            // Refused keys stop every call, so no outcome of a booking would save the state.
            outcomes.save_state(ctx, self, Utc::now())
        });
        match written {
            Some(()) => outcomes.state_saved(),
            None => self.token_replies = replies,
        }
    }

    fn write_token_reply(&self, reply: &TokenReply) -> Result<()> {
        // Another token may have followed, or Guestly may have rejected this one.
        let is_current = |token: &(Token, String)| self.gate.tokens.token.as_ref() == Some(&token.0);
        if let Some((token, fingerprint)) = reply.token.as_ref().filter(|token| is_current(token)) {
            store::worker_state::save_token(token, fingerprint)?;
        }
        if let Some(requested) = reply.unsent {
            store::worker_state::delete_token_request(requested)?;
        }
        store::attempts::add(std::slice::from_ref(&reply.attempt))
    }
}
