//! The host code (triggers, rules, mapping expressions) that each worker runs, in shared memory: its start and its booking. A
//! session reads it while the worker hangs; the next worker reads where its predecessor hung. Called by `pg::host_code`,
//! `pg::launcher` and `pg::worker`; part of `pg::shm`, main thread of any process.

use std::time::Duration;

use pgrx::pg_sys;

use super::memory::{HostCode, SHARED, index_of, is_preloaded};
use crate::pg::sys;

/// A worker that dies in host code after this time has hung in it; after a shorter time it is a coincidence. Less than the
/// shortest time after which `pg::host_code` ends the process.
const HUNG: Duration = Duration::from_secs(4);

/// This worker begins to run host code: for one booking, for several, or on the whole table.
pub fn enter_host_code(now_micros: i64, booking_id: Option<&str>, table: bool) {
    set(|code| *code = code.begun(now_micros, booking_id, table));
}

/// The code has ended.
pub fn leave_host_code() {
    set(|code| *code = code.ended());
}

/// Records the time at which the sweep was cancelled, in microseconds since the Unix epoch; 0: it ended in time.
pub fn record_sweep_end(stopped_micros: i64) {
    set(|code| code.sweep_stopped = stopped_micros);
}

/// The time at which the last sweep of this database was cancelled, in microseconds since the Unix epoch; `None` if it ended in
/// time.
pub fn sweep_stopped() -> Option<i64> {
    if !is_preloaded() {
        return None;
    }
    let shared = SHARED.share();
    let code = shared.host_code.get(index_of(&shared, sys::my_database())?)?;
    (code.sweep_stopped != 0).then_some(code.sweep_stopped)
}

fn set(change: impl FnOnce(&mut HostCode)) {
    let mut shared = SHARED.exclusive();
    let (database, worker) = (sys::my_database().to_u32(), sys::my_pid());
    let mine = shared.slots.iter().position(|slot| slot.database == database && slot.worker == worker);
    if let Some(place) = mine.and_then(|index| shared.host_code.get_mut(index)) {
        change(place);
    }
}

/// The code that the live worker of this database runs, with its process id.
pub fn host_code() -> Option<(i32, HostCode)> {
    if !is_preloaded() {
        return None;
    }
    let shared = SHARED.share();
    let index = index_of(&shared, sys::my_database())?;
    let (slot, code) = (shared.slots.get(index)?, *shared.host_code.get(index)?);
    (code.since != 0 && code.hung == 0 && sys::is_alive(slot.worker)).then_some((slot.worker, code))
}

/// Records that the worker of a database has ended, and the hang if it ended in host code. Called by the launcher.
pub fn record_worker_death(database: pg_sys::Oid, now_micros: i64) {
    let mut shared = SHARED.exclusive();
    let Some(index) = index_of(&shared, database) else { return };
    let Some(code) = shared.host_code.get_mut(index).filter(|code| code.since != 0 && code.hung == 0) else { return };
    let age = Duration::from_micros(u64::try_from(now_micros - code.since).unwrap_or_default());
    if age >= HUNG {
        code.hung = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
    } else {
        *code = code.ended();
    }
}

/// Host code in which a worker hung and was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hang {
    /// The booking that it ran for; `None` if it ran for several.
    pub booking_id: Option<String>,
    /// It was a statement on the whole table.
    pub table: bool,
    /// Its age when the process ended, in seconds.
    pub seconds: u32,
}

/// The hang that ended the previous worker of this database, if any.
pub fn take_hang() -> Option<Hang> {
    let mut shared = SHARED.exclusive();
    let index = index_of(&shared, sys::my_database())?;
    let place = shared.host_code.get_mut(index)?;
    let code = std::mem::replace(place, place.ended());
    (code.hung > 0).then(|| Hang { booking_id: code.booking_id(), table: code.table, seconds: code.hung })
}
