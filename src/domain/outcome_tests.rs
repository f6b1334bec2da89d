//! Unit tests of `outcome`: the outcome of each kind of reply. The bodies of refusals are in `outcome/refusal_tests.rs`,
//! their shapes in `outcome/error_text_tests.rs`.

use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};

use super::*;
use crate::domain::error::ErrorClass;
use crate::domain::operation::Operation;
use crate::domain::redact::Secret;

pub(super) fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2027, 1, 3, 10, 0, 0).unwrap()
}

pub(super) fn answer(status: u16, body: impl AsRef<[u8]>) -> Reply {
    Reply::Answer(Answer { status, body: body.as_ref().to_vec(), whole: true, ..Answer::default() })
}

pub(super) fn create(status: u16, body: &str) -> Outcome {
    classify(Operation::Create, &answer(status, body), now())
}

pub(super) fn refused(outcome: Outcome) -> (ErrorClass, String) {
    match outcome {
        Outcome::Refused { class, sentence } => (class, sentence),
        other => panic!("not refused: {other:?}"),
    }
}

pub(super) const TAKEN: &str =
    r#"{"statusCode":400,"message":"AVAILABILITY_ERROR - Date/unit is not available","error":"Bad Request"}"#;
pub(super) const GATEWAY: &str = r#"{"message":"You don't have permission to access, please contact Guesty support."}"#;

#[test]
fn personal_data_stays_out_of_sentences() {
    let body = r#"{"message":["guest.email ada@example.org must be an email","phone +49 (170) 123-45 67 is taken","0170/1234567","from 2027-05-10 to 2027-05-14 for 3 guests","ada%40example.org"]}"#;
    let (_, sentence) = refused(create(422, body));
    for hidden in ["ada", "170", "4567"] {
        assert!(!sentence.contains(hidden), "{sentence}");
    }
    assert!(sentence.contains("from 2027-05-10 to 2027-05-14 for 3 guests"), "{sentence}");
}

#[test]
fn redirects_are_refused() {
    for status in [301, 302, 303, 304, 307, 308] {
        let (class, sentence) = refused(create(status, "<a href='https://elsewhere.example'>"));
        assert_eq!(class, ErrorClass::Refused);
        assert!(sentence.contains("redirect") && !sentence.contains("elsewhere"));
    }
}

#[test]
fn pauses_and_outages() {
    let mut reply = Answer { status: 429, retry_after: Some("17".into()), ..Answer::default() };
    for operation in [Operation::Token, Operation::Create, Operation::LookUp] {
        // Also if the body is about dates: a throttled call has no effect.
        for body in ["", TAKEN, "<html>", r#"{"message":"Too Many Requests"}"#] {
            reply.body = body.into();
            match classify(operation, &Reply::Answer(reply.clone()), now()) {
                Outcome::Throttled { retry_after, .. } => {
                    assert_eq!(retry_after, Some(Duration::from_secs(17)))
                }
                other => panic!("{other:?}"),
            }
        }
    }
    for status in [408, 425, 500, 502, 503, 504, 599] {
        reply.status = status;
        match classify(Operation::Create, &Reply::Answer(reply.clone()), now()) {
            Outcome::Unavailable { retry_after, .. } => {
                assert_eq!(retry_after, Some(Duration::from_secs(17)))
            }
            other => panic!("{status}: {other:?}"),
        }
    }
    for status in [0, 100, 101, 199, 600, 999, u16::MAX] {
        assert!(matches!(create(status, TAKEN), Outcome::Unknown { .. }), "{status}");
    }
}

#[test]
fn no_answer() {
    let not_sent = Reply::NotSent { reason: "refused\n".into() };
    assert_eq!(classify(Operation::Create, &not_sent, now()), Outcome::NotSent { sentence: "refused".into() });
    let lost = Reply::Lost { reason: "cut".into() };
    assert_eq!(classify(Operation::Create, &lost, now()), Outcome::Unknown { sentence: "cut".into() });
}

