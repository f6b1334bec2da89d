//! Saves the reservations in answers that arrive while the worker hangs in host code, when the process ends. Part of the
//! worker, main thread.

use chrono::Utc;

use super::api::{Api, Purpose};
use super::completion::trace;
use crate::domain::outcome::classify;
use crate::domain::transition::{Moment, Policy};
use crate::net::pool::FinishedRequest;
use crate::pg::record_outcomes::{OutcomeRows, at_exit};

/// Registers the replies of the pool with `record_outcomes::at_exit`; `policy` is used for their transitions.
pub(super) fn save_at_exit(api: &Api, policy: Policy) {
    let Some(pool) = &api.pool else { return };
    let replies = pool.replies();
    at_exit::set_late_answers(Box::new(move || {
        replies.take().into_iter().filter_map(|done| reservation_of(done, &policy)).collect()
    }));
}

/// The rows of an answer with a reservation; `None` for any other, whose booking is looked up.
fn reservation_of(done: FinishedRequest<Purpose>, policy: &Policy) -> Option<OutcomeRows> {
    let trace = trace(&done);
    let Purpose::Call(job) = done.tag else { return None };
    let now = Utc::now();
    let outcome = classify(job.row.operation, &done.reply, now);
    let moment = Moment { started: trace.started, now, jitter: 0.5, outage: false, token_is_new: false };
    let next = job.next(&outcome, policy, &moment);
    Some(job.into_rows(&outcome, next, trace)).filter(|rows| rows.reservation_update.is_some())
}
