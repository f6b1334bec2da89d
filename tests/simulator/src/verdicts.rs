//! The judge's second half: what the end of a call means for the verdicts on later ones.
//! Called by state.rs and by the commits, under the state lock.

use crate::call::{Call, Fate, Operation};
use crate::clock::{Now, parse_http_date};
use crate::config::Knobs;
use crate::judge::Judge;

/// The client may not trust an absurd Retry-After for longer than this (seconds).
const LONGEST_HOLD: i64 = 3600;
/// The same for tokens, which are counted over a day.
const LONGEST_TOKEN_HOLD: i64 = 86_400;

/// How a call ended, for [`Judge::ended`].
pub(crate) struct End<'a> {
    pub fate: Fate,
    pub status: u16,
    pub committed: bool,
    pub retry_after: Option<&'a str>,
}

impl End<'_> {
    /// Whether the client cannot know what its call did.
    fn ambiguous(&self, call: &Call) -> bool {
        self.fate != Fate::Answered || self.status >= 500 || self.status == 408 || call.spoiled
    }
}

impl Judge {
    /// Judges a call at its end.
    pub(crate) fn ended(&mut self, call: &Call, end: &End<'_>, knobs: &Knobs, now: Now) {
        if call.rate_refused {
            self.breach("I6", false, "a call was refused for rate", call);
        }
        if end.status == 429 && end.fate == Fate::Answered {
            self.hold(call.operation, end.retry_after, knobs, now);
        }
        let ambiguous = end.ambiguous(call);
        match call.operation {
            Operation::Token => self.token_open = self.token_open.saturating_sub(1),
            Operation::Create => self.create_ended(call, end, ambiguous, now),
            Operation::Search if !ambiguous && end.status == 200 => self.looked_up(call),
            _ => {}
        }
        if call.is_write()
            && let Some(record) = call.id.as_ref().and_then(|id| self.writes.get_mut(id))
        {
            record.open = record.open.saturating_sub(1);
            if end.committed || ambiguous {
                record.ended = Some(now.mono);
            }
        }
    }

    fn create_ended(&mut self, call: &Call, end: &End<'_>, ambiguous: bool, now: Now) {
        let Some(record) = call.code.as_ref().and_then(|code| self.codes.get_mut(code)) else {
            return;
        };
        record.open = record.open.saturating_sub(1);
        if ambiguous {
            record.ambiguous = Some(now.mono);
            record.looked_up = false;
        } else if end.status < 300 {
            record.ambiguous = None;
        }
        record.refused = !ambiguous && matches!(end.status, 400 | 404 | 409 | 422);
    }

    /// The answer could not be written after all: the client went away.
    pub(crate) fn lost(&mut self, call: &Call, now: Now) {
        if let Some(record) = call.code.as_ref().and_then(|code| self.codes.get_mut(code)) {
            record.ambiguous = Some(now.mono);
            record.looked_up = false;
        }
    }

    fn looked_up(&mut self, call: &Call) {
        for code in &call.searched {
            if let Some(record) = self.codes.get_mut(code)
                && record.ambiguous.is_some_and(|ended| call.arrived.mono >= ended)
            {
                record.looked_up = true;
            }
        }
    }

    fn hold(&mut self, operation: Operation, retry_after: Option<&str>, knobs: &Knobs, now: Now) {
        let Some(text) = retry_after else { return };
        let seconds = text.trim().parse::<f64>().ok();
        #[allow(clippy::cast_possible_truncation)]
        let wait = seconds.map(|s| (s * 1_000_000.0) as i64).or_else(|| Some(parse_http_date(text)? - now.wall));
        let Some(wait) = wait.filter(|w| *w > 0) else {
            return;
        };
        let (hold, longest) = match operation {
            Operation::Token => (&mut self.token_hold, LONGEST_TOKEN_HOLD),
            _ => (&mut self.api_hold, LONGEST_HOLD),
        };
        if now.sim >= hold.until {
            hold.from = now.mono + knobs.retry_after_grace_ms * 1000;
        }
        hold.until = hold.until.max(now.sim + wait.min(longest * 1_000_000));
    }

    /// A reservation of the client became active (`+1`) or inactive (`-1`).
    pub(crate) fn active(&mut self, code: Option<&str>, origin_id: Option<&str>, change: i32, call: Option<&Call>) {
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
            doubles.iter().for_each(|text| self.breach("I1", true, text, call));
        }
    }
}
