//! Level for truth: once a day what Guestly holds of stays to come is compared with the bookings, a step in each probe. Finds
//! the changes and cancellations that no trigger noted: triggers disabled or dropped, rows loaded as a replica, a note that
//! could not be written. Part of the worker, main thread.

use std::time::Instant;

use chrono::Utc;

use super::Worker;
use crate::domain::field::Row;
use crate::domain::plan::{Plan, Queued, Rules, plan};
use crate::domain::retry::RECONCILE_EVERY;
use crate::pg::bookings::Bookings;
use crate::pg::claim::rules;
use crate::pg::host_code;
use crate::pg::queue::{self, Ahead};
use crate::pg::session::Result;

/// Bookings of one step: some milliseconds.
const STEP: usize = 200;

/// How far the round has come.
pub(super) struct Level {
    next: Instant,
    /// Departure and booking of the last one.
    at: Option<(String, String)>,
}

impl Level {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now, at: None }
    }
}

impl Worker {
    /// The next step, if a round is on.
    pub(super) fn check_level(&mut self, now: Instant) {
        let can_read = self.settings.enabled && !self.settings.test_mode && !host_code::is_careful();
        if now < self.level.next || !can_read || !self.rescued {
            return;
        }
        self.level.at = self.in_transaction(Self::level_step).flatten();
        if self.level.at.is_none() {
            self.level.next = now + RECONCILE_EVERY;
        }
    }

    /// Where it ended; none at the end of the round.
    fn level_step(&mut self) -> Result<Option<(String, String)>> {
        let Some(bookings) = Bookings::load()? else { return Ok(None) };
        let yesterday = Utc::now().date_naive().pred_opt().unwrap_or_default().to_string();
        let (day, id) = self.level.at.clone().unwrap_or((yesterday, String::new()));
        let ahead = queue::ahead(&day, &id, STEP)?;
        if ahead.is_empty() {
            return Ok(None);
        }
        let rules = rules(&bookings, &self.settings)?;
        let ids: Vec<String> = ahead.iter().map(|held| held.booking_id.clone()).collect();
        let rows = bookings.read_each(&ids).into_iter().map(|(_, row)| row);
        let differ = ahead.iter().zip(rows).filter(|(held, row)| differs(held, row, &rules));
        let differ: Vec<String> = differ.map(|(held, _)| held.booking_id.clone()).collect();
        if !differ.is_empty() {
            queue::note(differ)?;
            self.more = true;
        }
        Ok(ahead.last().filter(|_| ahead.len() == STEP).map(|last| (last.check_out.clone(), last.booking_id.clone())))
    }
}

/// Something is to be sent. What cannot be sent or read is not worth an alert unless somebody changes it. Nor is a row that is
/// gone: when it went, an alert said so, or `cancel_on_delete` was off.
fn differs(held: &Ahead, row: &Result<Option<Row>>, rules: &Rules) -> bool {
    let (queued, now) = (Queued { remote: Some(held.remote.clone()), ..Queued::default() }, Utc::now());
    let Ok(Some(row)) = row else { return false };
    matches!(plan(row, &queued, rules, now), Plan::Call(..) | Plan::Wait(_))
}
