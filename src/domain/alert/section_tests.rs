//! Unit tests of `alert::section`: the advice of a mail.

use super::*;

fn booking(class: Option<ErrorClass>, placed: bool, uncertain: bool) -> AlertBooking {
    AlertBooking { class, placed, uncertain, ..AlertBooking::default() }
}

#[test]
fn manual_entry_is_advised_only_without_a_reservation() {
    let classes: Vec<Option<ErrorClass>> = ErrorClass::ALL.into_iter().map(Some).chain([None]).collect();
    let mut named = 0;
    for kind in AlertKind::ALL {
        for class in &classes {
            for (placed, uncertain) in [(false, false), (true, false), (false, true), (true, true)] {
                let text = advice(kind, &booking(*class, placed, uncertain)).to_lowercase();
                let manual = text.contains("by hand") || text.contains("manually");
                let certain = !placed && !uncertain && !matches!(class, Some(ErrorClass::UnknownOutcome));
                assert!(!manual || certain, "{kind:?} {class:?} {placed} {uncertain}: {text}");
                named += u32::from(manual);
            }
        }
    }
    assert!(named > 0, "no advice mentions manual entry");
}

#[test]
fn the_advice_says_that_guestly_has_the_reservation() {
    let holds = "Guestly has this reservation: do not create it again. Compare it with the booking.";
    let uncertain = "Guestly may have this booking: do not create it again. Search Guestly for this reference.";
    for kind in [AlertKind::BookingFailed, AlertKind::Stale] {
        for class in [ErrorClass::Unavailable, ErrorClass::Throttled, ErrorClass::UnknownOutcome, ErrorClass::Refused] {
            assert_eq!(advice(kind, &booking(Some(class), true, false)), holds, "{kind:?} {class:?}");
        }
        for class in [ErrorClass::Unavailable, ErrorClass::Throttled, ErrorClass::UnknownOutcome] {
            assert_eq!(advice(kind, &booking(Some(class), false, true)), uncertain, "{kind:?} {class:?}");
        }
        assert_eq!(advice(kind, &booking(None, true, false)), holds);
        assert_eq!(advice(kind, &booking(None, false, true)), uncertain);
    }
}
