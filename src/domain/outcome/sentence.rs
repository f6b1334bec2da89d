//! Sentences that may be stored and mailed: no control characters, no e-mail address, no
//! telephone number.
//!
//! Called by `classify` on the worker's main thread. Must not import: pgrx, ureq, clocks, threads.

use crate::domain::redact::clean;

/// Characters of a whole sentence.
const MAX_SENTENCE: usize = 400;

/// `lead: text`, or `lead` alone when there is no text; scrubbed and cleaned.
pub(super) fn sentence(lead: &str, text: Option<&str>) -> String {
    let whole = match text {
        Some(text) => format!("{lead}: {text}"),
        None => lead.to_owned(),
    };
    scrub(&clean(&whole, MAX_SENTENCE))
}

/// Replaces e-mail addresses and runs of seven or more digits by `***`. Dates stay.
pub fn scrub(text: &str) -> String {
    let words = text.split(' ').map(|word| match address(word) {
        true => "***",
        false => word,
    });
    numbers(&words.collect::<Vec<_>>().join(" "))
}

fn address(word: &str) -> bool {
    word.contains(['@', '\u{ff20}', '\u{fe6b}']) || word.contains("%40")
}

fn numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_numeric() || c == '+' || c == '(') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = from.find(|c: char| !in_number(c)).unwrap_or(from.len());
        let (run, after) = from.split_at(end);
        match telephone(run) {
            true => {
                out.push_str("***");
                out.push_str(&run[run.trim_end_matches(' ').len()..]);
            }
            false => out.push_str(run),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn in_number(c: char) -> bool {
    c.is_numeric() || matches!(c, ' ' | '+' | '-' | '.' | '/' | '(' | ')')
}

fn telephone(run: &str) -> bool {
    let digits = run.split(' ').filter(|word| !date(word)).flat_map(str::chars).filter(|c| c.is_numeric()).count();
    digits >= 7
}

/// `2027-05-10`, perhaps with punctuation around it: worth keeping in a sentence about dates.
fn date(word: &str) -> bool {
    let word = word.trim_matches(['.', '(', ')', '-', '/']).as_bytes();
    word.len() == 10
        && word.iter().enumerate().all(|(at, b)| match at {
            4 | 7 => *b == b'-',
            _ => b.is_ascii_digit(),
        })
}
