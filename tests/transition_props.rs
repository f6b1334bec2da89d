//! Property tests of the state machine: single steps from any state, and whole lives of a booking against a model of
//! Guestly that commits late and shows later. Run by cargo; no server, no clock, no threads. Imports `domain` only.

use std::time::Duration;

use guestly_sync::domain::error::{ErrorClass, Problem};
use guestly_sync::domain::operation::Operation;
use guestly_sync::domain::outcome::{Hit, Outcome};
use guestly_sync::domain::queue_row::QueueRow;
use guestly_sync::domain::retry::{Backoff, has_propagated};
use guestly_sync::domain::snapshot::RemoteReservation;
use guestly_sync::domain::transition::{Case, Moment, Policy, Transition, next, next_for_remote};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[path = "transition_model/life.rs"]
mod life;
#[path = "transition_model/values.rs"]
mod values;

use life::{Conditions, Life};
use values::{at, class, conditions, hit, jitter, our_hit, outcome, unanswered, wanted};

const SETTLE: Duration = Duration::from_secs(90);

/// A failure prints its input and writes no file.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn policy() -> impl Strategy<Value = Policy> {
    (0_u64..3_000, 0_u64..400_000, 1_u32..9).prop_map(|(base, max, max_attempts)| {
        let backoff = Backoff { base: Duration::from_millis(base), max: Duration::from_millis(max) };
        Policy { backoff, max_attempts, propagation_delay: SETTLE }
    })
}

fn work(operation: Operation) -> impl Strategy<Value = QueueRow> {
    let pending_refusal = prop_oneof![Just(ErrorClass::DatesTaken), Just(ErrorClass::Refused)];
    let uncertain = (option::of((-300_i64..300).prop_map(at)), 0_u32..9, 0_u32..4);
    let problem = option::of(class().prop_map(|class| Problem::new(class, "before")));
    (0_u32..12, uncertain, problem, option::of(pending_refusal)).prop_map(
        move |(attempts, uncertain, problem, pending_refusal)| {
            let (uncertain_since, look_ups, unconfirmed_creates) = uncertain;
            QueueRow {
                operation,
                attempts,
                uncertain_since,
                look_ups,
                failed_reads: 0,
                unconfirmed_creates,
                problem,
                pending_refusal,
                missing_reservation: None,
                ..QueueRow::default()
            }
        },
    )
}

fn moment() -> impl Strategy<Value = Moment> {
    (0_i64..40, jitter(), any::<(bool, bool)>()).prop_map(|(took, jitter, (outage, token_is_new))| Moment {
        started: at(-took),
        now: at(0),
        jitter,
        outage,
        token_is_new,
    })
}

/// The time of the next call, if the booking stays in the queue.
fn due(next: &Transition) -> Option<chrono::DateTime<chrono::Utc>> {
    match next {
        Transition::Wait { due, .. }
        | Transition::UncertainCreate { due, .. }
        | Transition::Changed { due, .. }
        | Transition::UncertainChange { due, .. }
        | Transition::LookUp { due, .. }
        | Transition::Differs { due, .. } => Some(*due),
        Transition::Synced { .. }
        | Transition::Ready(_)
        | Transition::CreateAgain
        | Transition::Confirmed
        | Transition::Failed(_) => None,
    }
}

