//! The reason of a 4xx. The body counts before the status: the API reports taken dates as 400, 401, 409 or 422, so a client
//! that trusts the status alone would mistake a conflict for an expired token and waste one of five tokens a day. Part of
//! `domain::outcome`; pure.

use std::time::Duration;

use super::error_text::{error_text, key_words};
use super::reply::Answer;
use super::sentence::sentence;
use super::types::Outcome;
use crate::domain::error::ErrorClass;
use crate::domain::operation::Operation;

/// The subject of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// The nights are taken.
    Dates,
    /// The rate plan's terms: nights, notice, window.
    Terms,
    /// The listing does not exist.
    Listing,
}

/// Always about dates.
const DATES: [&str; 15] = [
    " availability ",
    " not available ",
    " no longer available ",
    " calendar blocked ",
    " calendar is blocked ",
    " dates blocked ",
    " dates are blocked ",
    " already booked ",
    " already reserved ",
    " already taken ",
    " dates are taken ",
    " overlap ",
    " overlaps ",
    " overlapping ",
    " double booking ",
];

/// Together with `unavailable` these mean dates; without them the service may be unavailable.
const PLACES: [&str; 9] =
    [" date ", " dates ", " unit ", " listing ", " night ", " nights ", " calendar ", " property ", " stay "];

/// Something that is not available to this account; not about dates.
const NOT_PLACES: [&str; 7] = [" feature ", " endpoint ", " service ", " resource ", " account ", " plan ", " api "];

const TERMS: [&str; 15] = [
    " terms ",
    " nights ",
    " min night ",
    " minnights ",
    " maxnights ",
    " minimum night ",
    " minimum stay ",
    " maximum stay ",
    " min stay ",
    " not applicable ",
    " advance notice ",
    " advancenotice ",
    " booking window ",
    " bookingwindow ",
    " closed to arrival ",
];

const LISTING: [&str; 8] = [
    " listing not found ",
    " listing was not found ",
    " listing is not found ",
    " listing does not exist ",
    " listing doesn t exist ",
    " unknown listing ",
    " no such listing ",
    " validation error listing ",
];

/// The subject of a refusal, from the words of its body (see `error_text::key_words`).
fn subject(words: &str) -> Option<Subject> {
    let has = |list: &[&str]| list.iter().any(|word| words.contains(word));
    let somewhere = has(&PLACES);
    if has(&DATES) && (somewhere || !has(&NOT_PLACES)) {
        return Some(Subject::Dates);
    }
    if words.contains(" unavailable ") && somewhere {
        return Some(Subject::Dates);
    }
    if has(&TERMS) {
        return Some(Subject::Terms);
    }
    has(&LISTING).then_some(Subject::Listing)
}

/// The outcome of a 4xx other than 408, 425 and 429.
pub(super) fn classify_4xx(operation: Operation, answer: &Answer, wait: Option<Duration>) -> Outcome {
    let words = key_words(&answer.body);
    match operation {
        Operation::Token => token(answer, wait, &words),
        // Refusals of these have nothing to do with dates or terms, whatever their text.
        Operation::LookUp
        | Operation::ReadBack
        | Operation::Status
        | Operation::Notes
        | Operation::ListPayments
        | Operation::RecordPayment => by_status(answer),
        Operation::Create | Operation::Dates | Operation::Guests | Operation::Relocate => match subject(&words) {
            Some(subject) => about(subject, answer),
            None if answer.status == 409 => about(Subject::Dates, answer),
            None => by_status(answer),
        },
    }
}

/// True for a refusal that mentions the confirmation code: most likely a reservation with the code exists.
pub fn speaks_of_code(sentence: &str) -> bool {
    let letters: String = sentence.chars().filter(char::is_ascii_alphanumeric).collect();
    letters.to_ascii_lowercase().contains("confirmationcode")
}

fn about(subject: Subject, answer: &Answer) -> Outcome {
    let (class, lead) = match subject {
        Subject::Dates => (ErrorClass::DatesTaken, "Guestly refused the dates"),
        Subject::Terms => (ErrorClass::Refused, "The stay breaks the listing's terms"),
        Subject::Listing => (ErrorClass::UnknownListing, "Guestly does not know the listing"),
    };
    Outcome::Refused { class, sentence: say(lead, answer) }
}

fn by_status(answer: &Answer) -> Outcome {
    match answer.status {
        status @ (401 | 403) => Outcome::TokenRejected {
            status,
            sentence: say(&format!("Guestly rejected the access token (HTTP {status})"), answer),
        },
        status => Outcome::Refused {
            class: ErrorClass::Refused,
            sentence: say(&format!("Guestly refused the request (HTTP {status})"), answer),
        },
    }
}

/// A 400 counts as rejected keys: nothing else in the form can be wrong.
fn token(answer: &Answer, wait: Option<Duration>, words: &str) -> Outcome {
    let capped = [" too many ", " rate limit ", " limit exceeded ", " limit reached "];
    match answer.status {
        _ if capped.iter().any(|phrase| words.contains(phrase)) => Outcome::Throttled {
            retry_after: wait,
            sentence: say("Guestly gives out no more access tokens for now", answer),
        },
        status @ (400 | 401 | 403) => Outcome::TokenRejected {
            status,
            sentence: say(&format!("Guestly rejected the API keys (HTTP {status})"), answer),
        },
        _ => by_status(answer),
    }
}

fn say(lead: &str, answer: &Answer) -> String {
    sentence(lead, error_text(&answer.body).as_deref())
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
