//! Unit tests of `redact`: cleaning and masking of texts.

use serde_json::json;

use super::*;

#[test]
fn a_secret_prints_as_stars_wherever_it_is() {
    let secret = Secret::new("s3cret-value".to_owned());
    let inside = Some(vec![secret.clone()]);
    assert_eq!(format!("{inside:?} {secret}"), "Some([***]) ***");
    assert_eq!(format!("{secret:#?}"), "***");
    assert_eq!(secret.reveal(), "s3cret-value");
    assert!(!secret.is_empty());
    assert!(Secret::default().is_empty());
    assert_eq!(secret, secret.clone());
    assert_ne!(secret, Secret::default());
}

#[test]
fn clean_makes_one_line() {
    assert_eq!(clean("a\r\n\tb\u{b}c\0\0d\u{7f}e\u{85}f\u{2028}g", 99), "a b c d e f g");
    assert_eq!(clean("\u{202e}abc\u{2066}", 99), "abc");
    assert_eq!(clean(" \n\0 ", 99), "");
    assert_eq!(clean("", 99), "");
}

#[test]
fn clean_cuts_between_characters() {
    assert_eq!(clean("äöüß", 4), "äöüß");
    assert_eq!(clean("äöüß", 3), "äö…");
    assert_eq!(clean("äöüß", 1), "…");
    assert_eq!(clean("äöüß", 0), "");
    assert_eq!(clean("", 0), "");
    assert_eq!(clean("ab cd", 4), "ab…", "no space before the ellipsis");
    assert_eq!(clean("ab   ", 2), "ab", "trailing space needs no cut");
    assert_eq!(clean("ab", usize::MAX), "ab");
}

#[test]
fn mask_covers_overlaps_and_nested_secrets() {
    assert_eq!(mask("token=abcdef;", &["abcdef"]), "token=***;");
    assert_eq!(mask("abcabcab", &["abcab"]), "***", "two overlapping occurrences");
    assert_eq!(mask("xabcdefy", &["abcd", "abcdef"]), "x***y", "one contains the other");
    assert_eq!(mask("xabcdefghy", &["abcdef", "efgh"]), "x***y", "one overlaps the other");
    assert_eq!(mask("aaaaaaaa", &["aaaa"]), "***");
    assert_eq!(mask("abcdabcd", &["abcd"]), "***", "side by side");
    assert_eq!(mask("pässwörd!", &["pässwörd"]), "***!");
}

#[test]
fn mask_leaves_short_secrets_and_other_text() {
    assert_eq!(mask("to be or not", &["to", "", "be"]), "to be or not");
    assert_eq!(mask("to be or not", &[]), "to be or not");
    assert_eq!(mask("", &["abcd"]), "");
}

#[test]
fn a_mask_that_reads_like_another_secret_is_masked_too() {
    assert_eq!(mask("abcdX", &["abcd", "***X"]), "***");
    assert_eq!(mask("****", &["****"]), "***");
}

#[test]
fn personal_values_are_hidden_at_any_depth() {
    let body = json!({
        "checkIn": "2027-05-10",
        "guest": {"FirstName": "Ada", "email": null, "address": {"city": "Berlin"}, "hometown": "x"},
        "list": [{"notes": {"guest": "late"}}, 3, "plain"],
    });
    let shown = json!({
        "checkIn": "2027-05-10",
        "guest": {"FirstName": "***", "email": "***", "address": "***", "hometown": "x"},
        "list": [{"notes": "***"}, 3, "plain"],
    });
    assert_eq!(mask_personal(&body), shown);
    assert_eq!(mask_personal(&json!("Ada")), json!("Ada"));
}
