//! What each kind of reply comes to. The bodies of refusals are in `outcome/refusal_tests.rs`,
//! their shapes in `outcome/error_text_tests.rs`.

use chrono::TimeZone;

use super::*;

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
        // Also with a body that speaks of dates: nothing was done.
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
    for body in ["", "{}", r#"{"access_token":""}"#, r#"{"access_token":"a\r\nb"}"#, r#"{"access_token":7}"#] {
        assert!(matches!(token(body), Outcome::Unknown { .. }), "{body}");
    }
}