#[test]
fn created() {
    for (body, id, code) in [
        (
            r#"{"reservationId":"64b1f0aa11bb22cc33dd9001","confirmationCode":"GS-7K3M9"}"#,
            "64b1f0aa11bb22cc33dd9001",
            Some("GS-7K3M9"),
        ),
        (r#"{"_id":"r1","extra":{"a":[1]},"confirmationCode":null}"#, "r1", None),
        (r#"{"reservationId":null,"_id":"","id":"r2"}"#, "r2", None),
    ] {
        let expected =
            Outcome::Created { reservation_id: id.into(), confirmation_code: code.map(str::to_owned), total: None };
        assert_eq!(create(201, body), expected);
        assert_eq!(create(200, body), expected);
    }
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "\"ok\"",
        r#"{"reservationId":12}"#,
        r#"{"reservationId":"a\u0000b"}"#,
        r#"{"reservationId":"a b"}"#,
        r#"{"reservationId":"r1""#,
        "<html>",
        TAKEN,
    ] {
        assert!(matches!(create(201, body), Outcome::Unknown { .. }), "{body}");
    }
}

#[test]
fn tokens() {
    let token = |body: &str| classify(Operation::Token, &answer(200, body), now());
    for (body, seconds) in [
        (r#"{"token_type":"Bearer","expires_in":3600,"access_token":"jwt.a-b_c","scope":"open-api"}"#, 3600),
        (r#"{"access_token":"jwt.a-b_c","expires_in":"7200"}"#, 7200),
        (r#"{"access_token":"jwt.a-b_c"}"#, 86_400),
        (r#"{"access_token":"jwt.a-b_c","expires_in":null}"#, 86_400),
        (r#"{"access_token":"jwt.a-b_c","expires_in":-5}"#, 86_400),
        (r#"{"access_token":"jwt.a-b_c","expires_in":1e300}"#, 86_400),
        (r#"{"access_token":"jwt.a-b_c","expires_in":"NaN"}"#, 86_400),
    ] {
        let expected =
            Outcome::Token { access_token: Secret::new("jwt.a-b_c".into()), expires_in: Duration::from_secs(seconds) };
        assert_eq!(token(body), expected, "{body}");
    }
    for body in ["", "{}", r#"{"access_token":""}"#, r#"{"access_token":7}"#] {
        assert!(matches!(token(body), Outcome::Unknown { .. }), "{body}");
    }
}

#[test]
fn a_token_that_cannot_be_sent_is_refused_in_plain_words() {
    for (value, part) in
        [(r"a\r\nb".to_owned(), "characters"), ("a b".to_owned(), "characters"), ("a".repeat(61_440), "60 kB")]
    {
        let body = format!(r#"{{"access_token":"{value}"}}"#);
        let outcome = classify(Operation::Token, &answer(200, &body), now());
        let Outcome::Refused { class: ErrorClass::Credentials, sentence } = outcome else { panic!("{outcome:?}") };
        assert!(sentence.contains(part) && sentence.len() < 200, "{sentence}");
    }
}

#[test]
fn an_id_that_cannot_be_kept_is_no_id() {
    let long = "r".repeat(201);
    for id in ["test-1", " r1", r"r1\n", "r 1", r"r\u0000", &long] {
        let created =
            classify(Operation::Create, &answer(201, format!(r#"{{"reservationId":"{id}","_id":"r2"}}"#)), now());
        assert!(matches!(created, Outcome::Unknown { .. }), "{id}: {created:?}");
        let found = classify(Operation::LookUp, &answer(200, format!(r#"{{"results":[{{"_id":"{id}"}}]}}"#)), now());
        assert!(matches!(found, Outcome::Unknown { .. }), "{id}: {found:?}");
    }
    for id in ["tested", "64b1f0aa11bb22cc33dd9001", &"r".repeat(200)] {
        let created = classify(Operation::Create, &answer(201, format!(r#"{{"reservationId":"{id}"}}"#)), now());
        assert!(matches!(created, Outcome::Created { .. }), "{id}: {created:?}");
    }
}

#[test]
fn an_answer_that_is_no_list_is_not_an_empty_one() {
    for body in
        ["{}", "null", r#"{"results":null}"#, r#"{"results":{}}"#, r#"{"results":[],"error":"x"}"#, "<html>", ""]
    {
        for operation in [Operation::LookUp, Operation::ReadBack, Operation::ListPayments] {
            let outcome = classify(operation, &answer(200, body), now());
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{operation:?} {body}: {outcome:?}");
        }
    }
    let more = classify(Operation::LookUp, &answer(200, r#"{"results":[],"pagination":{"hasMore":true}}"#), now());
    assert!(matches!(more, Outcome::Unknown { .. }), "{more:?}");
    let empty = classify(Operation::LookUp, &answer(200, r#"{"results":[],"errors":[],"error":null}"#), now());
    assert_eq!(empty, Outcome::Found(vec![]));
}
