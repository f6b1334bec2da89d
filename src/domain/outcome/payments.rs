//! The payments in an answer of the legacy endpoint or of its successor, whose field names are not public yet. Part of
//! `domain::outcome`; pure.

use serde_json::Value;

use super::hits::contains_error;

/// The notes of the payments in a 2xx body: a bare array, an array under one of the usual names, or one payment. `None` for
/// anything else: a list that cannot be read must not count as "not recorded".
pub(super) fn parse_payments(body: &[u8]) -> Option<Vec<String>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    if contains_error(&value) {
        return None;
    }
    let rows = match &value {
        Value::Array(rows) => rows.iter().collect(),
        Value::Object(map) => {
            match ["payments", "results", "data"].iter().find_map(|name| map.get(*name)?.as_array()) {
                Some(rows) => rows.iter().collect(),
                None => vec![&value],
            }
        }
        _ => return None,
    };
    rows.iter().all(|row| is_payment(row)).then(|| rows.iter().filter_map(|row| note(row)).collect())
}

fn is_payment(row: &Value) -> bool {
    row.get("amount").is_some_and(|amount| amount.is_number() || amount.is_string())
}

fn note(row: &Value) -> Option<String> {
    Some(row.get("note")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_read_and_nothing_else_counts_as_a_list() {
        let payment = r#"{"_id":"p1","amount":"420.00","note":"a"}"#;
        for (body, notes) in [
            ("[]".to_owned(), Some(vec![])),
            (format!("[{payment},{{\"amount\":5,\"note\":null}}]"), Some(vec!["a"])),
            (format!(r#"{{"results":[{payment}]}}"#), Some(vec!["a"])),
            (format!(r#"{{"payments":[{payment}],"count":1}}"#), Some(vec!["a"])),
            (payment.to_owned(), Some(vec!["a"])),
            ("{}".to_owned(), None),
            (r#"{"payments":null}"#.to_owned(), None),
            (r#"{"payments":[],"error":"not now"}"#.to_owned(), None),
            (r#"{"message":"ok"}"#.to_owned(), None),
            (r#"["a"]"#.to_owned(), None),
            ("null".to_owned(), None),
            ("<html>".to_owned(), None),
        ] {
            let notes = notes.map(|notes: Vec<&str>| notes.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(parse_payments(body.as_bytes()), notes, "{body}");
        }
    }
}
