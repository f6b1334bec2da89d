//! Alerts about the connection to Guestly: outages, refused or missing credentials, the cap on tokens. Checked in every cycle,
//! whatever event changed the state. Part of the worker, main thread.

use chrono::{DateTime, Utc};

use super::api::Api;
use super::context::Ctx;
use super::outcomes::Outcomes;
use crate::domain::alert::{AlertKind, NO_CREATES, UNREACHABLE};
use crate::domain::breaker::BreakerState;
use crate::domain::error::ErrorClass;
use crate::pg::db::session::Result;
use crate::pg::store::{self, alerts::Raised};

/// The alerts that were raised; changed only after their commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Health {
    /// Start of the announced outage.
    outage: Option<DateTime<Utc>>,
    /// The outage affects only creates: it ends when a create succeeds.
    creates_only: bool,
    /// The announced reason why there is no token.
    token: Option<String>,
}

/// The changes since the last check.
struct Changes {
    began: bool,
    may_have_ended: bool,
    token: Option<Raised>,
}

impl Health {
    /// Loads the outage that the predecessor announced, so that this worker announces its end.
    pub(super) fn load(&mut self) -> Result<()> {
        self.outage = store::alerts::open_outage()?;
        Ok(())
    }

    /// Raises new alerts. An alert that cannot be written is raised again in the next cycle.
    pub(super) fn tick(&mut self, ctx: &mut Ctx, api: &Api, outcomes: &Outcomes) {
        if !ctx.is_usable() || ctx.is_backing_off() {
            return;
        }
        let wall = Utc::now();
        let mut raised = self.clone();
        let changes = raised.check(ctx, api, outcomes, wall);
        if changes.token.is_none() && !changes.began && !changes.may_have_ended {
            *self = raised;
            return;
        }
        let written = ctx.transaction(|_| {
            raised.raise(changes, api, outcomes, wall)?;
            Ok(raised)
        });
        if let Some(raised) = written {
            *self = raised;
        }
    }

    fn check(&mut self, ctx: &Ctx, api: &Api, outcomes: &Outcomes, wall: DateTime<Utc>) -> Changes {
        let token = self.token_alert(ctx, api, wall);
        let breaker = &api.gate.breaker;
        // Failures of one booking are no outage.
        let refuses_creates = breaker.refuses_creates(ctx.now());
        let began = (breaker.is_confirmed() || refuses_creates) && self.outage.is_none();
        // The outcome of a call in flight may still change the result.
        let is_quiet = api.in_flight() == 0 && outcomes.pending.is_empty();
        let creates_fail = refuses_creates || self.creates_only && breaker.awaits_create();
        let answers = breaker.state() != BreakerState::Open && !creates_fail;
        Changes { began, may_have_ended: answers && is_quiet && self.outage.is_some(), token }
    }

    /// Writes the alerts, in the caller's transaction.
    fn raise(&mut self, changes: Changes, api: &Api, outcomes: &Outcomes, wall: DateTime<Utc>) -> Result<()> {
        let mut raised: Vec<Raised> = changes.token.into_iter().collect();
        if changes.began {
            self.creates_only = !api.gate.breaker.is_confirmed();
            raised.push(outage_alert(self.creates_only, outcomes.last_error.as_deref(), wall)?);
            self.outage = Some(wall);
        } else if let Some(since) = self.outage.filter(|_| changes.may_have_ended)
            && let Some(failed) = store::alerts::outage_over(since)?
        {
            raised.push(recovery_alert(since, failed));
            self.outage = None;
        }
        store::alerts::raise(&raised)
    }

    /// The alert about the token: once for each reason, until the credentials work again.
    fn token_alert(&mut self, ctx: &Ctx, api: &Api, wall: DateTime<Utc>) -> Option<Raised> {
        if ctx.settings.test_mode || api.gate.tokens.works(wall) {
            self.token = None;
            return None;
        }
        let blocked = api.gate.tokens.reason_not_usable(wall)?;
        if self.token.as_ref() == Some(&blocked.sentence) {
            return None;
        }
        self.token = Some(blocked.sentence.clone());
        let is_capped = blocked.class == ErrorClass::Throttled;
        let kind = if is_capped { AlertKind::TokenCap } else { AlertKind::Credentials };
        let until = blocked.until.format("%Y-%m-%d %H:%M UTC");
        let alert = Raised::new(kind, format!("{}; next request at {until}", blocked.sentence));
        Some(Raised { class: Some(blocked.class), since: Some(blocked.since), ..alert })
    }
}

fn outage_alert(creates_only: bool, last_error: Option<&str>, wall: DateTime<Utc>) -> Result<Raised> {
    let lead = if creates_only { NO_CREATES } else { UNREACHABLE };
    let alert = Raised::new(AlertKind::Outage, format!("{lead}: {}", last_error.unwrap_or("no answer came")));
    let class = Some(ErrorClass::Unavailable);
    Ok(Raised { class, since: Some(wall), waiting: Some(store::queue::count_waiting()?), ..alert })
}

fn recovery_alert(since: DateTime<Utc>, failed: i64) -> Raised {
    let sentence = format!("Guestly answers again (outage since {})", since.format("%Y-%m-%d %H:%M UTC"));
    Raised { since: Some(since), waiting: Some(failed), ..Raised::new(AlertKind::Recovered, sentence) }
}
