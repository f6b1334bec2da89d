//! The effect of an outcome on the send gate as a whole: the breaker and the pauses that were asked for. Part of `domain::send_gate`, which
//! see; pure.

use std::time::Duration;

use super::{Completion, SendGate};
use crate::domain::breaker::{Kind, Source};
use crate::domain::outcome::{Operation, Outcome};
use crate::domain::retry::part;

/// When a 429 names no time.
const DEFAULT_HOLD: Duration = Duration::from_secs(30);

/// Retry-After is a floor: jitter adds up to this share of it.
const HOLD_JITTER: f64 = 0.05;

impl SendGate {
    /// True if the breaker holds the failure of this call to be an outage: it uses up no attempt. An answer that is no server
    /// error never is one.
    #[must_use]
    pub fn is_outage_for(&self, operation: Operation, outcome: &Outcome, moment: &Completion) -> bool {
        // A request that never arrived is no sign that calls of its kind fail.
        let source = source(operation, moment).filter(|_| !matches!(outcome, Outcome::NotSent { .. }));
        let outage = source.map_or(self.breaker.is_outage(), |source| self.breaker.is_outage_for(&source, moment.now));
        outage && is_failure(outcome, moment.status)
    }

    pub(super) fn health(&mut self, operation: Operation, outcome: &Outcome, moment: &Completion) {
        let now = moment.now;
        // No call waits for a token that is renewed, and its address may be another one.
        let idle = operation == Operation::Token && self.has_token(moment.wall) && !outcome.is_yes();
        match outcome {
            _ if idle => return,
            Outcome::Unsendable { .. } => return self.breaker.tells_nothing(source(operation, moment).as_ref()),
            // The token's own cap holds the token, not the calls that a good token may make.
            Outcome::Throttled { .. } if moment.token_call => return,
            Outcome::Throttled { retry_after, .. } => {
                return self.pause_for(retry_after.unwrap_or(DEFAULT_HOLD).max(Duration::from_secs(1)), moment);
            }
            Outcome::Unavailable { retry_after, .. } => self.pause_for(retry_after.unwrap_or_default(), moment),
            _ => {}
        }
        let source = source(operation, moment);
        if is_failure(outcome, moment.status) {
            match outcome {
                Outcome::NotSent { .. } => self.breaker.not_sent(source.as_ref(), moment.started, now, moment.jitter),
                _ => self.breaker.failed(source.as_ref(), moment.started, now, moment.jitter),
            }
        } else {
            self.breaker.succeeded(source.as_ref(), now);
        }
    }

    /// Nothing goes before `floor` is over.
    fn pause_for(&mut self, floor: Duration, moment: &Completion) {
        let pause = floor.saturating_add(part(floor, HOLD_JITTER * moment.jitter));
        self.limiter.pause_until(moment.now.saturating_add(pause));
    }
}

/// True for what counts as a sign of an outage: it never arrived, no whole answer came, or a server error did. Any other
/// answer, readable or not, shows that the API is there.
fn is_failure(outcome: &Outcome, status: Option<u16>) -> bool {
    match status {
        Some(status) => (500..600).contains(&status),
        None => {
            matches!(outcome, Outcome::NotSent { .. } | Outcome::Unknown { .. } | Outcome::Unavailable { .. })
        }
    }
}

fn source(operation: Operation, moment: &Completion) -> Option<Source> {
    let kind = Kind::of(operation)?;
    Some(Source { booking: moment.booking.clone(), kind })
}
