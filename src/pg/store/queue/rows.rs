//! The update of a queue row. Part of `pg::store::queue`; plain values, used on the main thread.

use chrono::{DateTime, Utc};

use crate::domain::error::{ErrorClass, Problem};
use crate::domain::queue_row::QueueRow;

/// The state of a row of `guestly.queue` after an outcome. A claim sets `sending`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueState {
    /// Due now.
    Ready,
    /// A create may have taken effect; look-ups decide.
    Unknown,
    /// Due at `due_at`.
    Waiting,
    /// Needs manual action.
    Failed,
}

impl QueueState {
    /// Every state.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] = [Self::Ready, Self::Unknown, Self::Waiting, Self::Failed];

    /// The value in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Unknown => "unknown",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

/// The new state of a queue row after an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueUpdate {
    /// The new state.
    pub state: QueueState,
    /// Attempts.
    pub attempts: u32,
    /// When it is due; `None` leaves the time unchanged.
    pub due_at: Option<DateTime<Utc>>,
    /// See [`QueueRow`].
    pub uncertain_since: Option<DateTime<Utc>>,
    /// See [`QueueRow`].
    pub look_ups: u32,
    /// See [`QueueRow`].
    pub failed_reads: u32,
    /// See [`QueueRow`].
    pub unconfirmed_creates: u32,
    /// See [`QueueRow`].
    pub pending_refusal: Option<ErrorClass>,
    /// See [`QueueRow`].
    pub verify_first: bool,
    /// The reservation exists and its create is certain: the confirmation code of the create is dropped.
    pub is_created: bool,
    /// The problem, if any.
    pub problem: Option<Problem>,
}

impl QueueUpdate {
    /// A failed row: it needs manual action.
    pub fn failed(attempts: u32) -> Self {
        Self {
            state: QueueState::Failed,
            attempts,
            due_at: None,
            uncertain_since: None,
            look_ups: 0,
            failed_reads: 0,
            unconfirmed_creates: 0,
            pending_refusal: None,
            verify_first: false,
            is_created: false,
            problem: None,
        }
    }

    /// A failed row that stays uncertain: a look-up precedes the next create.
    pub fn failed_uncertain(due: &QueueRow, attempts: u32) -> Self {
        Self {
            uncertain_since: due.uncertain_since,
            look_ups: due.look_ups,
            failed_reads: due.failed_reads,
            unconfirmed_creates: due.unconfirmed_creates,
            verify_first: due.verify_first,
            ..Self::failed(attempts)
        }
    }

    /// A row that is due at `due_at`.
    pub fn waiting(attempts: u32, due_at: DateTime<Utc>) -> Self {
        Self { state: QueueState::Waiting, due_at: Some(due_at), ..Self::failed(attempts) }
    }
}
