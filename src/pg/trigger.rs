//! The triggers on the source table. A paid booking gets a row in `guestly.queue`, in the same transaction; a changed or deleted
//! booking that is known already becomes a dirty booking, a row in `guestly.changes`. The sale comes first: every error here
//! becomes a WARNING, and the sweep finds a paid booking later. Main thread of the session that pays.
//!
//! The row trigger only remembers the booking. The statement trigger writes all payments of the statement with one INSERT. The
//! end of the transaction writes the rest: changes, which several statements may make, and payments for which no statement
//! trigger fired (a BEFORE trigger of the host set the payment status).

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use pgrx::prelude::*;
use pgrx::spi::quote_literal;

use super::db::session::{self, SqlError};
use super::sys::{self, transaction::Sub, transaction::Watcher};
use super::{db::report, db::statement, settings, shm};

/// The longest time that a sale waits for a lock on the queue.
const LOCK_TIMEOUT: Duration = Duration::from_millis(100);
/// The same after one wait has timed out in this transaction: the lock is held for longer than one statement.
const MIN_LOCK_TIMEOUT: Duration = Duration::from_millis(1);
/// Rows of one INSERT: bounds the memory of a statement that flips a million bookings.
const BATCH: usize = 10_000;

/// The statements that queue one paid booking and several. They differ only in their parameters.
static ENQUEUE: LazyLock<(String, String)> = LazyLock::new(|| {
    let insert = include_str!("../../sql/queries/queue/enqueue_paid.sql");
    let one = [include_str!("../../sql/queries/queue/paid_one.sql"), insert].concat();
    (one, [include_str!("../../sql/queries/queue/paid_many.sql"), insert].concat())
});

/// A booking that this transaction paid, changed or deleted.
struct PendingBooking {
    sub: Sub,
    booking_id: String,
    arrival: Option<String>,
}

/// Bookings that are not written yet, in order of subtransaction: a subtransaction and those inside it are at the end.
#[derive(Default)]
struct PendingChanges {
    /// Became paid.
    paid: Vec<PendingBooking>,
    /// Changed or deleted.
    changed: Vec<PendingBooking>,
}

