//! Property tests of the state machine: single steps from any state, and whole lives of a booking against a model of
//! Guestly that commits late and shows later. Run by cargo; no server, no clock, no threads. Imports `domain` only.

use std::time::Duration;

use guestly_sync::domain::error::{ErrorClass, Problem};
use guestly_sync::domain::held::Known;
use guestly_sync::domain::outcome::{Hit, Operation, Outcome};
use guestly_sync::domain::retry::{Backoff, settled};
use guestly_sync::domain::transition::{Moment, Next, Policy, Work, next, next_of_held};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[path = "transition_model/life.rs"]
mod life;
#[path = "transition_model/values.rs"]
mod values;

use life::{FaultPlan, Life};
use values::{at, class, fault_plan, hit, jitter, our_hit, outcome, unanswered, wanted};

const SETTLE: Duration = Duration::from_secs(90);

/// No file is left behind by a failure: its input is printed.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn policy() -> impl Strategy<Value = Policy> {
    (0_u64..3_000, 0_u64..400_000, 1_u32..9).prop_map(|(base, max, max_attempts)| {
        let backoff = Backoff { base: Duration::from_millis(base), max: Duration::from_millis(max) };
        Policy { backoff, max_attempts, settle: SETTLE }
    })
}

fn work(operation: Operation) -> impl Strategy<Value = Work> {
    let verdict = prop_oneof![Just(ErrorClass::DatesTaken), Just(ErrorClass::Refused)];
    let doubt = (option::of((-300_i64..300).prop_map(at)), 0_u32..9, 0_u32..4);
    let problem = option::of(class().prop_map(|class| Problem::new(class, "before")));
    (0_u32..12, doubt, problem, option::of(verdict)).prop_map(move |(attempts, doubt, problem, verdict)| {
        let (doubt_since, look_ups, creates) = doubt;
        Work { operation, attempts, doubt_since, look_ups, failed_reads: 0, creates, problem, verdict, absent: None }
    })
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

/// When the next call is, if the booking stays in the queue.
fn due(next: &Next) -> Option<chrono::DateTime<chrono::Utc>> {
    match next {
        Next::Wait { due, .. }
        | Next::Doubt { due, .. }
        | Next::Changed { due, .. }
        | Next::Unsure { due, .. }
        | Next::LookUp { due, .. }
        | Next::Differs { due, .. } => Some(*due),
        Next::Synced { .. } | Next::Ready(_) | Next::CreateAgain | Next::Settled | Next::Failed(_) => None,
    }
}

proptest! {
    #![proptest_config(config(4_000))]

    #[test]
    fn no_create_after_a_doubt_without_an_empty_look_that_began_after_the_settle_window(
        work in work(Operation::LookUp), outcome in outcome(), policy in policy(), moment in moment(),
    ) {
        let next = next(&work, &outcome, &wanted(), &policy, &moment);
        prop_assert!(!matches!(next, Next::Ready(_) | Next::Wait { .. }), "a create without a decision: {next:?}");
        prop_assert!(due(&next).is_none_or(|due| due >= moment.now), "{next:?}");
        if next == Next::CreateAgain {
            let Outcome::Found(hits) = &outcome else { panic!("{outcome:?}") };
            let code = Some(wanted().code);
            prop_assert!(hits.iter().all(|hit| hit.confirmation_code.is_some() && hit.confirmation_code != code));
            prop_assert!(work.attempts < policy.max_attempts, "more tries than allowed");
            if let Some(since) = work.doubt_since {
                prop_assert!(settled(since, moment.started, policy.settle) && work.look_ups >= 3);
            }
        }
        if let (Some(before), Next::Doubt { since, .. }) = (work.doubt_since, &next) {
            let restarted = work.look_ups < 3 && settled(before, moment.started, policy.settle);
            let expected = if before > moment.now || restarted { moment.now } else { before };
            prop_assert!(since.is_some_and(|since| since == before || since == expected), "the window was cut short");
        }
    }

    #[test]
    fn a_look_up_that_failed_changes_nothing_but_the_time(
        work in work(Operation::LookUp), outcome in unanswered(), policy in policy(), moment in moment(),
    ) {
        let Next::Doubt { look_ups, creates, counted, verdict, .. } = next(&work, &outcome, &wanted(), &policy, &moment)
        else { panic!("it decided something") };
        prop_assert_eq!((look_ups, creates, counted), (work.look_ups, work.creates, true));
        let token = matches!(outcome, Outcome::TokenRejected { .. })
            && work.problem.is_some_and(|problem| problem.class == ErrorClass::Credentials);
        prop_assert_eq!(verdict, work.verdict.filter(|_| !token));
    }

    #[test]
    fn a_create_that_may_have_taken_effect_is_in_doubt_and_a_refusal_is_no_retry(
        work in work(Operation::Create), outcome in outcome(), policy in policy(), moment in moment(),
    ) {
        let next = next(&work, &outcome, &wanted(), &policy, &moment);
        prop_assert!(due(&next).is_none_or(|due| due >= moment.now), "{next:?}");
        match outcome {
            Outcome::Unknown { .. } | Outcome::Unavailable { .. } | Outcome::Found(_) | Outcome::Token { .. } => {
                let Next::Doubt { since, look_ups, creates, counted, verdict, .. } = next else { panic!("{next:?}") };
                prop_assert_eq!((since, look_ups, creates, verdict), (Some(moment.now), 0, work.creates + 1, None));
                prop_assert!(counted || moment.outage);
            }
            Outcome::Refused { class, .. } if class == ErrorClass::DatesTaken || work.creates > 0 => {
                prop_assert!(matches!(next, Next::Doubt { verdict, .. } if verdict == Some(class)), "{next:?}");
            }
            Outcome::Refused { class, .. } => {
                prop_assert!(matches!(&next, Next::Failed(problem) if problem.class == class), "{next:?}");
            }
            Outcome::NotSent { .. } if !moment.outage => {
                let last = work.attempts >= policy.max_attempts;
                prop_assert_eq!(matches!(next, Next::Failed(_)), last);
                let waits = matches!(next, Next::Wait { counted: true, .. });
                prop_assert!(waits != last);
            }
            _ => prop_assert!(next != Next::CreateAgain),
        }
    }

    #[test]
    fn a_reservation_id_is_never_dropped(
        operation in prop_oneof![Just(Operation::Create), Just(Operation::LookUp)], hits in vec(hit(), 1..4),
        work in work(Operation::LookUp), policy in policy(), moment in moment(),
    ) {
        let work = Work { operation, ..work };
        let wanted = wanted();
        let mine = |hit: &Hit| hit.confirmation_code.as_ref().is_none_or(|code| *code == wanted.code);
        let (outcome, ids) = match operation {
            Operation::LookUp => {
                let ids = hits.iter().filter(|hit| mine(hit)).map(|hit| hit.reservation_id.clone()).collect();
                (Outcome::Found(hits), ids)
            }
            _ => (Outcome::Created { reservation_id: "r1".to_owned(), confirmation_code: None, total: None }, vec!["r1".to_owned()]),
        };
        match next(&work, &outcome, &wanted, &policy, &moment) {
            Next::Synced { reservation_id, adopted, warning, .. } => {
                prop_assert!(ids.contains(&reservation_id));
                prop_assert_eq!((adopted, warning.is_some()), (operation == Operation::LookUp, ids.len() > 1));
            }
            Next::Failed(problem) if !ids.is_empty() => {
                prop_assert!(ids.iter().any(|id| problem.sentence.contains(id.as_str())), "{}", problem);
            }
            other => prop_assert!(ids.is_empty(), "{:?} dropped {:?}", other, ids),
        }
    }
}

proptest! {
    #![proptest_config(config(1_500))]

    #[test]
    fn a_booking_ends_with_one_reservation_or_none_under_any_faults(
        policy in policy(), plans in vec(fault_plan(), 0..60),
    ) {
        let mut life = Life::new(policy);
        let faultless = std::iter::repeat(FaultPlan::none());
        for plan in plans.into_iter().chain(faultless).take(300) {
            if life.end.is_some() {
                break;
            }
            life.step(&plan)?;
        }
        life.check_end()?;
    }
}

/// What is held, as far as is known after its last write at second 0, which may be forgotten.
fn held(remembered: bool) -> (Work, Known) {
    let known = Known {
        reservation_id: "r1".to_owned(),
        code: wanted().code,
        aspects: wanted().aspects(),
        verified: true,
        changed_at: remembered.then(|| at(0)),
        ..Known::default()
    };
    let work = Work {
        operation: Operation::ReadBack,
        attempts: 1,
        doubt_since: None,
        look_ups: 0,
        failed_reads: 0,
        creates: 0,
        problem: None,
        verdict: None,
        absent: None,
    };
    (work, known)
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn what_shows_within_the_delay_of_reads_is_never_called_gone(
        policy in policy(), remembered in any::<bool>(), first in 0_i64..120_000, lag in 0_i64..90_000, took in 1_i64..5_000,
    ) {
        let (mut work, known) = held(remembered);
        let millis = |millis: i64| at(0) + chrono::TimeDelta::milliseconds(millis);
        let mut now = millis(first);
        for _ in 0..40 {
            let moment = Moment {
                started: now, now: now + chrono::TimeDelta::milliseconds(took), jitter: 0.5, outage: false, token_is_new: false,
            };
            let hits = if now >= millis(lag) { vec![our_hit("r1".to_owned())] } else { vec![] };
            match next_of_held(&work, &known, &Outcome::Found(hits), &wanted(), &policy, &moment) {
                Next::Unsure { due, since, .. } => {
                    (work.doubt_since, now) = (since, due.max(moment.now));
                }
                Next::Settled => return Ok(()),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert!(false, "looked for without end");
    }

    #[test]
    fn reads_that_are_never_answered_end_and_use_up_no_attempt(
        policy in policy(), outcomes in vec(unanswered(), 1..60), operation in prop_oneof![Just(Operation::ReadBack), Just(Operation::ListPayments)],
    ) {
        let (mut work, known) = held(true);
        work.operation = operation;
        let mut reads = 0;
        for outcome in outcomes {
            let moment = Moment { started: at(9), now: at(9), jitter: 0.5, outage: false, token_is_new: false };
            let own = matches!(outcome, Outcome::Unknown { .. } | Outcome::Unavailable { .. } | Outcome::Created { .. } | Outcome::Token { .. });
            reads += u32::from(own);
            match next_of_held(&work, &known, &outcome, &wanted(), &policy, &moment) {
                Next::Unsure { counted, failed_reads, .. } => {
                    prop_assert!(own && !counted && reads < policy.max_attempts, "{reads} reads");
                    work.failed_reads = failed_reads;
                }
                Next::Wait { counted, .. } => prop_assert!(!own && !counted),
                Next::Failed(_) => {
                    let refused = matches!(outcome, Outcome::Refused { .. });
                    prop_assert!(refused || own && reads == policy.max_attempts, "after {reads} reads");
                    return Ok(());
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
