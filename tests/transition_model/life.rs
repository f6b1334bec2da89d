//! A model of one booking: its queue row, and a Guestly that may commit unconfirmed calls, shows them late, and refuses taken
//! dates. Used by `transition_props.rs`.

use chrono::{DateTime, TimeDelta, Utc};
use guestly_sync::domain::error::{ErrorClass, Problem};
use guestly_sync::domain::operation::Operation;
use guestly_sync::domain::outcome::Outcome;
use guestly_sync::domain::queue_row::QueueRow;
use guestly_sync::domain::reservation::Reservation;
use guestly_sync::domain::transition::{Case, Moment, Policy, Transition, next};
use proptest::prelude::*;

use crate::values::{at, our_hit, wanted};

/// The fault of one call. `appears`: milliseconds from the call until look-ups show its reservation.
#[derive(Clone, Debug)]
pub enum Fault {
    None,
    Lost { appears: Option<i64> },
    Unavailable { appears: Option<i64> },
    NotSent,
    Throttled,
    TokenRejected,
    DatesTaken,
    Refused(ErrorClass),
}

#[derive(Clone, Debug)]
pub struct Conditions {
    pub fault: Fault,
    pub took: TimeDelta,
    /// The clock changes before the call: back at any time, ahead only before the first look-up and by more than the delay.
    /// The worker itself compensates for smaller changes.
    pub jump: TimeDelta,
    pub jitter: f64,
    pub outage: bool,
    pub token_is_new: bool,
}

impl Conditions {
    pub fn no_faults() -> Self {
        let (took, jump) = (TimeDelta::milliseconds(200), TimeDelta::zero());
        Self { fault: Fault::None, took, jump, jitter: 0.5, outage: false, token_is_new: false }
    }
}

pub struct Life {
    policy: Policy,
    wanted: Reservation,
    row: QueueRow,
    verify_first: bool,
    due: DateTime<Utc>,
    /// True time, and the error of the clock.
    now: DateTime<Utc>,
    clock: TimeDelta,
    /// The reservations with our code, each with the true time since which look-ups show it.
    remote: Vec<DateTime<Utc>>,
    /// Finally refused: no create may follow.
    refused: bool,
    pub end: Option<Transition>,
}

impl Life {
    pub fn new(policy: Policy) -> Self {
        let row = QueueRow {
            operation: Operation::Create,
            attempts: 0,
            uncertain_since: None,
            look_ups: 0,
            failed_reads: 0,
            unconfirmed_creates: 0,
            problem: None,
            pending_refusal: None,
            missing_reservation: None,
            ..QueueRow::default()
        };
        let (now, clock) = (at(0), TimeDelta::zero());
        Self {
            policy,
            wanted: wanted(),
            row,
            verify_first: false,
            due: now,
            now,
            clock,
            remote: vec![],
            refused: false,
            end: None,
        }
    }

    /// One call.
    pub fn step(&mut self, conditions: &Conditions) -> Result<(), TestCaseError> {
        if conditions.jump < TimeDelta::zero() || self.row.uncertain_since.is_some() && self.row.look_ups == 0 {
            self.clock += conditions.jump;
        }
        self.now = self.now.max(self.due - self.clock);
        let started = self.now;
        let operation = if self.verify_first { Operation::LookUp } else { Operation::Create };
        let before = self.row.attempts;
        self.row.operation = operation;
        self.row.attempts += u32::from(operation == Operation::Create);
        self.now += conditions.took;
        let outcome = if self.verify_first { self.look_up(conditions, started) } else { self.create(conditions)? };
        let moment = Moment {
            started: started + self.clock,
            now: self.now + self.clock,
            jitter: conditions.jitter,
            outage: conditions.outage,
            token_is_new: conditions.token_is_new,
        };
        let decided = next(&Case {
            row: &self.row,
            outcome: &outcome,
            wanted: &self.wanted,
            policy: &self.policy,
            moment: &moment,
        });
        self.keep(decided, before);
        Ok(())
    }

