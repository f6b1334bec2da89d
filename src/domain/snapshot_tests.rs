//! Unit tests of `domain::snapshot`: the choice of the known reservation, and the propagation delay of changes.

use super::*;

#[test]
fn a_change_propagates_for_the_delay_whatever_the_clock_does() {
    let at = |seconds| DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds);
    let remote = RemoteReservation { changed_at: Some(at(100)), ..RemoteReservation::default() };
    let delay = Duration::from_secs(90);
    assert_eq!(remote.propagates_until(delay, at(150)), Some(at(190)));
    assert_eq!(remote.propagates_until(delay, at(190)), None);
    assert_eq!(remote.propagates_until(delay, at(99)), Some(at(190)), "it was written after `now` was read");
    assert_eq!(remote.propagates_until(delay, at(9)), None);
    assert_eq!(RemoteReservation::default().propagates_until(delay, at(150)), None);
}

#[test]
fn the_rows_reservation_counts_if_our_table_has_none() {
    let named = |id: &str| Row { reservation_id: Some(id.to_owned()), ..Row::default() };
    let remote = |id: &str| {
        Some(RemoteReservation { reservation_id: id.to_owned(), verified: true, ..RemoteReservation::default() })
    };
    let found = remote_or_named(None, &named(" 64c0 ")).unwrap().unwrap();
    assert_eq!((found.reservation_id.as_str(), found.verified), ("64c0", false));
    assert_eq!(remote_or_named(remote("64c1"), &named("64c0")), Ok(remote("64c1")), "our own tables know more");
    assert_eq!(remote_or_named(remote("test-7"), &named("64c0")).unwrap().unwrap().reservation_id, "64c0");
    for nothing in ["", "  ", "test-7"] {
        assert_eq!(remote_or_named(None, &named(nothing)), Ok(None), "{nothing:?}");
        assert_eq!(remote_or_named(remote("test-7"), &named(nothing)), Ok(remote("test-7")), "{nothing:?}");
    }
    assert_eq!(remote_or_named(None, &Row::default()), Ok(None));
}

#[test]
fn an_id_that_guestly_cannot_have_given_fails_the_booking() {
    let named = |id: &str| Row { reservation_id: Some(id.to_owned()), ..Row::default() };
    for unusable in ["x".repeat(13_000), "64c0 64c1".to_owned(), "64c0\u{1}".to_owned(), "r\u{e9}s".to_owned()] {
        let problem = remote_or_named(None, &named(&unusable)).unwrap_err();
        assert_eq!(problem.class, ErrorClass::InvalidBooking);
        assert!(problem.sentence.contains("the column guestly_reservation_id") && problem.sentence.contains("NULL"));
        assert!(!problem.sentence.contains(&unusable), "never quoted");
        let remote = RemoteReservation { reservation_id: unusable, ..RemoteReservation::default() };
        let problem = remote_or_named(Some(remote), &Row::default()).unwrap_err();
        assert!(problem.sentence.contains("guestly.reservations.reservation_id"), "{problem}");
    }
}

#[test]
fn stored_names_are_read_back() {
    for state in [PaymentState::ToRecord, PaymentState::NotListed, PaymentState::MaybeRecorded, PaymentState::Recorded]
    {
        assert_eq!(PaymentState::parse(state.as_str()), Some(state));
    }
    assert_eq!(PaymentState::parse(""), None);
}
