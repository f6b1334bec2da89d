//! Runs code of the host in the worker: triggers, rules and mapping expressions. It may take any time, so each run has a time
//! limit, and shared memory has its start and its booking. After a run that exceeded its limit the worker is cautious for a
//! while: one booking at a time, and only what sending needs. Called by `pg::host`, `pg::claim` and `pg::record_outcomes`; main
//! thread only.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use chrono::Utc;
use pgrx::prelude::*;

use super::db::report;
use super::db::session::{self, Owner, Result, SqlError};
use super::{shm, sys};
use crate::domain::retry::{TABLE_SCAN_PAUSE, TABLE_SCAN_PAUSE_AFTER_HANG};

mod functions;

/// The limit for one booking at its first attempt, and for one series of single bookings.
pub const SHORT_LIMIT: Duration = Duration::from_secs(1);
/// The limit for several bookings in one statement.
const SEVERAL_LIMIT: Duration = Duration::from_millis(1500);
/// The limit for a statement on the whole table.
const TABLE_LIMIT: Duration = Duration::from_secs(20);
/// The worker is cautious for this long after a limit was exceeded.
const CAUTION: Duration = Duration::from_secs(60);
/// The same after a worker was ended because of a hang.
const AFTER_HANG: Duration = Duration::from_secs(600);
/// A worker ends after this time in code that ignores every cancel; its successor continues.
const MAX_RUN: Duration = Duration::from_secs(5);
/// The same for one booking at the first hang, which leaves time to read guestly_doctor().
const MAX_FIRST_RUN: Duration = Duration::from_secs(15);
/// Time that code gets to end after its first cancel, at least.
const GRACE: Duration = Duration::from_secs(3);

/// The purpose of the code that runs next, and its limit.
#[derive(Clone)]
struct Scope {
    booking_id: Option<String>,
    limit: Duration,
    /// A statement on the whole table.
    table: bool,
    /// A read for a mail or a comparison, which no call waits for.
    optional: bool,
}

const OPTIONAL: Scope = Scope { booking_id: None, limit: SEVERAL_LIMIT, table: false, optional: true };

thread_local! {
    static SCOPE: RefCell<Scope> = const { RefCell::new(OPTIONAL) };
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    static HUNG_BEFORE: Cell<bool> = const { Cell::new(false) };
    static CAUTIOUS_UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
    static NO_TABLE_SCAN_UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Host code in `body` is for this booking alone, and each run may take `limit`.
pub fn for_one<T>(booking_id: &str, limit: Duration, body: impl FnOnce() -> T) -> T {
    within(Scope { booking_id: Some(booking_id.to_owned()), limit, table: false, optional: false }, body)
}

/// Host code in `body` is for several bookings.
pub fn for_several<T>(body: impl FnOnce() -> T) -> T {
    within(Scope { booking_id: None, limit: SEVERAL_LIMIT, table: false, optional: false }, body)
}

/// Statements in `body` read the whole table: the sweep and the baseline. They take long on a large table without an index, and
/// have a limit nevertheless: planning them already runs code of the host.
pub fn for_table<T>(body: impl FnOnce() -> T) -> T {
    within(Scope { booking_id: None, limit: TABLE_LIMIT, table: true, optional: false }, body)
}

impl Scope {
    /// Run time after which the process ends; always some seconds after the limit, so that a cancel comes first.
    fn longest(&self) -> Duration {
        let first = self.booking_id.is_some() && !HUNG_BEFORE.get();
        (if first { MAX_FIRST_RUN } else { MAX_RUN }).max(self.limit + GRACE)
    }
}

fn within<T>(scope: Scope, body: impl FnOnce() -> T) -> T {
    /// Restores the previous scope, also if the body panics.
    struct Former(Scope);
    impl Drop for Former {
        fn drop(&mut self) {
            SCOPE.with_borrow_mut(|scope| std::mem::swap(scope, &mut self.0));
        }
    }
    let _former = Former(SCOPE.replace(scope));
    body()
}

/// Runs host code. Errors: its own; QUERY_CANCELED if it did not end in time, or is optional and the worker is cautious. In a
/// session it has no limit here: a session has its `statement_timeout`.
pub fn run<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    if !sys::is_background_worker() || RUNNING.get() {
        return body();
    }
    let scope = SCOPE.with_borrow(Scope::clone);
    if scope.optional && is_cautious() {
        return Err(canceled("code of the table takes too long now".to_owned()));
    }
    let run = Run::begin(&scope);
    let result = body();
    if !run.end() {
        return result;
    }
    if scope.table {
        NO_TABLE_SCAN_UNTIL.set(Some(Instant::now() + TABLE_SCAN_PAUSE));
    } else {
        be_cautious();
    }
    result.map_err(|error| {
        let sentence = format!("code of the table did not end within {} s", scope.limit.as_secs_f32());
        // The code may have caught the cancel and raised another error.
        canceled(if error.is_cancel() { sentence } else { format!("{sentence}: {}", error.message) })
    })
}

