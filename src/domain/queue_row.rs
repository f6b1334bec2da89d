//! A row of the queue, as claimed. `domain::plan` decides its next step, `domain::transition` its next state when the call has
//! ended; pure, any thread.

use chrono::{DateTime, Utc};

use super::error::{ErrorClass, Problem};
use super::operation::Operation;
use super::snapshot::RemoteReservation;

/// A row of `guestly.queue`, with what Guestly is known to have of its booking.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueRow {
    /// The booking.
    pub booking_id: String,
    /// The planned call; meaningless before the plan.
    pub operation: Operation,
    /// Attempts since the booking was last queued; from the plan on, the planned call is included if it is a create or a change.
    pub attempts: u32,
    /// An operator asked for it, paid or not.
    pub force: bool,
    /// A create may have taken effect, or Guestly may have the booking for another reason: look it up before creating. An
    /// existing reservation is read back once nothing is left to change.
    pub verify_first: bool,
    /// Since when a create of unknown outcome may be taking effect.
    pub uncertain_since: Option<DateTime<Utc>>,
    /// Look-ups since then that found nothing. For an existing reservation: changes that Guestly accepted but did not make.
    pub look_ups: u32,
    /// Reads in a row without a readable answer.
    pub failed_reads: u32,
    /// Creates of this booking whose outcome never became known.
    pub unconfirmed_creates: u32,
    /// A refusal that a look-up must confirm: the booking fails with this class if nothing is found.
    pub pending_refusal: Option<ErrorClass>,
    /// The last problem of the booking.
    pub problem: Option<Problem>,
    /// The confirmation code of the first create; every later call uses it.
    pub code: Option<String>,
    /// The reservation that the booking's row names, if Guestly does not have it: looked up by the code instead.
    pub missing_reservation: Option<String>,
    /// The row of `guestly.reservations`, if any.
    pub remote: Option<RemoteReservation>,
    /// It waited for a time of its own, and the state of its reservation is certain.
    pub waited: bool,
    /// Its fencing token: that of the new claim once planned; before that, of an earlier claim if the row was edited during
    /// its call.
    pub claim_id: Option<i64>,
}

impl QueueRow {
    /// A create has begun, and its reservation is not known yet. An uncertain row alone (a copy, a promoted standby) does not
    /// prove it.
    #[must_use]
    pub fn is_creating(&self) -> bool {
        self.code.is_some() || self.unconfirmed_creates > 0
    }

    /// The existing reservation must be read back before it is changed.
    #[must_use]
    pub fn reads_back_first(&self) -> bool {
        self.verify_first && !self.waited
    }

    /// Guestly does not have the reservation that only the booking's row names: from now on the booking is looked up by its code.
    pub fn look_up_by_code(&mut self) {
        let is_only_named = |remote: &mut RemoteReservation| !remote.verified && !remote.ended && !remote.is_test();
        if self.pending_refusal.is_some() {
            self.missing_reservation = self.remote.take_if(is_only_named).map(|remote| remote.reservation_id);
        }
    }

    /// The attempts without the planned call.
    #[must_use]
    pub fn attempts_before(&self) -> u32 {
        self.attempts.saturating_sub(u32::from(!self.operation.is_read()))
    }

    /// The row with its plan and its new claim: a create or a change is counted as an attempt; a create or its look-up stores the
    /// confirmation `code`.
    #[must_use]
    pub fn planned(self, operation: Operation, claim_id: i64, code: &str) -> Self {
        let attempts = self.attempts.saturating_add(u32::from(!operation.is_read()));
        let code = self.code.or_else(|| (!operation.is_about_remote()).then(|| code.to_owned()));
        Self { operation, attempts, claim_id: Some(claim_id), code, ..self }
    }
}
