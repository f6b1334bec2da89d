//! A booking was paid: one row into `guestly.queue`, in the same transaction. A booking that is known there was changed or
//! deleted: one row into `guestly.changes`, and the worker looks at it. The sale comes first: whatever goes wrong here becomes
//! a WARNING, and the sweep finds a paid booking later. Main thread of the session that pays.
//!
//! The row trigger only notes the booking. The statement trigger writes the payments that were noted with one INSERT. The end
//! of the transaction writes the rest: changes, of which one statement after the other may bring some, and payments where no
//! statement trigger fired (a BEFORE trigger of the host that sets the payment status).

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
/// The same after a wait in vain in this transaction: the lock is there for longer than one statement.
const NO_PATIENCE: Duration = Duration::from_millis(1);
/// Rows of one INSERT: bounds the memory of a statement that flips a million bookings.
const BATCH: usize = 10_000;

/// The statement that queues paid bookings, for one booking and for several: the two differ in how the bookings come in.
static ENQUEUE: LazyLock<(String, String)> = LazyLock::new(|| {
    let insert = include_str!("../../sql/queries/queue/enqueue_paid.sql");
    let one = [include_str!("../../sql/queries/queue/paid_one.sql"), insert].concat();
    (one, [include_str!("../../sql/queries/queue/paid_many.sql"), insert].concat())
});

/// A booking of this transaction.
struct Noted {
    sub: Sub,
    booking_id: String,
    arrival: Option<String>,
}

/// Bookings that are not written yet. Those of one subtransaction, with those inside it, stand together at the end.
#[derive(Default)]
struct Notes {
    /// Became paid.
    paid: Vec<Noted>,
    /// Changed or deleted.
    changed: Vec<Noted>,
}

