//! Sets the worker's latch at commit, if the transaction queued work. Called by `pg::trigger` and `pg::functions`; part of
//! `pg::shm`, main thread of any process.
//!
//! The callback takes one lock and sets one latch: nothing allocates or can fail, because an error in a commit callback would
//! take the server down.

use std::cell::Cell;

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::memory::{SHARED, is_preloaded, slot_for};
use crate::pg::sys;

thread_local! {
    static WAKE: Cell<bool> = const { Cell::new(false) };
    static CHANGED: Cell<bool> = const { Cell::new(false) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// Wakes this database's worker if and when this transaction commits.
pub fn wake_at_commit() {
    WAKE.set(true);
    register();
}

/// Makes worker and launcher check the extension again when this transaction commits: it may have created or dropped it, or
/// commits a prepared transaction.
pub fn recheck_at_commit() {
    CHANGED.set(true);
    register();
}

fn register() {
    if !REGISTERED.replace(true) {
        // SAFETY: registered once per process; the callback lives as long as the library, which is never unloaded.
        unsafe { pg_sys::RegisterXactCallback(Some(at_end), std::ptr::null_mut()) };
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_end(event: pg_sys::XactEvent::Type, _arg: *mut std::ffi::c_void) {
    use pg_sys::XactEvent::*;
    if matches!(event, XACT_EVENT_COMMIT | XACT_EVENT_PREPARE) {
        let (wake, changed) = (WAKE.take(), CHANGED.take());
        if is_preloaded() && (wake || changed) {
            set_latches(changed);
        }
    } else if event == XACT_EVENT_ABORT {
        WAKE.set(false);
        CHANGED.set(false);
    }
}

fn set_latches(changed: bool) {
    let database = sys::my_database().to_u32();
    let (worker, launcher) = {
        let mut shared = SHARED.exclusive();
        let launcher = shared.launcher;
        // Without a slot there was never a worker here, and only a change of the extension needs one.
        let known = shared.slots.iter().any(|slot| slot.database == database);
        let slot = if changed || known { slot_for(&mut shared, database) } else { None };
        let worker = slot.map_or(0, |slot| {
            slot.wakes = slot.wakes.wrapping_add(1);
            slot.changes = slot.changes.wrapping_add(u32::from(changed));
            slot.absent &= !changed;
            slot.worker
        });
        (worker, launcher)
    };
    sys::set_latch_of(worker);
    if changed {
        sys::set_latch_of(launcher);
    }
}
