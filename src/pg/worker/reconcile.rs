//! Compares the bookings of future stays with their snapshots, once a day, one step in each sweep. Finds changes and
//! cancellations that no trigger recorded: triggers disabled or dropped, rows loaded as a replica, a change that could not be
//! recorded. Part of the worker, main thread.

use std::time::Instant;

use chrono::Utc;

use super::context::Ctx;
use crate::domain::field::Row;
use crate::domain::plan::{Plan, Rules, plan};
use crate::domain::queue_row::QueueRow;
use crate::domain::retry::RECONCILE_EVERY;
use crate::pg::db::session::Result;
use crate::pg::host::bookings::Bookings;
use crate::pg::host_code;
use crate::pg::store;

/// Bookings of one step: some milliseconds.
const STEP: usize = 200;

/// The progress of the daily round.
pub(super) struct Reconcile {
    next: Instant,
    /// Departure and booking of the last compared stay.
    position: Option<(String, String)>,
}

/// The result of one step.
struct Step {
    /// Departure and booking of its last stay; `None` at the end of the round.
    position: Option<(String, String)>,
    /// Some bookings differ.
    found: bool,
}

impl Reconcile {
    pub(super) fn new() -> Self {
        Self { next: Instant::now(), position: None }
    }

    /// Runs the next step, if a round is due or in progress. True if some bookings differ.
    pub(super) fn tick(&mut self, ctx: &mut Ctx) -> bool {
        let can_read = ctx.settings.enabled && !ctx.settings.test_mode && !host_code::is_cautious();
        let now = Instant::now();
        if now < self.next || !can_read {
            return false;
        }
        let step = ctx.transaction(|ctx| self.step(ctx));
        let found = step.as_ref().is_some_and(|step| step.found);
        self.position = step.and_then(|step| step.position);
        if self.position.is_none() {
            self.next = now + RECONCILE_EVERY;
        }
        found
    }

    fn step(&self, ctx: &Ctx) -> Result<Step> {
        let nothing = Step { position: None, found: false };
        let Some(bookings) = Bookings::load()? else { return Ok(nothing) };
        let yesterday = Utc::now().date_naive().pred_opt().unwrap_or_default().to_string();
        let (day, id) = self.position.clone().unwrap_or((yesterday, String::new()));
        let upcoming = store::reservations::upcoming(&day, &id, STEP)?;
        if upcoming.is_empty() {
            return Ok(nothing);
        }
        let rules = store::rules::load(&bookings, &ctx.settings)?;
        let ids: Vec<String> = upcoming.iter().map(|stay| stay.booking_id.clone()).collect();
        let rows = bookings.read_each(&ids).into_iter().map(|(_, row)| row);
        let differ = upcoming.iter().zip(rows).filter(|(stay, row)| differs(stay, row, &rules));
        let differ: Vec<String> = differ.map(|(stay, _)| stay.booking_id.clone()).collect();
        let found = !differ.is_empty();
        if found {
            store::changes::add(differ)?;
        }
        let last = upcoming.last().filter(|_| upcoming.len() == STEP);
        Ok(Step { position: last.map(|last| (last.check_out.clone(), last.booking_id.clone())), found })
    }
}

/// True if the plan is a call. A booking that cannot be sent or read is ignored until it is changed, and so is a deleted one: its
/// deletion was handled when it happened.
fn differs(stay: &store::reservations::Upcoming, row: &Result<Option<Row>>, rules: &Rules) -> bool {
    let (queued, now) = (QueueRow { remote: Some(stay.remote.clone()), ..QueueRow::default() }, Utc::now());
    let Ok(Some(row)) = row else { return false };
    matches!(plan(row, &queued, rules, now), Plan::Call(..) | Plan::Wait(_))
}
