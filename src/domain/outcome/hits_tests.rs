//! Unit tests of `outcome::hits`: rows of a look-up, as documented and as observed.

use chrono::TimeZone;

use super::super::tests::{answer, now};
use super::super::{Outcome, classify};
use super::*;
use crate::domain::operation::Operation;

#[test]
fn look_ups() {
    let row = r#"{"reservationId":"r1","status":"confirmed","confirmationCode":"GS-1","originId":"bk-1","checkIn":"2027-05-09T22:00:00.000Z","checkInDateLocalized":"2027-05-10","checkOut":"2027-05-14T09:00:00Z","stay":[{"listingId":"l1","unitId":"u1","unitTypeId":"l1"}],"createdAt":"2027-01-03T10:15:00.000Z","guestsCount":"3","numberOfGuests":{"numberOfAdults":2,"numberOfChildren":1},"money":{"totalPrice":720.5}}"#;
    let hit = Hit {
        reservation_id: "r1".into(),
        status: Some("confirmed".into()),
        confirmation_code: Some("GS-1".into()),
        origin_id: Some("bk-1".into()),
        listing_ids: vec!["l1".into(), "u1".into()],
        check_in: NaiveDate::from_ymd_opt(2027, 5, 10),
        check_out: NaiveDate::from_ymd_opt(2027, 5, 14),
        created_at: Some(Utc.with_ymd_and_hms(2027, 1, 3, 10, 15, 0).unwrap()),
        guests: Some(GuestCount { adults: 2, children: 1, infants: 0, pets: 0 }),
        guests_count: Some(3),
        total: Some("720.5".into()),
    };
    let look_up = |body: &str| classify(Operation::LookUp, &answer(200, body), now());
    assert_eq!(look_up(&format!("[{row}]")), Outcome::Found(vec![hit.clone()]));
    let page = format!(r#"{{"results":[{row},{row}],"pagination":{{"hasMore":false}}}}"#);
    assert_eq!(look_up(&page), Outcome::Found(vec![hit.clone(), hit]));
    assert_eq!(look_up(r#"{"results":[]}"#), Outcome::Found(vec![]));
    assert_eq!(look_up("[]"), Outcome::Found(vec![]));
    for body in [
        "",
        "{}",
        "null",
        "<html>",
        r#"{"results":null}"#,
        r#"{"results":{}}"#,
        "[1]",
        r#"[{"status":"confirmed"}]"#,
        r#"{"results":[{"id":"r1"}"#,
    ] {
        assert!(matches!(look_up(body), Outcome::Unknown { .. }), "{body}");
    }
}

#[test]
fn look_up_rows_with_little_or_odd_content() {
    let body = r#"[{"id":"r1","checkIn":"2027-05-10","checkOut":"soon","stay":[{"checkOutDateLocalized":"2027-05-12"},{"checkOutDateLocalized":"2027-05-14"}],"createdAt":"yesterday","total":"12.50","status":7,"originId":{}},{"_id":"r2","total":"1e9","stay":{},"checkIn":"2027-13-45"}]"#;
    let Outcome::Found(hits) = classify(Operation::LookUp, &answer(200, body), now()) else {
        panic!("not found");
    };
    assert_eq!(hits[0].check_in, NaiveDate::from_ymd_opt(2027, 5, 10));
    assert_eq!(hits[0].check_out, NaiveDate::from_ymd_opt(2027, 5, 14));
    assert_eq!((hits[0].total.as_deref(), hits[0].status.as_deref()), (Some("12.50"), Some("7")));
    assert_eq!((&hits[0].origin_id, hits[0].created_at), (&None, None));
    assert_eq!((&hits[1].total, hits[1].check_in, hits[1].listing_ids.len()), (&None, None, 0));
}