    fn create(&mut self, conditions: &Conditions) -> Result<Outcome, TestCaseError> {
        prop_assert!(!self.refused, "a create after a refusal");
        prop_assert!(self.remote.is_empty(), "a second create while the first may still appear: {:?}", self.remote);
        prop_assert!(self.row.attempts <= self.policy.max_attempts, "try {}", self.row.attempts);
        let sentence = "said".to_owned();
        Ok(match conditions.fault {
            Fault::None => {
                self.remote.push(self.now);
                Outcome::Created { reservation_id: "r0".to_owned(), confirmation_code: None, total: None }
            }
            Fault::Lost { appears } => {
                self.commit(appears);
                Outcome::Unknown { sentence }
            }
            Fault::Unavailable { appears } => {
                self.commit(appears);
                Outcome::Unavailable { retry_after: None, sentence }
            }
            Fault::DatesTaken => {
                self.refused = true;
                Outcome::Refused { class: ErrorClass::DatesTaken, sentence }
            }
            Fault::Refused(class) => {
                self.refused = true;
                Outcome::Refused { class, sentence }
            }
            Fault::NotSent | Fault::Throttled | Fault::TokenRejected => harmless(&conditions.fault),
        })
    }

    fn commit(&mut self, appears: Option<i64>) {
        self.remote.extend(appears.map(|millis| self.now + TimeDelta::milliseconds(millis)));
    }

    fn look_up(&self, conditions: &Conditions, started: DateTime<Utc>) -> Outcome {
        let sentence = "said".to_owned();
        match conditions.fault {
            Fault::None | Fault::DatesTaken => {
                let shown = self.remote.iter().enumerate().filter(|(_, since)| **since <= started);
                Outcome::Found(shown.map(|(number, _)| our_hit(format!("r{number}"))).collect())
            }
            Fault::Lost { .. } => Outcome::Unknown { sentence },
            Fault::Unavailable { .. } => Outcome::Unavailable { retry_after: None, sentence },
            Fault::Refused(class) => Outcome::Refused { class, sentence },
            Fault::NotSent | Fault::Throttled | Fault::TokenRejected => harmless(&conditions.fault),
        }
    }

    /// Stores a transition as the worker does.
    fn keep(&mut self, decided: Transition, uncounted: u32) {
        let row = &mut self.row;
        match decided {
            Transition::Ready(problem) => {
                (row.attempts, row.problem, row.pending_refusal) = (uncounted, Some(problem), None);
                self.verify_first = row.uncertain_since.is_some();
            }
            Transition::Wait { due, counted, problem } => {
                row.attempts = if counted { row.attempts } else { uncounted };
                (self.due, row.problem, row.pending_refusal) = (due, Some(problem), None);
                self.verify_first = row.uncertain_since.is_some();
            }
            Transition::UncertainCreate {
                due,
                since,
                look_ups,
                failed_reads,
                unconfirmed_creates,
                counted,
                problem,
                pending_refusal,
            } => {
                row.attempts = if counted { row.attempts } else { uncounted };
                (self.due, row.problem, row.pending_refusal) = (due, Some(problem), pending_refusal);
                (row.uncertain_since, row.look_ups, row.unconfirmed_creates) = (since, look_ups, unconfirmed_creates);
                row.failed_reads = failed_reads;
                self.verify_first = true;
            }
            Transition::CreateAgain => {
                (row.uncertain_since, row.look_ups, row.failed_reads, row.pending_refusal) = (None, 0, 0, None);
                self.verify_first = false;
            }
            _ => self.end = Some(decided),
        }
    }

    pub fn check_end(&self) -> Result<(), TestCaseError> {
        match (&self.end, self.remote.as_slice()) {
            (Some(Transition::Synced { reservation_id, warning: None, .. }), [_]) => {
                prop_assert_eq!(reservation_id, "r0")
            }
            (Some(Transition::Failed(Problem { class, .. })), []) => {
                let given_up = self.row.attempts >= self.policy.max_attempts;
                let token = *class == ErrorClass::Refused && self.row.pending_refusal == Some(ErrorClass::Refused);
                prop_assert!(self.refused || given_up || token, "failed without a reason: {class:?}");
            }
            (end, remote) => prop_assert!(false, "{end:?} with {remote:?} there"),
        }
        Ok(())
    }
}

/// Outcomes without an effect at Guestly.
fn harmless(fault: &Fault) -> Outcome {
    let sentence = "said".to_owned();
    match fault {
        Fault::NotSent => Outcome::NotSent { sentence },
        Fault::TokenRejected => Outcome::TokenRejected { status: 401, sentence },
        _ => Outcome::Throttled { retry_after: None, sentence },
    }
}
