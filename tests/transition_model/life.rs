//! One booking's life: a queue row as the worker keeps it, and a Guestly that may commit what it did not confirm, shows it
//! later than it commits, and refuses what the calendar forbids. Used by `transition_props.rs`.

use chrono::{DateTime, TimeDelta, Utc};
use guestly_sync::domain::error::{ErrorClass, Problem};
use guestly_sync::domain::outcome::{Operation, Outcome};
use guestly_sync::domain::reservation::Reservation;
use guestly_sync::domain::transition::{Moment, Next, Policy, Work, next};
use proptest::prelude::*;

use crate::values::{at, our_hit, wanted};

/// What goes wrong with one call. `appears`: milliseconds after the call when look-ups begin to show its reservation.
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
pub struct FaultPlan {
    pub fault: Fault,
    pub took: TimeDelta,
    /// The clock jumps before the call: back at any time; ahead while nobody has looked yet, and by more than the window.
    /// What less than that would do, the worker mends: it moves along what waits.
    pub jump: TimeDelta,
    pub jitter: f64,
    pub outage: bool,
    pub token_is_new: bool,
}

impl FaultPlan {
    pub fn none() -> Self {
        let (took, jump) = (TimeDelta::milliseconds(200), TimeDelta::zero());
        Self { fault: Fault::None, took, jump, jitter: 0.5, outage: false, token_is_new: false }
    }
}

pub struct Life {
    policy: Policy,
    wanted: Reservation,
    row: Work,
    in_doubt: bool,
    due: DateTime<Utc>,
    /// True time, and what the clock adds to it.
    now: DateTime<Utc>,
    clock: TimeDelta,
    /// Reservations under our code: since when they show, in true time.
    held: Vec<DateTime<Utc>>,
    /// Refused for good: no create may follow.
    refused: bool,
    pub end: Option<Next>,
}

impl Life {
    pub fn new(policy: Policy) -> Self {
        let row = Work {
            operation: Operation::Create,
            attempts: 0,
            doubt_since: None,
            look_ups: 0,
            failed_reads: 0,
            creates: 0,
            problem: None,
            verdict: None,
            absent: None,
        };
        let (now, clock) = (at(0), TimeDelta::zero());
        Self {
            policy,
            wanted: wanted(),
            row,
            in_doubt: false,
            due: now,
            now,
            clock,
            held: vec![],
            refused: false,
            end: None,
        }
    }

    /// One call.
    pub fn step(&mut self, plan: &FaultPlan) -> Result<(), TestCaseError> {
        if plan.jump < TimeDelta::zero() || self.row.doubt_since.is_some() && self.row.look_ups == 0 {
            self.clock += plan.jump;
        }
        self.now = self.now.max(self.due - self.clock);
        let started = self.now;
        let operation = if self.in_doubt { Operation::LookUp } else { Operation::Create };
        let before = self.row.attempts;
        self.row.operation = operation;
        self.row.attempts += u32::from(operation == Operation::Create);
        self.now += plan.took;
        let outcome = if self.in_doubt { self.look_up(plan, started) } else { self.create(plan)? };
        let moment = Moment {
            started: started + self.clock,
            now: self.now + self.clock,
            jitter: plan.jitter,
            outage: plan.outage,
            token_is_new: plan.token_is_new,
        };
        let decided = next(&self.row, &outcome, &self.wanted, &self.policy, &moment);
        self.keep(decided, before);
        Ok(())
    }

    fn create(&mut self, plan: &FaultPlan) -> Result<Outcome, TestCaseError> {
        prop_assert!(!self.refused, "a create after a refusal");
        prop_assert!(self.held.is_empty(), "a second create while the first may still appear: {:?}", self.held);
        prop_assert!(self.row.attempts <= self.policy.max_attempts, "try {}", self.row.attempts);
        let sentence = "said".to_owned();
        Ok(match plan.fault {
            Fault::None => {
                self.held.push(self.now);
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
            Fault::NotSent | Fault::Throttled | Fault::TokenRejected => harmless(&plan.fault),
        })
    }

    fn commit(&mut self, appears: Option<i64>) {
        self.held.extend(appears.map(|millis| self.now + TimeDelta::milliseconds(millis)));
    }

    fn look_up(&self, plan: &FaultPlan, started: DateTime<Utc>) -> Outcome {
        let sentence = "said".to_owned();
        match plan.fault {
            Fault::None | Fault::DatesTaken => {
                let shown = self.held.iter().enumerate().filter(|(_, since)| **since <= started);
                Outcome::Found(shown.map(|(number, _)| our_hit(format!("r{number}"))).collect())
            }
            Fault::Lost { .. } => Outcome::Unknown { sentence },
            Fault::Unavailable { .. } => Outcome::Unavailable { retry_after: None, sentence },
            Fault::Refused(class) => Outcome::Refused { class, sentence },
            Fault::NotSent | Fault::Throttled | Fault::TokenRejected => harmless(&plan.fault),
        }
    }

    /// As `pg::job` keeps a decision.
    fn keep(&mut self, decided: Next, uncounted: u32) {
        let row = &mut self.row;
        match decided {
            Next::Ready(problem) => {
                (row.attempts, row.problem, row.verdict) = (uncounted, Some(problem), None);
                self.in_doubt = row.doubt_since.is_some();
            }
            Next::Wait { due, counted, problem } => {
                row.attempts = if counted { row.attempts } else { uncounted };
                (self.due, row.problem, row.verdict) = (due, Some(problem), None);
                self.in_doubt = row.doubt_since.is_some();
            }
            Next::Doubt { due, since, look_ups, failed_reads, creates, counted, problem, verdict } => {
                row.attempts = if counted { row.attempts } else { uncounted };
                (self.due, row.problem, row.verdict) = (due, Some(problem), verdict);
                (row.doubt_since, row.look_ups, row.creates) = (since, look_ups, creates);
                row.failed_reads = failed_reads;
                self.in_doubt = true;
            }
            Next::CreateAgain => {
                (row.doubt_since, row.look_ups, row.failed_reads, row.verdict) = (None, 0, 0, None);
                self.in_doubt = false;
            }
            _ => self.end = Some(decided),
        }
    }

    pub fn check_end(&self) -> Result<(), TestCaseError> {
        match (&self.end, self.held.as_slice()) {
            (Some(Next::Synced { reservation_id, warning: None, .. }), [_]) => prop_assert_eq!(reservation_id, "r0"),
            (Some(Next::Failed(Problem { class, .. })), []) => {
                let given_up = self.row.attempts >= self.policy.max_attempts;
                let token = *class == ErrorClass::Refused && self.row.verdict == Some(ErrorClass::Refused);
                prop_assert!(self.refused || given_up || token, "failed without a reason: {class:?}");
            }
            (end, held) => prop_assert!(false, "{end:?} with {held:?} there"),
        }
        Ok(())
    }
}

/// Outcomes that certainly changed nothing.
fn harmless(fault: &Fault) -> Outcome {
    let sentence = "said".to_owned();
    match fault {
        Fault::NotSent => Outcome::NotSent { sentence },
        Fault::TokenRejected => Outcome::TokenRejected { status: 401, sentence },
        _ => Outcome::Throttled { retry_after: None, sentence },
    }
}
