//! Property tests of `classify`: every reply has an outcome, and the outcome never claims more than the reply proves.

use chrono::{DateTime, TimeZone, Utc};
use guestly_sync::domain::error::ErrorClass;
use guestly_sync::domain::operation::Operation;
use guestly_sync::domain::outcome::{Answer, Outcome, Reply, classify, error_text, parse_retry_after};
use proptest::prelude::*;

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn operation() -> impl Strategy<Value = Operation> {
    let updates = [Operation::Status, Operation::Dates, Operation::Guests, Operation::Relocate, Operation::Notes];
    let reads = [Operation::LookUp, Operation::ReadBack];
    let payments = [Operation::ListPayments, Operation::RecordPayment];
    prop::sample::select([&updates[..], &reads[..], &payments[..], &[Operation::Token, Operation::Create]].concat())
}

/// Texts that an API may quote: with control characters, addresses, telephone numbers.
fn quoted() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z]{1,8}( [a-z.]{1,8}@[a-z]{1,8}\\.(org|com))?[ \\u{0}\\n]?(\\+?[0-9 /()-]{0,20})?",]
}

/// Bodies: random text, and each shape of error body around a text.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let shaped = (quoted(), 0..12usize, any::<prop::sample::Index>()).prop_map(|(text, shape, cut)| {
        let text = serde_json::Value::from(text);
        let body = match shape {
            0 => format!(r#"{{"statusCode":400,"message":{text},"error":"Bad Request"}}"#),
            1 => text.to_string(),
            2 => format!(r#"{{"error":{{"code":"UNAUTHORIZED","message":{text}}}}}"#),
            3 => format!(r#"{{"message":{text},"code":{text},"data":{{}}}}"#),
            4 => format!(r#"{{"message":[{text},{text}]}}"#),
            5 => format!(r#"{{"error":"invalid_client","error_description":{text}}}"#),
            6 => format!("<html><title>{text}</title><body>{text}"),
            7 => format!(r#"{{"reservationId":{text},"confirmationCode":{text}}}"#),
            8 => format!(r#"{{"results":[{{"_id":{text},"checkIn":{text},"total":{text}}}]}}"#),
            9 => format!(r#"{{"access_token":{text},"expires_in":{text}}}"#),
            10 => format!("{{\"message\":{text}"),
            _ => format!("{}{text}", "[".repeat(300)),
        };
        let mut bytes = body.into_bytes();
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        bytes
    });
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), shaped]
}

fn answer(status: u16, body: Vec<u8>, retry_after: Option<String>) -> Reply {
    Reply::Answer(Answer { status, body, retry_after, ..Answer::default() })
}

fn sentence(outcome: &Outcome) -> Option<&str> {
    match outcome {
        outcome if outcome.is_success() => None,
        Outcome::Refused { sentence, .. }
        | Outcome::TokenRejected { sentence, .. }
        | Outcome::Throttled { sentence, .. }
        | Outcome::NotSent { sentence }
        | Outcome::Unsendable { sentence }
        | Outcome::Unavailable { sentence, .. }
        | Outcome::Unknown { sentence } => Some(sentence),
        other => panic!("{other:?}"),
    }
}

fn longest_digit_run(text: &str) -> usize {
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.map(str::len).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_answer_has_an_outcome_that_fits_its_status(
        operation in operation(),
        status in prop_oneof![100u16..600, any::<u16>()],
        body in body(),
        retry_after in proptest::option::of(any::<String>()),
    ) {
        let outcome = classify(operation, &answer(status, body, retry_after), now());
        let fits = match &outcome {
            Outcome::Created { .. } => operation == Operation::Create && (200..300).contains(&status),
            Outcome::Found(_) => operation.is_read() && (200..300).contains(&status),
            Outcome::Updated { .. } => operation.is_update() && (200..300).contains(&status),
            Outcome::Payments(_) => {
                matches!(operation, Operation::ListPayments | Operation::RecordPayment) && (200..300).contains(&status)
            }
            Outcome::Token { .. } => operation == Operation::Token && (200..300).contains(&status),
            // A token that cannot be sent.
            Outcome::Refused { class: ErrorClass::Credentials, .. } if (200..300).contains(&status) => {
                operation == Operation::Token
            }
            Outcome::Refused { .. } => (300..500).contains(&status) && status != 429 && status != 408,
            Outcome::TokenRejected { .. } => matches!(status, 400 | 401 | 403),
            Outcome::Throttled { .. } => status == 429 || operation == Operation::Token,
            Outcome::Unavailable { .. } => matches!(status, 408 | 425 | 500..600),
            Outcome::Unknown { .. } => !(300..600).contains(&status),
            Outcome::NotSent { .. } | Outcome::Unsendable { .. } => false,
        };
        prop_assert!(fits, "{operation:?} {status}: {outcome:?}");
    }

    #[test]
    fn sentences_can_be_stored(
        operation in operation(),
        status in 100u16..600,
        body in body(),
    ) {
        let outcome = classify(operation, &answer(status, body, None), now());
        if let Some(sentence) = sentence(&outcome) {
            prop_assert!(!sentence.trim().is_empty());
            prop_assert!(!sentence.contains(|c: char| c.is_control() || c == '@'), "{sentence:?}");
            prop_assert!(longest_digit_run(sentence) < 7, "{sentence:?}");
            prop_assert!(sentence.chars().count() <= 400, "{sentence:?}");
        }
    }

    #[test]
    fn a_lost_reply_stays_unknown(operation in operation(), reason in any::<String>()) {
        let outcome = classify(operation, &Reply::Lost { reason: reason.clone() }, now());
        let unknown = matches!(outcome, Outcome::Unknown { .. });
        prop_assert!(unknown, "{outcome:?}");
        let outcome = classify(operation, &Reply::NotSent { reason }, now());
        let not_sent = matches!(outcome, Outcome::NotSent { .. });
        prop_assert!(not_sent, "{outcome:?}");
    }

    #[test]
    fn a_create_needs_an_id_to_count(status in 200u16..300, body in body()) {
        let has_id = serde_json::from_slice::<serde_json::Value>(&body).is_ok_and(|value| {
            ["reservationId", "_id", "id"].iter().any(|name| value[*name].is_string())
        });
        match classify(Operation::Create, &answer(status, body, None), now()) {
            Outcome::Created { reservation_id, .. } => {
                prop_assert!(has_id);
                prop_assert!(!reservation_id.is_empty());
                prop_assert!(reservation_id.bytes().all(|b| b.is_ascii_graphic()));
            }
            other => {
                let unknown = matches!(other, Outcome::Unknown { .. });
                prop_assert!(unknown, "{other:?}");
            }
        }
    }

    #[test]
    fn taken_dates_in_any_4xx(
        status in (400u16..500).prop_filter("not a refusal", |s| ![408, 425, 429].contains(s)),
        message in prop_oneof![
            Just("AVAILABILITY_ERROR - Date/unit is not available"),
            Just("LISTING_IS_NOT_AVAILABLE"),
            Just("LISTING_CALENDAR_BLOCKED"),
        ],
        shape in 0..4,
    ) {
        let body = match shape {
            0 => format!(r#"{{"statusCode":{status},"message":"{message}","error":"Bad Request"}}"#),
            1 => format!(r#"{{"error":{{"code":"X","message":"{message}"}}}}"#),
            2 => format!(r#"{{"message":["{message}"]}}"#),
            _ => format!(r#""{message}""#),
        };
        let outcome = classify(Operation::Create, &answer(status, body.into_bytes(), None), now());
        let taken = matches!(outcome, Outcome::Refused { class: ErrorClass::DatesTaken, .. });
        prop_assert!(taken, "{outcome:?}");
    }

    #[test]
    fn waits_are_bounded(value in any::<String>(), seconds in any::<f64>(), at in any::<i32>()) {
        let date = Utc.timestamp_opt(i64::from(at), 0).unwrap().to_rfc2822();
        for value in [value, seconds.to_string(), date] {
            if let Some(wait) = parse_retry_after(&value, Operation::Create, now()) {
                prop_assert!(wait.as_secs() <= 3600);
            }
        }
    }

    #[test]
    fn error_texts_are_short_and_clean(body in body()) {
        if let Some(text) = error_text(&body) {
            prop_assert!(!text.is_empty() && text.chars().count() <= 300);
            prop_assert!(!text.contains(char::is_control));
        }
    }
}
