//! A booking was paid: one row into `guestly.queue`, in the same transaction. A booking that is known there was changed or
//! deleted: one row into `guestly.changes`, and the worker looks at it. The sale comes first: whatever goes wrong here becomes
//! a WARNING, and the sweep finds a paid booking later. Main thread of the session that pays.
//!
//! The row trigger only notes the booking; the statement trigger writes all that were noted with one INSERT. Where no
//! statement trigger fires (a BEFORE trigger of the host that sets the payment status), the end of the transaction writes.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::time::Duration;

use pgrx::prelude::*;
use pgrx::spi::quote_literal;

use super::session::{self, SqlError};
use super::sys::{self, transaction::Sub, transaction::Watcher};
use super::{report, settings, statement, wake};

/// The longest that a sale waits for a lock that somebody holds on the queue.
const LOCK_TIMEOUT: Duration = Duration::from_millis(100);
/// Rows of one INSERT: bounds the memory of a statement that flips a million bookings.
const BATCH: usize = 10_000;

/// A booking that became paid, was changed or deleted in this transaction.
struct Noted {
    sub: Sub,
    paid: bool,
    booking_id: String,
    arrival: Option<String>,
}

thread_local! {
    static NOTED: RefCell<Vec<Noted>> = const { RefCell::new(Vec::new()) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
    // Splitting the setting for each row of a large update would cost more than the rest.
    static PAID: RefCell<(String, Vec<String>)> = const { RefCell::new((String::new(), Vec::new())) };
}

/// AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW; arguments: key column, payment column, arrival column or ''.
#[pg_trigger]
fn guestly_note_paid<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, PgTriggerError> {
    if let Some(row) = sys::TriggerRow::of(trigger) {
        note(&row);
    }
    Ok(trigger.new())
}

/// AFTER INSERT OR UPDATE OR DELETE FOR EACH STATEMENT.
#[pg_trigger]
fn guestly_queue_paid<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, PgTriggerError> {
    flush();
    Ok(trigger.new())
}

fn note(row: &sys::TriggerRow) {
    let paid = |status: Option<String>| status.is_some_and(|status| is_paid(&status));
    let became_paid = !row.is_deleted() && paid(row.new_value(1)) && !paid(row.old_value(1));
    if !became_paid && row.is_inserted() {
        return;
    }
    let Some(booking_id) = row.new_value(0) else { return };
    register();
    let (sub, arrival) = (sys::transaction::current_sub(), row.new_value(2));
    NOTED.with_borrow_mut(|noted| noted.push(Noted { sub, paid: became_paid, booking_id, arrival }));
}

/// True for a payment status that means paid.
pub fn is_paid(status: &str) -> bool {
    PAID.with_borrow_mut(|(text, words)| {
        let now = settings::paid_list();
        if now != *text {
            (*words, *text) = (settings::split(&now), now);
        }
        words.iter().any(|word| word.eq_ignore_ascii_case(status.trim()))
    })
}

/// Writes what was noted. One subtransaction for all of it: a failure undoes the queueing and nothing else.
fn flush() {
    let noted = NOTED.take();
    if noted.is_empty() {
        return;
    }
    match session::subtransaction(|| noted.chunks(BATCH).try_for_each(queue)) {
        Ok(()) => wake::wake_at_commit(),
        Err(error) if error.is_cancel() => {
            report::raise_sql(&error, "The payment was cancelled together with its queueing.")
        }
        Err(error) => warn(&noted, &error),
    }
}

fn queue(noted: &[Noted]) -> session::Result<()> {
    let (user, context) = sys::current_user();
    let level = sys::GucLevel::open();
    sys::set_locally(c"lock_timeout", &format!("{}ms", patience().as_millis()));
    // Planned once, by index: else each payment would be planned anew, which takes longer than all the rest.
    sys::set_locally(c"plan_cache_mode", "force_generic_plan");
    sys::set_locally(c"enable_seqscan", "off");
    sys::set_current_user(sys::extension_owner(), context | sys::LOCAL_USER_CHANGE);
    let (paid, mut changed): (Vec<&Noted>, Vec<&Noted>) = noted.iter().partition(|booking| booking.paid);
    let queued = write(include_str!("../../sql/queries/enqueue.sql"), &paid)?;
    if queued.len() < paid.len() {
        // Known already: whatever changed with the payment counts.
        let queued: HashSet<&str> = queued.iter().map(String::as_str).collect();
        changed.extend(paid.into_iter().filter(|booking| !queued.contains(booking.booking_id.as_str())));
    }
    write(include_str!("../../sql/queries/note_changes.sql"), &changed)?;
    sys::set_current_user(user, context);
    level.close();
    Ok(())
}

/// Runs a statement over bookings; gives the ids that it returns.
fn write(sql: &str, bookings: &[&Noted]) -> session::Result<Vec<String>> {
    if bookings.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = bookings.iter().map(|booking| booking.booking_id.as_str()).collect();
    let arrivals: Vec<Option<&str>> = bookings.iter().map(|booking| booking.arrival.as_deref()).collect();
    statement::rows(sql, &[ids.into(), arrivals.into()], |row| Ok(row.get(1)?.unwrap_or_default()))
}

/// How long a lock may be waited for: never so long that the payment itself runs into its statement_timeout.
fn patience() -> Duration {
    let left = sys::statement_time_left().map_or(LOCK_TIMEOUT, |left| left / 2);
    left.clamp(Duration::from_millis(1), LOCK_TIMEOUT)
}

/// The sweep finds bookings that were not sent; of a change nobody but us knows.
fn warn(noted: &[Noted], error: &SqlError) {
    let (paid, changed): (Vec<&Noted>, Vec<&Noted>) = noted.iter().partition(|booking| booking.paid);
    if !paid.is_empty() {
        report::warn(
            error.code,
            format!("guestly_sync could not queue {} paid booking(s): {}", paid.len(), error.message),
            "The payment is not affected. The worker looks for such bookings every guestly_sync.poll_interval.",
        );
    }
    if let Some(first) = changed.first() {
        let call = format!("guestly_sync({})", quote_literal(&first.booking_id));
        report::warn(
            error.code,
            format!("guestly_sync could not note {} changed booking(s): {}", changed.len(), error.message),
            &format!("The change is not affected. Where Guestly holds the booking, have them compared: SELECT {call}"),
        );
    }
}

static AT_THE_END: Watcher = Watcher { before_commit, over: || drop(NOTED.take()), sub_rolled_back: forget_from };

fn register() {
    if !REGISTERED.replace(true) {
        sys::transaction::watch(&AT_THE_END);
    }
}

/// Bookings that no statement trigger wrote.
fn before_commit() {
    if NOTED.with_borrow(|noted| !noted.is_empty()) {
        sys::transaction::with_snapshot(flush);
    }
}

/// A savepoint was rolled back: its bookings were not paid after all.
fn forget_from(sub: Sub) {
    NOTED.with_borrow_mut(|noted| noted.retain(|booking| booking.sub < sub));
}
