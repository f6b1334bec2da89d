//! Property tests of masking, cleaning and the confirmation code.

use guestly_sync::domain::confirmation_code::confirmation_code;
use guestly_sync::domain::redact::{Secret, clean, mask};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::config;

/// Texts of few different letters, so that secrets occur, overlap and contain each other.
fn crowded(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let letter = prop_oneof![Just('a'), Just('b'), Just('*'), Just('ü')];
    vec(letter, length).prop_map(|letters| letters.into_iter().collect())
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn mask_leaves_no_secret(text in crowded(0..60), secrets in vec(crowded(0..8), 0..5)) {
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let masked = mask(&text, &secrets);
        for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
            prop_assert!(!masked.contains(secret));
        }
        prop_assert!(masked.len() <= text.len());
        prop_assert_eq!(mask(&masked, &secrets), masked);
    }

    #[test]
    fn mask_finds_any_secret_in_any_text(before in any::<String>(), secret in ".{4,40}", after in any::<String>()) {
        let masked = mask(&format!("{before}{secret}{after}"), &[&secret]);
        prop_assert!(!masked.contains(&secret));
        prop_assert!(masked.contains("***"));
    }

    #[test]
    fn a_secret_never_prints(value in any::<String>()) {
        let secret = Secret::new(value.clone());
        prop_assert_eq!(format!("{secret}{secret:?}"), "******");
        prop_assert_eq!(secret.reveal(), value);
    }

    #[test]
    fn clean_gives_one_short_line(text in any::<String>(), max_chars in 0_usize..40) {
        let line = clean(&text, max_chars);
        prop_assert!(line.chars().count() <= max_chars);
        prop_assert!(!line.chars().any(char::is_control));
        prop_assert!(!line.contains("  "));
        prop_assert_eq!(line.trim(), &line);
        prop_assert_eq!(clean(&line, max_chars), line);
    }

    #[test]
    fn a_code_depends_only_on_the_booking(id in any::<String>(), other in any::<String>(), reference in prop_oneof!["[A-Za-z0-9-]{0,40}", any::<String>()]) {
        let own = confirmation_code(&id, None);
        prop_assert_eq!(own.len(), 23);
        prop_assert!(own.starts_with("GS-"));
        prop_assert!(own[3..].bytes().all(|b| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&b)));
        prop_assert_eq!(confirmation_code(&id, None), own.clone());
        prop_assert!(id == other || confirmation_code(&other, None) != own);
        let code = confirmation_code(&id, Some(&reference));
        prop_assert!(code == reference || code == own);
        prop_assert!((5..=30).contains(&code.len()));
        prop_assert!(code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    }
}
