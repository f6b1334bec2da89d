//! Alerts about the send gate as a whole: outages, refused or missing credentials, the day's last token.
//! Looked at in every turn of the loop, so that nothing depends on which event changed it. Part of the worker, main thread.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::Worker;
use crate::domain::alert::{AlertKind, NO_CREATES, UNREACHABLE};
use crate::domain::breaker::BreakerState;
use crate::domain::error::ErrorClass;
use crate::pg::alerts::{self, Raised};
use crate::pg::session::Result;

/// What of the send gate's state is announced: changed only once the alert is committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Standing {
    /// Since when Guestly is out of reach.
    outage: Option<DateTime<Utc>>,
    /// That outage is one of creates alone: it ends when a create succeeds.
    creates: bool,
    /// Why no token can be had.
    token: Option<String>,
}

impl Worker {
    /// Raises what is new. An alert that cannot be written is raised again.
    pub(super) fn announce(&mut self) {
        if self.fits != Some(true) || !self.rescued || self.not_before.is_some_and(|then| then > Instant::now()) {
            return;
        }
        let wall = Utc::now();
        let mut standing = self.desk.standing.clone();
        let token = self.token_alert(&mut standing, wall);
        let state = self.send_gate.breaker.state();
        // One booking's own fault is no outage.
        let refuses_creates = self.send_gate.breaker.refuses_creates(self.now());
        let began = (self.send_gate.breaker.is_confirmed() || refuses_creates) && standing.outage.is_none();
        // What is on its way may bring the answer that decides.
        let quiet = self.in_flight() == 0 && self.unrecorded.is_empty();
        let creates_fail = refuses_creates || standing.creates && self.send_gate.breaker.awaits_create();
        let may_end = state != BreakerState::Open && !creates_fail && quiet && standing.outage.is_some();
        if token.is_none() && !began && !may_end {
            self.desk.standing = standing;
            return;
        }
        let written = self.in_transaction(|worker| {
            let mut raised: Vec<Raised> = token.into_iter().collect();
            if began {
                standing.creates = !worker.send_gate.breaker.is_confirmed();
                raised.push(worker.outage_alert(standing.creates, wall)?);
                standing.outage = Some(wall);
            } else if let Some(since) = standing.outage.filter(|_| may_end)
                && let Some(failed) = alerts::caught_up(since)?
            {
                raised.push(recovery_alert(since, failed));
                standing.outage = None;
            }
            alerts::raise(&raised)?;
            Ok(standing)
        });
        if let Some(standing) = written {
            self.desk.standing = standing;
        }
    }

    fn outage_alert(&self, creates: bool, wall: DateTime<Utc>) -> Result<Raised> {
        let last = self.last_error.as_deref().unwrap_or("no answer came");
        let lead = if creates { NO_CREATES } else { UNREACHABLE };
        let alert = Raised::new(AlertKind::Outage, format!("{lead}: {last}"));
        let class = Some(ErrorClass::Unavailable);
        Ok(Raised { class, since: Some(wall), waiting: Some(alerts::waiting()?), ..alert })
    }

    /// One alert for each reason, until the credentials have worked again.
    fn token_alert(&self, standing: &mut Standing, wall: DateTime<Utc>) -> Option<Raised> {
        if self.settings.test_mode || self.send_gate.tokens.works(wall) {
            standing.token = None;
            return None;
        }
        let trouble = self.send_gate.tokens.reason_not_usable(wall)?;
        if standing.token.as_ref() == Some(&trouble.sentence) {
            return None;
        }
        standing.token = Some(trouble.sentence.clone());
        let capped = trouble.class == ErrorClass::Throttled;
        let kind = if capped { AlertKind::TokenCap } else { AlertKind::Credentials };
        let until = trouble.until.format("%Y-%m-%d %H:%M UTC");
        let alert = Raised::new(kind, format!("{}; asked again at {until}", trouble.sentence));
        Some(Raised { class: Some(trouble.class), since: Some(trouble.since), ..alert })
    }

    /// An outage that a former worker announced ends in this one.
    pub(super) fn recall_outage(&mut self) -> Result<()> {
        self.desk.standing.outage = alerts::announced_outage()?;
        Ok(())
    }
}

fn recovery_alert(since: DateTime<Utc>, failed: i64) -> Raised {
    let sentence = format!("Guestly answers again (outage since {})", since.format("%Y-%m-%d %H:%M UTC"));
    Raised { since: Some(since), waiting: Some(failed), ..Raised::new(AlertKind::Recovered, sentence) }
}