proptest! {
    #![proptest_config(config(4_000))]

    #[test]
    fn no_second_create_before_an_empty_look_up_after_the_delay(
        work in work(Operation::LookUp), outcome in outcome(), policy in policy(), moment in moment(),
    ) {
        let next = next(&Case { row: &work, outcome: &outcome, wanted: &wanted(), policy: &policy, moment: &moment });
        prop_assert!(!matches!(next, Transition::Ready(_) | Transition::Wait { .. }), "a create without a decision: {next:?}");
        prop_assert!(due(&next).is_none_or(|due| due >= moment.now), "{next:?}");
        if next == Transition::CreateAgain {
            let Outcome::Found(hits) = &outcome else { panic!("{outcome:?}") };
            let code = Some(wanted().code);
            prop_assert!(hits.iter().all(|hit| hit.confirmation_code.is_some() && hit.confirmation_code != code));
            prop_assert!(work.attempts < policy.max_attempts, "more tries than allowed");
            if let Some(since) = work.uncertain_since {
                prop_assert!(has_propagated(since, moment.started, policy.propagation_delay) && work.look_ups >= 3);
            }
        }
        if let (Some(before), Transition::UncertainCreate { since, .. }) = (work.uncertain_since, &next) {
            let restarted = work.look_ups < 3 && has_propagated(before, moment.started, policy.propagation_delay);
            let expected = if before > moment.now || restarted { moment.now } else { before };
            prop_assert!(since.is_some_and(|since| since == before || since == expected), "the delay was cut short");
        }
    }

    #[test]
    fn a_look_up_that_failed_changes_nothing_but_the_time(
        work in work(Operation::LookUp), outcome in unanswered(), policy in policy(), moment in moment(),
    ) {
        let Transition::UncertainCreate { look_ups, unconfirmed_creates, counted, pending_refusal, .. } = next(&Case { row: &work, outcome: &outcome, wanted: &wanted(), policy: &policy, moment: &moment })
        else { panic!("it ended the booking") };
        prop_assert_eq!((look_ups, unconfirmed_creates, counted), (work.look_ups, work.unconfirmed_creates, true));
        let token = matches!(outcome, Outcome::TokenRejected { .. })
            && work.problem.is_some_and(|problem| problem.class == ErrorClass::Credentials);
        prop_assert_eq!(pending_refusal, work.pending_refusal.filter(|_| !token));
    }

    #[test]
    fn a_create_of_unknown_outcome_is_looked_up(
        work in work(Operation::Create), outcome in outcome(), policy in policy(), moment in moment(),
    ) {
        let next = next(&Case { row: &work, outcome: &outcome, wanted: &wanted(), policy: &policy, moment: &moment });
        prop_assert!(due(&next).is_none_or(|due| due >= moment.now), "{next:?}");
        match outcome {
            Outcome::Unknown { .. } | Outcome::Unavailable { .. } | Outcome::Found(_) | Outcome::Token { .. } => {
                let Transition::UncertainCreate { since, look_ups, unconfirmed_creates, counted, pending_refusal, .. } = next else { panic!("{next:?}") };
                prop_assert_eq!((since, look_ups, unconfirmed_creates, pending_refusal), (Some(moment.now), 0, work.unconfirmed_creates + 1, None));
                prop_assert!(counted || moment.outage);
            }
            Outcome::Refused { class, .. } if class == ErrorClass::DatesTaken || work.unconfirmed_creates > 0 => {
                prop_assert!(matches!(next, Transition::UncertainCreate { pending_refusal, .. } if pending_refusal == Some(class)), "{next:?}");
            }
            Outcome::Refused { class, .. } => {
                prop_assert!(matches!(&next, Transition::Failed(problem) if problem.class == class), "{next:?}");
            }
            Outcome::NotSent { .. } if !moment.outage => {
                let last = work.attempts >= policy.max_attempts;
                prop_assert_eq!(matches!(next, Transition::Failed(_)), last);
                let waits = matches!(next, Transition::Wait { counted: true, .. });
                prop_assert!(waits != last);
            }
            _ => prop_assert!(next != Transition::CreateAgain),
        }
    }

    #[test]
    fn a_reservation_id_is_never_dropped(
        operation in prop_oneof![Just(Operation::Create), Just(Operation::LookUp)], hits in vec(hit(), 1..4),
        work in work(Operation::LookUp), policy in policy(), moment in moment(),
    ) {
        let work = QueueRow { operation, ..work };
        let wanted = wanted();
        let mine = |hit: &Hit| hit.confirmation_code.as_ref().is_none_or(|code| *code == wanted.code);
        let (outcome, ids) = match operation {
            Operation::LookUp => {
                let ids = hits.iter().filter(|hit| mine(hit)).map(|hit| hit.reservation_id.clone()).collect();
                (Outcome::Found(hits), ids)
            }
            _ => (Outcome::Created { reservation_id: "r1".to_owned(), confirmation_code: None, total: None }, vec!["r1".to_owned()]),
        };
        match next(&Case { row: &work, outcome: &outcome, wanted: &wanted, policy: &policy, moment: &moment }) {
            Transition::Synced { reservation_id, adopted, warning, .. } => {
                prop_assert!(ids.contains(&reservation_id));
                prop_assert_eq!((adopted, warning.is_some()), (operation == Operation::LookUp, ids.len() > 1));
            }
            Transition::Failed(problem) if !ids.is_empty() => {
                prop_assert!(ids.iter().any(|id| problem.sentence.contains(id.as_str())), "{}", problem);
            }
            other => prop_assert!(ids.is_empty(), "{:?} dropped {:?}", other, ids),
        }
    }
}

