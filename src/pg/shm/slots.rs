//! Which worker serves which database. Part of `pg::shm`; main thread of any process.

use pgrx::pg_sys;

use super::memory::{SHARED, Slot, is_preloaded, slot_for};
use crate::pg::sys;

/// The launcher is here.
pub fn publish_launcher() {
    SHARED.exclusive().launcher = sys::my_pid();
}

/// Makes this process the one worker of its database; false if a live one is there already, or no slot is free.
pub fn claim_worker(since_micros: i64) -> bool {
    let mut shared = SHARED.exclusive();
    let Some(slot) = slot_for(&mut shared, sys::my_database().to_u32()) else { return false };
    if slot.worker != sys::my_pid() && sys::is_alive(slot.worker) {
        return false;
    }
    (slot.worker, slot.since, slot.left_cleanly) = (sys::my_pid(), since_micros, false);
    true
}

/// A worker is about to be started: what its dead predecessor left behind no longer counts.
pub fn expect_worker(database: pg_sys::Oid) {
    let mut shared = SHARED.exclusive();
    if let Some(slot) = slot_for(&mut shared, database.to_u32())
        && !sys::is_alive(slot.worker)
    {
        (slot.worker, slot.left_cleanly, slot.absent) = (0, false, false);
    }
}

/// Ends the worker of a database, and keeps its successor away for a moment: longer than the server waits for others to
/// leave. Gives the process id that the worker had, if there was one.
pub fn step_aside(database: pg_sys::Oid, now_micros: i64) -> Option<i32> {
    let mut shared = SHARED.exclusive();
    let slot = shared.slots.iter_mut().find(|slot| slot.database == database.to_u32())?;
    slot.aside_until = now_micros + 6_000_000;
    let worker = slot.worker;
    drop(shared);
    sys::terminate(worker);
    sys::is_alive(worker).then_some(worker)
}

/// This process leaves: why decides when the launcher starts the next one.
pub fn leave(absent: bool) {
    let mut shared = SHARED.exclusive();
    let database = sys::my_database().to_u32();
    if let Some(slot) = shared.slots.iter_mut().find(|slot| slot.database == database && slot.worker == sys::my_pid()) {
        (slot.worker, slot.absent, slot.left_cleanly) = (0, absent, true);
    }
}

/// The slot of a database; an empty one if it has none.
pub fn slot(database: pg_sys::Oid) -> Slot {
    if !is_preloaded() {
        return Slot::default();
    }
    let shared = SHARED.share();
    shared.slots.iter().copied().find(|slot| slot.database == database.to_u32()).unwrap_or_default()
}

/// The live worker of this database: process id, and when it began.
pub fn live_worker() -> Option<(i32, i64)> {
    let slot = slot(sys::my_database());
    sys::is_alive(slot.worker).then_some((slot.worker, slot.since))
}

/// Frees the slots of databases that are gone.
pub fn free_dropped(databases: &[pg_sys::Oid]) {
    for slot in &mut SHARED.exclusive().slots {
        if !sys::is_alive(slot.worker) && !databases.iter().any(|database| database.to_u32() == slot.database) {
            *slot = Slot::default();
        }
    }
}
