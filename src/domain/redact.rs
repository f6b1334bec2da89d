//! Redaction: secrets that do not print, and texts made safe for a log line or an error column. Imports nothing; pure, any
//! thread.

use std::fmt;

use serde_json::Value;

/// Shown in place of hidden text.
const MASK: &str = "***";

/// Secrets shorter than this (in bytes) are not masked: they would match ordinary words.
const SHORTEST_SECRET: usize = 4;

/// Keys whose values are a guest's personal data, compared without regard to case.
const PERSONAL_KEYS: [&str; 9] =
    ["firstName", "lastName", "fullName", "email", "emails", "phone", "phones", "notes", "address"];

/// A password, client secret or token. Printing it, also as part of another value, shows `***`.
///
/// ```
/// use guestly_sync::domain::redact::Secret;
///
/// let secret = Secret::new("hunter2-hunter2".to_owned());
/// assert_eq!(format!("{secret} {secret:?}"), "*** ***");
/// assert_eq!(secret.reveal(), "hunter2-hunter2");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret, unchanged.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The secret itself. Only for code that sends or stores it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True for an empty secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Makes a foreign text fit for one line: NUL, control and text direction characters become spaces, runs of white space
/// become one space, and a text longer than `max_chars` characters is cut and ends in `…` (which counts). The result can be
/// stored in a Postgres text column.
///
/// ```
/// use guestly_sync::domain::redact::clean;
///
/// assert_eq!(clean("  dates\n\tnot \0 available ", 300), "dates not available");
/// assert_eq!(clean("Grüße aus Köln", 6), "Grüße…");
/// ```
pub fn clean(text: &str, max_chars: usize) -> String {
    let mut line = String::new();
    let mut chars = 0_usize;
    // One extra character shows that the text must be cut; the rest is not read.
    'words: for word in text.split(is_separator).filter(|word: &&str| !word.is_empty()) {
        let space = (!line.is_empty()).then_some(' ');
        for char in space.into_iter().chain(word.chars()) {
            line.push(char);
            chars += 1;
            if chars > max_chars {
                break 'words;
            }
        }
    }
    if chars > max_chars { cut(&line, max_chars) } else { line }
}

/// The beginning of `line` with `…`, together at most `max_chars` characters.
fn cut(line: &str, max_chars: usize) -> String {
    if max_chars == 0 {
        return String::new();
    }
    let kept: String = line.chars().take(max_chars - 1).collect();
    format!("{}…", kept.trim_end())
}

/// Characters that `clean` turns into spaces. Text direction characters are not control characters in Unicode, but they
/// let a foreign text change how the rest of a log line is displayed.
fn is_separator(char: char) -> bool {
    let turns_text = matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    char.is_whitespace() || char.is_control() || turns_text
}

/// Replaces every occurrence of each secret by `***`, even if occurrences overlap. Secrets shorter than four bytes are
/// left alone. Only the exact spelling is found, not, for example, its percent-encoded form.
///
/// ```
/// use guestly_sync::domain::redact::mask;
///
/// assert_eq!(mask("Bearer abcd-efgh was refused", &["abcd-efgh", "abcd"]), "Bearer *** was refused");
/// ```
pub fn mask(text: &str, secrets: &[&str]) -> String {
    let mut masked = text.to_owned();
    // Repeated, because a mask and its neighbors may form another secret. Each round shortens the text (a secret is longer
    // than the mask), so this ends.
    loop {
        let spots = occurrences(&masked, secrets);
        if spots.is_empty() {
            return masked;
        }
        masked = cover(&masked, &spots);
    }
}

/// The byte ranges of all occurrences, overlapping and adjacent ones joined, in order.
fn occurrences(text: &str, secrets: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for secret in secrets.iter().filter(|s| s.len() >= SHORTEST_SECRET) {
        let first = secret.chars().next().map_or(1, char::len_utf8);
        let mut from = 0;
        while let Some(at) = text[from..].find(secret).map(|offset| from + offset) {
            found.push((at, at + secret.len()));
            // The next occurrence may begin inside this one.
            from = at + first;
        }
    }
    found.sort_unstable();
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for (begin, end) in found {
        match joined.last_mut() {
            Some(last) if begin <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((begin, end)),
        }
    }
    joined
}

/// `text` with each of the ranges replaced by the mask.
fn cover(text: &str, spots: &[(usize, usize)]) -> String {
    let mut covered = String::with_capacity(text.len());
    let mut from = 0;
    for &(begin, end) in spots {
        covered.push_str(&text[from..begin]);
        covered.push_str(MASK);
        from = end;
    }
    covered.push_str(&text[from..]);
    covered
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

/// A copy of a request or answer for log lines: values of any type under keys of personal data (names, e-mail, phone,
/// address, notes), at any depth, become `"***"`.
///
/// ```
/// use guestly_sync::domain::redact::mask_personal;
/// use serde_json::json;
///
/// let body = json!({"listingId": "L1", "guest": {"firstName": "Ada", "phones": ["+49 30 1"]}});
/// let shown = json!({"listingId": "L1", "guest": {"firstName": "***", "phones": "***"}});
/// assert_eq!(mask_personal(&body), shown);
/// ```
pub fn mask_personal(json: &Value) -> Value {
    match json {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), mask_field(key, value))).collect(),
        Value::Array(items) => items.iter().map(mask_personal).collect(),
        plain => plain.clone(),
    }
}

fn mask_field(key: &str, value: &Value) -> Value {
    let personal = PERSONAL_KEYS.iter().any(|name| name.eq_ignore_ascii_case(key));
    if personal { Value::from(MASK) } else { mask_personal(value) }
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
