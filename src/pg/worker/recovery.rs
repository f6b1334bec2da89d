//! The first transaction of a worker: turns the claims of its predecessor into uncertain outcomes. Part of the worker, main
//! thread.

use chrono::Utc;

use super::api::Api;
use super::claims::Claims;
use super::context::Ctx;
use super::health::Health;
use super::outcomes::Outcomes;
use crate::domain::alert::AlertKind;
use crate::domain::error::ErrorClass;
use crate::domain::retry::{later, look_up_at};
use crate::pg::db::session::Result;
use crate::pg::shm;
use crate::pg::store::{self, alerts::Raised};

/// The recovery, which runs once.
pub(super) struct Recovery {
    done: bool,
    /// The hang that ended the predecessor, until it is written.
    hang: Option<shm::Hang>,
}

impl Recovery {
    pub(super) fn new(hang: Option<shm::Hang>) -> Self {
        Self { done: false, hang }
    }

    /// True once the recovery is committed.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Recovers, unless that was done.
    pub(super) fn tick(
        &mut self,
        ctx: &mut Ctx,
        api: &mut Api,
        claims: &Claims,
        outcomes: &Outcomes,
        health: &mut Health,
    ) {
        if self.done || !ctx.is_usable() {
            return;
        }
        let orphans = ctx.transaction(|ctx| {
            let now = Utc::now();
            let orphans = store::recovery::count_orphans()?;
            store::recovery::clamp_due(now, later(now, ctx.settings.policy.longest_pause()))?;
            recover_orphans(ctx, claims, outcomes)?;
            health.load()?;
            store::recovery::follow_wal_timeline(now, look_up_at(now, 0, ctx.settings.policy.propagation_delay))?;
            Ok(orphans)
        });
        let Some(orphans) = orphans else { return };
        self.postpone_hung(ctx);
        // Guestly may have counted these calls; the saved levels of the rate limiter do not include them.
        api.gate.limiter.take(orphans, ctx.now());
        self.done = true;
    }

    /// Postpones the booking for which host code hung, and reports the hang.
    fn postpone_hung(&mut self, ctx: &mut Ctx) {
        let Some(hang) = self.hang.take() else { return };
        let subject = match &hang.booking_id {
            Some(id) => format!("booking {id}"),
            None if hang.table => "the sweep".to_owned(),
            None => "several bookings".to_owned(),
        };
        if let Some(id) = &hang.booking_id
            && ctx.transaction(|_| postpone(id, hang.seconds)).is_none()
        {
            self.hang = Some(hang);
            return;
        }
        if hang.table {
            shm::record_sweep_end(Utc::now().timestamp_micros());
        }
        ctx.report(
            &format!("the worker was restarted: code on the bookings table ran for {} s ({subject})", hang.seconds),
            "Other bookings go first. Check the triggers of the table and guestly.field_map.",
        );
    }
}

/// Turns claims that are not this worker's (of a predecessor, or restored from a dump) into uncertain outcomes.
pub(super) fn recover_orphans(ctx: &Ctx, claims: &Claims, outcomes: &Outcomes) -> Result<()> {
    let (now, settle) = (Utc::now(), ctx.settings.policy.propagation_delay);
    let mut own = claims.in_progress();
    own.extend(outcomes.pending.iter().map(|outcome| outcome.booking_id.clone()));
    store::recovery::recover_orphans(now, look_up_at(now, 0, settle), later(now, settle), own)
}

/// Postpones the booking; after several hangs it fails, with an alert.
fn postpone(booking_id: &str, seconds: u32) -> Result<()> {
    let Some(sentence) = store::recovery::postpone_hung(booking_id, Utc::now(), seconds)? else { return Ok(()) };
    let kind = AlertKind::of_failure(ErrorClass::Internal);
    store::alerts::raise(&[Raised {
        booking_id: Some(booking_id.to_owned()),
        class: Some(ErrorClass::Internal),
        ..Raised::new(kind, sentence)
    }])
}
