//! Generators of outcomes, hits and conditions. Used by `transition_props.rs`.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use guestly_sync::domain::booking::{Booking, Labels};
use guestly_sync::domain::error::ErrorClass;
use guestly_sync::domain::field::Row;
use guestly_sync::domain::outcome::{Hit, Outcome};
use guestly_sync::domain::redact::Secret;
use guestly_sync::domain::reservation::{Reservation, Tables};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::life::{Conditions, Fault};

/// Seconds since the beginning.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
}

pub fn wanted() -> Reservation {
    let values = "BK-0000123|flat-1||Ada|Example|ada@example.org||2027-05-10|2027-05-14|2||||640.00|confirmed|paid";
    let values = values.split('|').map(|text| Some(text.to_owned())).collect();
    let row = Row { booking_id: "7".to_owned(), values, ..Row::default() };
    let pair = |key: &str, value: &str| HashMap::from([(key.to_owned(), value.to_owned())]);
    let tables = Tables { listings: pair("flat-1", "L1"), statuses: pair("confirmed", "confirmed") };
    let booking = Booking::parse(&row, &Labels::default());
    let reservation = booking.and_then(|booking| Reservation::map(booking, &tables, "website"));
    reservation.unwrap_or_else(|problem| panic!("{problem}"))
}

/// Our reservation as Guestly shows it.
pub fn our_hit(reservation_id: String) -> Hit {
    Hit {
        reservation_id,
        status: Some("confirmed".to_owned()),
        confirmation_code: Some("BK-0000123".to_owned()),
        origin_id: Some("7".to_owned()),
        listing_ids: vec!["L1".to_owned()],
        check_in: NaiveDate::from_ymd_opt(2027, 5, 10),
        check_out: NaiveDate::from_ymd_opt(2027, 5, 14),
        created_at: None,
        total: None,
        ..Hit::default()
    }
}

pub fn class() -> impl Strategy<Value = ErrorClass> {
    select(ErrorClass::ALL.to_vec())
}

pub fn jitter() -> impl Strategy<Value = f64> {
    0.0..1.0
}

/// A hit of our code or another one, of the same booking or another one.
pub fn hit() -> impl Strategy<Value = Hit> {
    let code = select(vec![None, Some("BK-0000123"), Some("BK-0000124")]);
    let listing = select(vec!["L1", "L2"]);
    (0..9, code, listing, option::of((0_i64..5).prop_map(at))).prop_map(|(id, code, listing, created_at)| Hit {
        confirmation_code: code.map(str::to_owned),
        listing_ids: vec![listing.to_owned()],
        created_at,
        ..our_hit(format!("r{id}"))
    })
}

fn retry_after() -> impl Strategy<Value = Option<Duration>> {
    option::of((0_u64..3_600).prop_map(Duration::from_secs))
}

/// Any outcome that does not answer a look-up.
pub fn unanswered() -> impl Strategy<Value = Outcome> {
    let sentence = || "said".to_owned();
    let token = Outcome::Token { access_token: Secret::new("t".to_owned()), expires_in: Duration::from_secs(86_400) };
    let other = vec![
        Outcome::Created { reservation_id: "r1".to_owned(), confirmation_code: None, total: None },
        token,
        Outcome::TokenRejected { status: 401, sentence: sentence() },
        Outcome::NotSent { sentence: sentence() },
        Outcome::Unknown { sentence: sentence() },
    ];
    prop_oneof![
        5 => select(other),
        2 => class().prop_map(move |class| Outcome::Refused { class, sentence: sentence() }),
        1 => retry_after().prop_map(move |retry_after| Outcome::Throttled { retry_after, sentence: sentence() }),
        2 => retry_after().prop_map(move |retry_after| Outcome::Unavailable { retry_after, sentence: sentence() }),
    ]
}

pub fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        2 => vec(hit(), 0..3).prop_map(Outcome::Found),
        1 => Just(Outcome::Found(vec![])),
        3 => unanswered(),
    ]
}

/// The conditions of one call. A reservation appears at most `SETTLE` after the call.
pub fn conditions() -> impl Strategy<Value = Conditions> {
    let appears = option::weighted(0.6, prop_oneof![0_i64..=90_000, Just(90_000)]);
    let fault = prop_oneof![
        2 => Just(Fault::None),
        4 => appears.clone().prop_map(|appears| Fault::Lost { appears }),
        2 => appears.prop_map(|appears| Fault::Unavailable { appears }),
        1 => Just(Fault::NotSent),
        1 => Just(Fault::Throttled),
        1 => Just(Fault::TokenRejected),
        1 => Just(Fault::DatesTaken),
        1 => select(vec![ErrorClass::Refused, ErrorClass::UnknownListing, ErrorClass::InvalidBooking]).prop_map(Fault::Refused),
    ];
    let jump = prop_oneof![4 => Just(0_i64), 1 => -4_000_i64..0, 1 => 90_i64..4_000];
    (fault, 0_i64..40_000, jump, jitter(), any::<(bool, bool)>()).prop_map(|(fault, took, jump, jitter, flags)| {
        Conditions {
            fault,
            took: TimeDelta::milliseconds(took),
            jump: TimeDelta::seconds(jump),
            jitter,
            outage: flags.0,
            token_is_new: flags.1,
        }
    })
}
