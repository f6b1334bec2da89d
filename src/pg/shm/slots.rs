//! The worker of each database, and the launcher. Called by `pg::launcher`, `pg::worker` and `pg::functions`; part of `pg::shm`,
//! main thread of any process.

use pgrx::pg_sys;

use super::memory::{SHARED, Slot, is_preloaded, slot_for};
use crate::pg::sys;

/// Registers this process as the launcher.
pub fn publish_launcher() {
    SHARED.exclusive().launcher = sys::my_pid();
}

/// Registers this process as the worker of its database; false if there is a live one already, or no slot is free.
pub fn claim_worker(since_micros: i64) -> bool {
    let mut shared = SHARED.exclusive();
    let Some(slot) = slot_for(&mut shared, sys::my_database().to_u32()) else { return false };
    if slot.worker != sys::my_pid() && sys::is_alive(slot.worker) {
        return false;
    }
    (slot.worker, slot.since, slot.left_cleanly) = (sys::my_pid(), since_micros, false);
    true
}

/// Prepares the slot for a new worker: clears the state of its dead predecessor.
pub fn expect_worker(database: pg_sys::Oid) {
    let mut shared = SHARED.exclusive();
    if let Some(slot) = slot_for(&mut shared, database.to_u32())
        && !sys::is_alive(slot.worker)
    {
        (slot.worker, slot.left_cleanly, slot.absent) = (0, false, false);
    }
}

/// Ends the worker of a database and delays its successor, for longer than the server waits for other sessions to end.
/// Returns the worker's process id, if there was one.
pub fn step_aside(database: pg_sys::Oid, now_micros: i64) -> Option<i32> {
    let mut shared = SHARED.exclusive();
    let slot = shared.slots.iter_mut().find(|slot| slot.database == database.to_u32())?;
    slot.aside_until = now_micros + 6_000_000;
    let worker = slot.worker;
    drop(shared);
    sys::terminate(worker);
    sys::is_alive(worker).then_some(worker)
}

/// This worker ends. `absent`: the extension is not installed, so that no successor is started.
pub fn leave(absent: bool) {
    let mut shared = SHARED.exclusive();
    let database = sys::my_database().to_u32();
    if let Some(slot) = shared.slots.iter_mut().find(|slot| slot.database == database && slot.worker == sys::my_pid()) {
        (slot.worker, slot.absent, slot.left_cleanly) = (0, absent, true);
    }
}

/// A copy of the slot of a database; an empty one if it has none.
pub fn slot(database: pg_sys::Oid) -> Slot {
    if !is_preloaded() {
        return Slot::default();
    }
    let shared = SHARED.share();
    shared.slots.iter().copied().find(|slot| slot.database == database.to_u32()).unwrap_or_default()
}

/// The live worker of this database: process id, and start in microseconds since the Unix epoch.
pub fn live_worker() -> Option<(i32, i64)> {
    let slot = slot(sys::my_database());
    sys::is_alive(slot.worker).then_some((slot.worker, slot.since))
}

/// Frees the slots of dropped databases.
pub fn free_dropped(databases: &[pg_sys::Oid]) {
    for slot in &mut SHARED.exclusive().slots {
        if !sys::is_alive(slot.worker) && !databases.iter().any(|database| database.to_u32() == slot.database) {
            *slot = Slot::default();
        }
    }
}