/// Like [`session::as_owner`], for statements that run host code: in the worker they have a time limit.
pub fn as_owner_in_time<T>(owner: &Owner, body: impl FnOnce() -> Result<T>) -> Result<T> {
    run(|| session::as_owner(owner, body))
}

/// One run of host code. Dropping it ends the run, also after a panic.
struct Run(Option<sys::TimeLimit>);

impl Run {
    fn begin(scope: &Scope) -> Self {
        RUNNING.set(true);
        shm::enter_host_code(Utc::now().timestamp_micros(), scope.booking_id.as_deref(), scope.table);
        Self(Some(sys::TimeLimit::start(scope.limit, scope.longest())))
    }

    /// True if the limit was exceeded.
    fn end(mut self) -> bool {
        self.0.take().is_some_and(sys::TimeLimit::end)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(limit) = self.0.take() {
            limit.end();
        }
        shm::leave_host_code();
        RUNNING.set(false);
    }
}

fn canceled(message: String) -> SqlError {
    SqlError::new(PgSqlErrorCode::ERRCODE_QUERY_CANCELED, message)
}

/// Logs a WARNING: the booking's row cannot be `done` ("read", "written") now, and is tried again.
pub fn warn(booking_id: &str, done: &str, error: &SqlError) {
    let message =
        format!("guestly_sync: booking {booking_id} is postponed: its row cannot be {done}: {}", error.safe_message());
    let hint = "It is retried; other bookings go first. Check the triggers of the table and guestly.field_map.";
    report::warn(PgSqlErrorCode::ERRCODE_WARNING, message, hint);
}

/// True while bookings are read and written one by one.
pub fn is_cautious() -> bool {
    CAUTIOUS_UNTIL.get().is_some_and(|until| until > Instant::now())
}

/// Makes the worker cautious: host code was cancelled.
pub fn be_cautious() {
    be_cautious_for(CAUTION);
}

/// The previous worker was ended because host code hung; `table`: in a statement on the whole table.
pub fn be_cautious_after_hang(table: bool) {
    let pause = if table { TABLE_SCAN_PAUSE } else { TABLE_SCAN_PAUSE_AFTER_HANG };
    NO_TABLE_SCAN_UNTIL.set(Some(Instant::now() + pause));
    HUNG_BEFORE.set(true);
    be_cautious_for(AFTER_HANG);
}

/// The cancelled code is slow, not endless: it ended within a longer limit. Has no effect after a hang.
pub fn end_caution() {
    if !HUNG_BEFORE.get() {
        CAUTIOUS_UNTIL.set(None);
    }
}

/// False during the pause after a statement on the whole table did not end in time, or after a hang.
pub fn may_read_table() -> bool {
    NO_TABLE_SCAN_UNTIL.get().is_none_or(|until| until <= Instant::now())
}

fn be_cautious_for(time: Duration) {
    let until = Instant::now() + time;
    CAUTIOUS_UNTIL.set(CAUTIOUS_UNTIL.get().max(Some(until)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(booking_id: Option<&str>, limit: Duration, table: bool) -> Scope {
        Scope { booking_id: booking_id.map(str::to_owned), limit, table, optional: false }
    }

    #[test]
    fn a_cancel_always_comes_some_seconds_before_the_end() {
        let all = [
            scope(None, SEVERAL_LIMIT, false),
            scope(None, TABLE_LIMIT, true),
            scope(Some("1"), SHORT_LIMIT, false),
            scope(Some("1"), 5 * SHORT_LIMIT, false),
        ];
        for hung in [false, true] {
            HUNG_BEFORE.set(hung);
            for scope in &all {
                assert!(scope.longest() >= scope.limit + GRACE, "{:?} after {:?}", scope.longest(), scope.limit);
            }
            assert_eq!(scope(None, SEVERAL_LIMIT, false).longest(), MAX_RUN);
        }
    }
}
