//! Sentences that can be stored and mailed: no control characters, no e-mail address, no telephone number. Part of
//! `domain::outcome`; pure.

use crate::domain::redact::{clean, scrub};

/// Longest sentence, in characters.
const MAX_SENTENCE: usize = 400;

/// `lead: text`, or `lead` alone when there is no text; scrubbed and cleaned.
pub(super) fn sentence(lead: &str, text: Option<&str>) -> String {
    let whole = match text {
        Some(text) => format!("{lead}: {text}"),
        None => lead.to_owned(),
    };
    scrub(&clean(&whole, MAX_SENTENCE))
}
