//! Answers that came in while the worker was in code of the host that did not end: as the process ends, the reservations that
//! they name are kept. Part of the worker, main thread.

use chrono::Utc;

use super::{Tag, Worker};
use crate::domain::outcome::{Reply, classify};
use crate::domain::transition::{Moment, Policy};
use crate::net::pool::FinishedRequest;
use crate::pg::job::Trace;
use crate::pg::record::{Change, at_exit};

impl Worker {
    /// With the policy in force.
    pub(super) fn watch_late_answers(&self) {
        let Some(pool) = &self.pool else { return };
        let (replies, policy) = (pool.replies(), self.settings.policy);
        at_exit::also(Box::new(move || {
            replies.take().into_iter().filter_map(|done| reservation_of(done, &policy)).collect()
        }));
    }
}

/// None for an answer that names no reservation: its booking is looked up.
fn reservation_of(done: FinishedRequest<Tag>, policy: &Policy) -> Option<Change> {
    let Tag::Call(job) = done.tag else { return None };
    let now = Utc::now();
    let answer = if let Reply::Answer(answer) = &done.reply { Some(answer) } else { None };
    let trace = Trace {
        started: done.started_at,
        duration_ms: i32::try_from(done.elapsed.as_millis()).unwrap_or(i32::MAX),
        http_status: answer.map(|answer| answer.status),
        request_id: answer.and_then(|answer| answer.request_id.clone()),
    };
    let outcome = classify(job.operation, &done.reply, now);
    let moment = Moment { started: done.started_at, now, jitter: 0.5, outage: false, token_is_new: false };
    let next = job.next(&outcome, policy, &moment);
    Some(job.change(&outcome, next, trace)).filter(|change| change.held.is_some())
}