thread_local! {
    static NOTES: RefCell<Notes> = const { RefCell::new(Notes { paid: Vec::new(), changed: Vec::new() }) };
    // What is changed now needs no look: the worker writes what it has just looked at.
    static UNWATCHED: Cell<bool> = const { Cell::new(false) };
    // A lock was waited for in vain in this transaction.
    static IN_VAIN: Cell<bool> = const { Cell::new(false) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
    // Splitting the setting for each row of a large update would cost more than the rest.
    static PAID: RefCell<(String, Vec<String>)> = const { RefCell::new((String::new(), Vec::new())) };
}

/// AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW; arguments: key column, payment column, arrival column or ''.
#[pg_trigger(sql = false)]
fn guestly_note_paid<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, PgTriggerError> {
    if let Some(row) = sys::TriggerRow::of(trigger) {
        note(&row);
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

fn note(row: &sys::TriggerRow) {
    let paid = |status: Option<String>| status.is_some_and(|status| is_paid(&status));
    let became_paid = !row.is_deleted() && paid(row.new_value(1)) && !paid(row.old_value(1));
    if !became_paid && (row.is_inserted() || UNWATCHED.get()) {
        return;
    }
    let Some(booking_id) = row.new_value(0) else { return };
    register();
    let noted = Noted { sub: sys::transaction::current_sub(), booking_id, arrival: row.new_value(2) };
    NOTES.with_borrow_mut(|notes| if became_paid { notes.paid.push(noted) } else { notes.changed.push(noted) });
}

/// Runs `body`, whose changes of bookings are not noted; what becomes paid is.
pub fn unwatched<T>(body: impl FnOnce() -> session::Result<T>) -> session::Result<T> {
    /// Ends it also where the body raises.
    struct Unwatched;
    impl Drop for Unwatched {
        fn drop(&mut self) {
            UNWATCHED.set(false);
        }
    }
    UNWATCHED.set(true);
    let _unwatched = Unwatched;
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

/// Takes what the end of a statement writes: the payments, and changes only where they are too many to keep, since each write
/// takes a subtransaction. Nothing of an outer level: a savepoint that is rolled back would take it along.
fn after_statement() -> Notes {
    let sub = sys::transaction::current_sub();
    NOTES.with_borrow_mut(|notes| {
        let paid = split_from(&mut notes.paid, sub);
        let many = notes.changed.len() - first_from(&notes.changed, sub) >= BATCH;
        Notes { paid, changed: if many { split_from(&mut notes.changed, sub) } else { Vec::new() } }
    })
}

/// Where the notes of a subtransaction begin.
fn first_from(noted: &[Noted], sub: Sub) -> usize {
    noted.partition_point(|booking| booking.sub < sub)
}

fn split_from(noted: &mut Vec<Noted>, sub: Sub) -> Vec<Noted> {
    let first = first_from(noted, sub);
    if first == 0 { std::mem::take(noted) } else { noted.split_off(first) }
}

/// Writes what was noted. One subtransaction for all of it: a failure undoes the queueing and nothing else.
fn flush(notes: Notes) {
    let bookings = notes.paid.len() + notes.changed.len();
    if bookings == 0 {
        return;
    }
    match session::subtransaction(|| as_extension_owner(|| queue(&notes))) {
        Ok(known) => {
            // RemoteReservation already: whatever changed with the payment counts.
            let again = notes.paid.into_iter().zip(known).filter_map(|(noted, known)| known.then_some(noted));
            NOTES.with_borrow_mut(|notes| notes.changed.extend(again));
            shm::wake_at_commit();
        }
        Err(error) if error.is_cancel() => {
            report::raise_sql(&error, "The payment was cancelled together with its queueing.")
        }
        // DROP EXTENSION in the same transaction took the tables.
        Err(_) if !sys::is_installed() => {}
        Err(error) => {
            IN_VAIN.set(IN_VAIN.get() || error.code == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE);
            warn(&notes, &error);
        }
    }
}

fn as_extension_owner<T>(body: impl FnOnce() -> session::Result<T>) -> session::Result<T> {
    let (user, context) = sys::current_user();
    let level = sys::GucLevel::open();
    sys::set_locally(c"lock_timeout", &format!("{}ms", patience().as_millis()));
    // Planned once, by index: else each payment would be planned anew, which takes longer than all the rest.
    sys::set_locally(c"plan_cache_mode", "force_generic_plan");
    sys::set_locally(c"enable_seqscan", "off");
    let owner = sys::relation::extension_owner().unwrap_or(user);
    sys::set_current_user(owner, context | sys::LOCAL_USER_CHANGE | sys::RESTRICTED);
    let value = body()?;
    sys::set_current_user(user, context);
    level.close();
    Ok(value)
}

/// Says of each paid booking whether it was known already.
fn queue(notes: &Notes) -> session::Result<Vec<bool>> {
    let mut known = Vec::with_capacity(notes.paid.len());
    for paid in notes.paid.chunks(BATCH) {
        let queued = enqueue(paid)?;
        if queued.len() == paid.len() {
            known.resize(known.len() + paid.len(), false);
        } else {
            let queued: HashSet<&str> = queued.iter().map(String::as_str).collect();
            known.extend(paid.iter().map(|booking| !queued.contains(booking.booking_id.as_str())));
        }
    }
    for changed in notes.changed.chunks(BATCH) {
        write(include_str!("../../sql/queries/changes/add_known.sql"), latest(changed).into_iter())?;
    }
    Ok(known)
}

/// Gives the ids of those that were not known.
fn enqueue(paid: &[Noted]) -> session::Result<Vec<String>> {
    match paid {
        [one] => {
            statement::rows(&ENQUEUE.0, &[one.booking_id.as_str().into(), one.arrival.as_deref().into()], booking_id)
        }
        many => write(&ENQUEUE.1, many.iter()),
    }
}

fn booking_id(row: &statement::Tuple) -> session::Result<String> {
    Ok(row.get(1)?.unwrap_or_default())
}

/// Each booking once, as it was noted last.
fn latest(noted: &[Noted]) -> Vec<&Noted> {
    let mut seen = HashSet::with_capacity(noted.len());
    noted.iter().rev().filter(|booking| seen.insert(booking.booking_id.as_str())).collect()
}

/// Runs a statement over bookings; gives the ids that it returns.
fn write<'a>(sql: &str, bookings: impl Iterator<Item = &'a Noted>) -> session::Result<Vec<String>> {
    let (ids, arrivals): (Vec<&str>, Vec<Option<&str>>) =
        bookings.map(|booking| (booking.booking_id.as_str(), booking.arrival.as_deref())).unzip();
    statement::rows(sql, &[ids.into(), arrivals.into()], booking_id)
}

/// The longest wait for a lock: never so long that the payment itself runs into its statement_timeout, and in vain
/// only once in a transaction.
fn patience() -> Duration {
    let longest = if IN_VAIN.get() { NO_PATIENCE } else { LOCK_TIMEOUT };
    let left = sys::statement_time_left().map_or(longest, |left| left / 2);
    left.clamp(NO_PATIENCE, longest)
}

/// The sweep finds bookings that were not queued; a change is known only here.
fn warn(notes: &Notes, error: &SqlError) {
    let Notes { paid, changed } = notes;
    if !paid.is_empty() {
        report::warn(
            error.code,
            format!("guestly_sync could not queue {} paid booking(s): {}", paid.len(), error.words()),
            "The payment is not affected. The worker looks for such bookings every guestly_sync.poll_interval.",
        );
    }
    if let Some(first) = changed.first() {
        let call = format!("guestly_sync({})", quote_literal(&first.booking_id));
        report::warn(
            error.code,
            format!("guestly_sync could not record {} changed booking(s): {}", changed.len(), error.words()),
            &format!("The change is not affected. If Guestly has the booking, compare them: SELECT {call}"),
        );
    }
}

static AT_THE_END: Watcher = Watcher { before_commit, over, sub_rolled_back: forget_from };

fn register() {
    if !REGISTERED.replace(true) {
        sys::transaction::watch(&AT_THE_END);
    }
}

/// All that no statement wrote; then what a payment of those turned out to have changed.
fn before_commit() {
    while NOTES.with_borrow(|notes| !notes.paid.is_empty() || !notes.changed.is_empty()) {
        sys::transaction::with_snapshot(|| flush(NOTES.take()));
    }
}

fn over() {
    drop(NOTES.take());
    IN_VAIN.set(false);
}

/// A savepoint was rolled back: its bookings were not paid after all.
fn forget_from(sub: Sub) {
    NOTES.with_borrow_mut(|notes| {
        drop(split_from(&mut notes.paid, sub));
        drop(split_from(&mut notes.changed, sub));
    });
}