thread_local! {
    static PENDING: RefCell<PendingChanges> = const { RefCell::new(PendingChanges { paid: Vec::new(), changed: Vec::new() }) };
    // Changes are ignored for now: the worker is writing an outcome.
    static IGNORES_CHANGES: Cell<bool> = const { Cell::new(false) };
    // A wait for a lock has timed out in this transaction.
    static LOCK_TIMED_OUT: Cell<bool> = const { Cell::new(false) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
    // Cached: splitting the setting for each row of a large update would cost more than all the rest.
    static PAID: RefCell<(String, Vec<String>)> = const { RefCell::new((String::new(), Vec::new())) };
}

/// AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW; arguments: key column, payment column, arrival column or ''.
#[pg_trigger(sql = false)]
fn guestly_note_paid<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, PgTriggerError> {
    if let Some(row) = sys::TriggerRow::of(trigger) {
        record(&row);
    }
    Ok(trigger.new())
}

/// AFTER INSERT OR UPDATE OR DELETE FOR EACH STATEMENT.
#[pg_trigger(sql = false)]
fn guestly_queue_paid<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, PgTriggerError> {
    flush(after_statement());
    Ok(trigger.new())
}

fn record(row: &sys::TriggerRow) {
    let paid = |status: Option<String>| status.is_some_and(|status| is_paid(&status));
    let became_paid = !row.is_deleted() && paid(row.new_value(1)) && !paid(row.old_value(1));
    if !became_paid && (row.is_inserted() || IGNORES_CHANGES.get()) {
        return;
    }
    let Some(booking_id) = row.new_value(0) else { return };
    register();
    let booking = PendingBooking { sub: sys::transaction::current_sub(), booking_id, arrival: row.new_value(2) };
    PENDING.with_borrow_mut(
        |pending| if became_paid { pending.paid.push(booking) } else { pending.changed.push(booking) },
    );
}

/// Runs `body`, whose changes of bookings are not recorded. Payments are.
pub fn without_recording_changes<T>(body: impl FnOnce() -> session::Result<T>) -> session::Result<T> {
    /// Restores the flag, also if the body raises.
    struct Ignoring;
    impl Drop for Ignoring {
        fn drop(&mut self) {
            IGNORES_CHANGES.set(false);
        }
    }
    IGNORES_CHANGES.set(true);
    let _ignoring = Ignoring;
    body()
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

/// Takes the bookings to write at the end of a statement: the payments, and the changes only if there are too many to keep in
/// memory, since each write needs a subtransaction. Nothing of an outer level: a rollback to the savepoint would undo it.
fn after_statement() -> PendingChanges {
    let sub = sys::transaction::current_sub();
    PENDING.with_borrow_mut(|pending| {
        let paid = split_from(&mut pending.paid, sub);
        let many = pending.changed.len() - first_from(&pending.changed, sub) >= BATCH;
        PendingChanges { paid, changed: if many { split_from(&mut pending.changed, sub) } else { Vec::new() } }
    })
}

/// Index of the first booking of a subtransaction.
fn first_from(bookings: &[PendingBooking], sub: Sub) -> usize {
    bookings.partition_point(|booking| booking.sub < sub)
}

fn split_from(bookings: &mut Vec<PendingBooking>, sub: Sub) -> Vec<PendingBooking> {
    let first = first_from(bookings, sub);
    if first == 0 { std::mem::take(bookings) } else { bookings.split_off(first) }
}

/// Writes these bookings in one subtransaction: a failure undoes the queueing and nothing else.
fn flush(pending: PendingChanges) {
    let bookings = pending.paid.len() + pending.changed.len();
    if bookings == 0 {
        return;
    }
    match session::subtransaction(|| as_extension_owner(|| write_pending(&pending))) {
        Ok(known) => {
            // The booking is queued or reserved already: the payment counts as a change.
            let again = pending.paid.into_iter().zip(known).filter_map(|(booking, known)| known.then_some(booking));
            PENDING.with_borrow_mut(|pending| pending.changed.extend(again));
            shm::wake_at_commit();
        }
        Err(error) if error.is_cancel() => {
            report::raise_sql(&error, "The payment was cancelled together with its queueing.")
        }
        // DROP EXTENSION in the same transaction took the tables.
        Err(_) if !sys::is_installed() => {}
        Err(error) => {
            LOCK_TIMED_OUT.set(LOCK_TIMED_OUT.get() || error.code == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE);
            warn(&pending, &error);
        }
    }
}

fn as_extension_owner<T>(body: impl FnOnce() -> session::Result<T>) -> session::Result<T> {
    let (user, context) = sys::current_user();
    let level = sys::GucLevel::open();
    sys::set_locally(c"lock_timeout", &format!("{}ms", lock_timeout().as_millis()));
    // One generic plan with index scans: planning each payment would take longer than all the rest.
    sys::set_locally(c"plan_cache_mode", "force_generic_plan");
    sys::set_locally(c"enable_seqscan", "off");
    let owner = sys::relation::extension_owner().unwrap_or(user);
    sys::set_current_user(owner, context | sys::LOCAL_USER_CHANGE | sys::RESTRICTED);
    let value = body()?;
    sys::set_current_user(user, context);
    level.close();
    Ok(value)
}

/// Writes the rows. For each paid booking, returns true if it was known already.
fn write_pending(pending: &PendingChanges) -> session::Result<Vec<bool>> {
    let mut known = Vec::with_capacity(pending.paid.len());
    for paid in pending.paid.chunks(BATCH) {
        let queued = enqueue(paid)?;
        if queued.len() == paid.len() {
            known.resize(known.len() + paid.len(), false);
        } else {
            let queued: HashSet<&str> = queued.iter().map(String::as_str).collect();
            known.extend(paid.iter().map(|booking| !queued.contains(booking.booking_id.as_str())));
        }
    }
    for changed in pending.changed.chunks(BATCH) {
        run_batch(include_str!("../../sql/queries/changes/add_known.sql"), latest(changed).into_iter())?;
    }
    Ok(known)
}

/// Returns the ids of those that were not known.
fn enqueue(paid: &[PendingBooking]) -> session::Result<Vec<String>> {
    match paid {
        [one] => {
            statement::rows(&ENQUEUE.0, &[one.booking_id.as_str().into(), one.arrival.as_deref().into()], booking_id)
        }
        many => run_batch(&ENQUEUE.1, many.iter()),
    }
}

fn booking_id(row: &statement::Tuple) -> session::Result<String> {
    Ok(row.get(1)?.unwrap_or_default())
}

/// Each booking once, in its latest state.
fn latest(bookings: &[PendingBooking]) -> Vec<&PendingBooking> {
    let mut seen = HashSet::with_capacity(bookings.len());
    bookings.iter().rev().filter(|booking| seen.insert(booking.booking_id.as_str())).collect()
}

/// Runs a statement for several bookings and returns the ids that it returns.
fn run_batch<'a>(sql: &str, bookings: impl Iterator<Item = &'a PendingBooking>) -> session::Result<Vec<String>> {
    let (ids, arrivals): (Vec<&str>, Vec<Option<&str>>) =
        bookings.map(|booking| (booking.booking_id.as_str(), booking.arrival.as_deref())).unzip();
    statement::rows(sql, &[ids.into(), arrivals.into()], booking_id)
}

/// The longest wait for a lock: never so long that the payment itself exceeds its statement_timeout, and the full time only
/// until one wait has timed out in the transaction.
fn lock_timeout() -> Duration {
    let longest = if LOCK_TIMED_OUT.get() { MIN_LOCK_TIMEOUT } else { LOCK_TIMEOUT };
    let left = sys::statement_time_left().map_or(longest, |left| left / 2);
    left.clamp(MIN_LOCK_TIMEOUT, longest)
}

/// The sweep finds paid bookings that were not queued, but not changes: the hint has the statement for one.
fn warn(pending: &PendingChanges, error: &SqlError) {
    let PendingChanges { paid, changed } = pending;
    if !paid.is_empty() {
        report::warn(
            error.code,
            format!("guestly_sync could not queue {} paid booking(s): {}", paid.len(), error.safe_message()),
            "The payment is not affected. The worker looks for such bookings every guestly_sync.poll_interval.",
        );
    }
    if let Some(first) = changed.first() {
        let call = format!("guestly_sync({})", quote_literal(&first.booking_id));
        report::warn(
            error.code,
            format!("guestly_sync could not record {} changed booking(s): {}", changed.len(), error.safe_message()),
            &format!("The change is not affected. If Guestly has the booking, compare them: SELECT {call}"),
        );
    }
}

static WATCHER: Watcher = Watcher { before_commit, over, sub_rolled_back: forget_from };

fn register() {
    if !REGISTERED.replace(true) {
        sys::transaction::watch(&WATCHER);
    }
}

/// Writes the rest. Repeats because a payment of a known booking becomes a change.
fn before_commit() {
    while PENDING.with_borrow(|pending| !pending.paid.is_empty() || !pending.changed.is_empty()) {
        sys::transaction::with_snapshot(|| flush(PENDING.take()));
    }
}

fn over() {
    drop(PENDING.take());
    LOCK_TIMED_OUT.set(false);
}

/// A savepoint was rolled back: drops its bookings.
fn forget_from(sub: Sub) {
    PENDING.with_borrow_mut(|pending| {
        drop(split_from(&mut pending.paid, sub));
        drop(split_from(&mut pending.changed, sub));
    });
}
