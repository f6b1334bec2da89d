//! The end of the worker after SIGTERM: aborts calls, writes outcomes and the worker state, and lets the launcher start a
//! successor. Part of the worker, main thread.

use std::time::Duration;

use chrono::Utc;
use pgrx::warning;

use super::api::Api;
use super::claims::Claims;
use super::completion::complete;
use super::context::Ctx;
use super::doctor::Doctor;
use super::mailer::Mailer;
use super::outcomes::Outcomes;
use super::sending::release_unsent;
use crate::pg::db::session;
use crate::pg::host::bookings::Bookings;
use crate::pg::record_outcomes::{OutcomeRows, at_exit, record_all};
use crate::pg::{shm, store, sys};

/// Time that a stop waits for aborted calls.
const WAIT_FOR_CUT: Duration = Duration::from_millis(300);

/// Ends the process.
pub(super) fn run(
    mut ctx: Ctx,
    mut api: Api,
    mut claims: Claims,
    mut outcomes: Outcomes,
    mut doctor: Doctor,
    mut mailer: Mailer,
) -> ! {
    release_unsent(&mut api, &mut claims, &mut outcomes);
    api.cut();
    if let Some(pool) = api.pool.take() {
        for done in pool.shutdown(WAIT_FOR_CUT) {
            complete(&mut ctx, &mut api, &mut outcomes, done);
        }
    }
    doctor.record_replies(&mut ctx, &mut api, &mut outcomes);
    mailer.close();
    mailer.complete(&mut ctx, None);
    api.record_token_replies(&mut ctx, &mut outcomes);
    record_outcomes(&mut outcomes);
    at_exit::set_unrecorded([]);
    // The successor's rate limiter must include the last calls. If the predecessor's state was never loaded, saving would
    // overwrite it.
    if api.restored && api.fingerprint(&ctx).is_some() {
        let saved = session::transaction(c"guestly_sync: stopping", || outcomes.save_state(&ctx, &mut api, Utc::now()));
        if let Err(error) = saved {
            warning!("guestly_sync: at shutdown the worker state could not be saved: {error}");
        }
    }
    shm::leave(false);
    sys::exit(1)
}

/// Writes the outcomes. If a booking is locked or its triggers do not end, only its reservation is stored, which is verified
/// after the restart.
fn record_outcomes(outcomes: &mut Outcomes) {
    let unwritten = std::mem::take(&mut outcomes.pending);
    if unwritten.is_empty() {
        return;
    }
    at_exit::set_unrecorded(&unwritten);
    let retries = &mut outcomes.retries;
    let written = session::transaction(c"guestly_sync: stopping", || {
        let bookings = Bookings::load()?;
        let together = session::subtransaction(|| record_all(bookings.as_ref(), unwritten.clone(), retries));
        let postponed = match together {
            Err(error) if error.is_cancel() => unwritten,
            together => together?,
        };
        store::reservations::upsert(&postponed.iter().filter_map(OutcomeRows::reservation).collect::<Vec<_>>())?;
        Ok(postponed.len())
    });
    match written {
        Ok(0) => {}
        Ok(postponed) => {
            warning!(
                "guestly_sync: at shutdown {postponed} bookings were locked; their reservations will be verified after restart"
            )
        }
        Err(error) => {
            warning!(
                "guestly_sync: at shutdown outcomes could not be written; their reservations will be verified after restart: {error}"
            )
        }
    }
}
