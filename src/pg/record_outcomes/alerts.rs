//! The alerts that an outcome raises. Part of `pg::record_outcomes`; main thread only.

use super::rows::{Deleted, OutcomeRows};
use crate::domain::alert::AlertKind;
use crate::domain::error::ErrorClass;
use crate::pg::store::alerts::Raised;
use crate::pg::store::queue::QueueState;

/// The alert about a failure, a deletion or a duplicate.
pub(super) fn alert(outcome: &OutcomeRows) -> Option<Raised> {
    if let Some(deleted) = &outcome.deleted {
        let (class, sentence) = match deleted {
            Deleted::Uncertain => (
                Some(ErrorClass::UnknownOutcome),
                "the booking was deleted while its outcome at Guestly was unknown".to_owned(),
            ),
            Deleted::Remote(id) => (None, format!("the booking was deleted, and Guestly has reservation {id}")),
        };
        return Some(Raised {
            booking_id: Some(outcome.booking_id.clone()),
            reference: outcome.reference.clone(),
            class,
            ..Raised::new(AlertKind::Deleted, sentence)
        });
    }
    let failed = outcome
        .queue_update
        .as_ref()
        .filter(|queue_update| queue_update.state == QueueState::Failed || outcome.mismatch)
        .and_then(|queue_update| queue_update.problem.as_ref());
    let adopted = outcome.reservation_update.as_ref().is_some_and(|reservation_update| reservation_update.adopted);
    let doubled = outcome.attempt.as_ref().filter(|_| adopted).and_then(|attempt| attempt.problem.as_ref());
    let (kind, problem) = match (failed, doubled) {
        (Some(problem), _) => (AlertKind::of_failure(problem.class), problem),
        (None, Some(problem)) => (AlertKind::TwoReservations, problem),
        (None, None) => return None,
    };
    Some(Raised {
        booking_id: Some(outcome.booking_id.clone()),
        reference: outcome.reference.clone(),
        arrival: outcome
            .reservation_update
            .as_ref()
            .and_then(|reservation_update| reservation_update.update.snapshot.check_in),
        class: Some(problem.class),
        ..Raised::new(kind, problem.sentence.clone())
    })
}

/// The alert about a price difference. The booking is synced anyway.
pub(super) fn price_alert(outcome: &OutcomeRows) -> Option<Raised> {
    Some(Raised {
        booking_id: Some(outcome.booking_id.clone()),
        reference: outcome.reference.clone(),
        ..Raised::new(AlertKind::PriceDiffers, outcome.price.clone()?)
    })
}
