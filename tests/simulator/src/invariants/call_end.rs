//! The invariants at the end of a call, which also decide what later calls may do. Called by state.rs and by commits, under
//! the state lock.

use crate::call::{Call, Ending, Operation};
use crate::clock::{Now, parse_http_date};
use crate::config::Knobs;
use crate::invariants::Checker;

/// An absurd Retry-After counts for no longer than this (seconds).
const LONGEST_PAUSE: i64 = 3600;
/// The same for tokens, whose window is a day.
const LONGEST_TOKEN_PAUSE: i64 = 86_400;

/// The end of a call, for [`Checker::ended`].
pub(crate) struct CallEnd<'a> {
    pub ending: Ending,
    pub status: u16,
    pub committed: bool,
    pub retry_after: Option<&'a str>,
}

impl CallEnd<'_> {
    /// The outcome is unknown to the client.
    fn ambiguous(&self, call: &Call) -> bool {
        self.ending != Ending::Answered || self.status >= 500 || self.status == 408 || call.garbled
    }
}

impl Checker {
    /// Checks a call that has ended.
    pub(crate) fn ended(&mut self, call: &Call, end: &CallEnd<'_>, knobs: &Knobs, now: Now) {
        if call.rate_refused {
            self.report("I6", false, "a call was refused for rate", call);
        }
        if end.status == 429 && end.ending == Ending::Answered {
            self.note_retry_after(call.operation, end.retry_after, knobs, now);
        }
        let ambiguous = end.ambiguous(call);
        match call.operation {
            Operation::Token => self.tokens_in_flight = self.tokens_in_flight.saturating_sub(1),
            Operation::Create => self.create_ended(call, end, ambiguous, now),
            Operation::Search if !ambiguous && end.status == 200 => self.record_look_up(call),
            _ => {}
        }
        if call.is_write()
            && let Some(record) = call.id.as_ref().and_then(|id| self.writes.get_mut(id))
        {
            record.in_flight = record.in_flight.saturating_sub(1);
            if end.committed || ambiguous {
                record.ended = Some(now.mono);
            }
        }
    }

    fn create_ended(&mut self, call: &Call, end: &CallEnd<'_>, ambiguous: bool, now: Now) {
        let Some(record) = call.code.as_ref().and_then(|code| self.codes.get_mut(code)) else {
            return;
        };
        record.in_flight = record.in_flight.saturating_sub(1);
        if ambiguous {
            record.unknown_since = Some(now.mono);
            record.looked_up = false;
        } else if end.status < 300 {
            record.unknown_since = None;
        }
        record.refused = !ambiguous && matches!(end.status, 400 | 404 | 409 | 422);
    }

    /// The answer could not be written: the client had disconnected.
    pub(crate) fn client_gone(&mut self, call: &Call, now: Now) {
        if let Some(record) = call.code.as_ref().and_then(|code| self.codes.get_mut(code)) {
            record.unknown_since = Some(now.mono);
            record.looked_up = false;
        }
    }

    fn record_look_up(&mut self, call: &Call) {
        for code in &call.searched {
            if let Some(record) = self.codes.get_mut(code)
                && record.unknown_since.is_some_and(|ended| call.arrived.mono >= ended)
            {
                record.looked_up = true;
            }
        }
    }

    fn note_retry_after(&mut self, operation: Operation, retry_after: Option<&str>, knobs: &Knobs, now: Now) {
        let Some(text) = retry_after else { return };
        let seconds = text.trim().parse::<f64>().ok();
        #[allow(clippy::cast_possible_truncation)]
        let wait = seconds.map(|s| (s * 1_000_000.0) as i64).or_else(|| Some(parse_http_date(text)? - now.wall));
        let Some(wait) = wait.filter(|w| *w > 0) else {
            return;
        };
        let (window, longest) = match operation {
            Operation::Token => (&mut self.token_retry_after, LONGEST_TOKEN_PAUSE),
            _ => (&mut self.api_retry_after, LONGEST_PAUSE),
        };
        if now.sim >= window.until {
            window.from = now.mono + knobs.retry_after_grace_ms * 1000;
        }
        window.until = window.until.max(now.sim + wait.min(longest * 1_000_000));
    }

    /// A reservation of the client became active (`+1`) or inactive (`-1`).
    pub(crate) fn count_active(
        &mut self,
        code: Option<&str>,
        origin_id: Option<&str>,
        change: i32,
        call: Option<&Call>,
    ) {
        let mut doubles = Vec::new();
        if let Some(code) = code {
            let record = self.codes.entry(code.to_owned()).or_default();
            record.active += change;
            if record.active > 1 {
                doubles.push(format!("{} active reservations with one confirmationCode", record.active));
            }
        }
        if let Some(origin) = origin_id {
            let count = self.origins.entry(origin.to_owned()).or_default();
            *count += change;
            if *count > 1 {
                doubles.push(format!("{count} active reservations with one originId"));
            }
        }
        if let Some(call) = call.filter(|_| change > 0) {
            doubles.iter().for_each(|text| self.report("I1", true, text, call));
        }
    }
}