proptest! {
    #![proptest_config(config(1_500))]

    #[test]
    fn a_booking_ends_with_at_most_one_reservation(
        policy in policy(), plans in vec(conditions(), 0..60),
    ) {
        let mut life = Life::new(policy);
        let no_faults = std::iter::repeat(Conditions::no_faults());
        for conditions in plans.into_iter().chain(no_faults).take(300) {
            if life.end.is_some() {
                break;
            }
            life.step(&conditions)?;
        }
        life.check_end()?;
    }
}

/// The reservation after its last write at second 0; the time of the write may be lost.
fn remote(remembered: bool) -> (QueueRow, RemoteReservation) {
    let remote = RemoteReservation {
        reservation_id: "r1".to_owned(),
        code: wanted().code,
        snapshot: wanted().snapshot(),
        verified: true,
        changed_at: remembered.then(|| at(0)),
        ..RemoteReservation::default()
    };
    let work = QueueRow {
        operation: Operation::ReadBack,
        attempts: 1,
        uncertain_since: None,
        look_ups: 0,
        failed_reads: 0,
        unconfirmed_creates: 0,
        problem: None,
        pending_refusal: None,
        missing_reservation: None,
        ..QueueRow::default()
    };
    (work, remote)
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn a_reservation_shown_within_the_delay_is_never_missing(
        policy in policy(), remembered in any::<bool>(), first in 0_i64..120_000, lag in 0_i64..90_000, took in 1_i64..5_000,
    ) {
        let (mut work, remote) = remote(remembered);
        let millis = |millis: i64| at(0) + chrono::TimeDelta::milliseconds(millis);
        let mut now = millis(first);
        for _ in 0..40 {
            let moment = Moment {
                started: now, now: now + chrono::TimeDelta::milliseconds(took), jitter: 0.5, outage: false, token_is_new: false,
            };
            let hits = if now >= millis(lag) { vec![our_hit("r1".to_owned())] } else { vec![] };
            match next_for_remote(&Case { row: &work, outcome: &Outcome::Found(hits), wanted: &wanted(), policy: &policy, moment: &moment }, &remote) {
                Transition::UncertainChange { due, since, .. } => {
                    (work.uncertain_since, now) = (since, due.max(moment.now));
                }
                Transition::Confirmed => return Ok(()),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert!(false, "looked up without end");
    }

    #[test]
    fn unanswered_reads_use_up_no_attempt(
        policy in policy(), outcomes in vec(unanswered(), 1..60), operation in prop_oneof![Just(Operation::ReadBack), Just(Operation::ListPayments)],
    ) {
        let (mut work, remote) = remote(true);
        work.operation = operation;
        let mut reads = 0;
        for outcome in outcomes {
            let moment = Moment { started: at(9), now: at(9), jitter: 0.5, outage: false, token_is_new: false };
            let own = matches!(outcome, Outcome::Unknown { .. } | Outcome::Unavailable { .. } | Outcome::Created { .. } | Outcome::Token { .. });
            reads += u32::from(own);
            match next_for_remote(&Case { row: &work, outcome: &outcome, wanted: &wanted(), policy: &policy, moment: &moment }, &remote) {
                Transition::UncertainChange { counted, failed_reads, .. } => {
                    prop_assert!(own && !counted && reads < policy.max_attempts, "{reads} reads");
                    work.failed_reads = failed_reads;
                }
                Transition::Wait { counted, .. } => prop_assert!(!own && !counted),
                Transition::Failed(_) => {
                    let refused = matches!(outcome, Outcome::Refused { .. });
                    prop_assert!(refused || own && reads == policy.max_attempts, "after {reads} reads");
                    return Ok(());
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
