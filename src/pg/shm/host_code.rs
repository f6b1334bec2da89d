//! Shared memory: since when each worker runs code of the host application (triggers, rules, mapping expressions), and for
//! which booking. A session reads it while the worker hangs; the next worker learns from it where its predecessor hung.
//! Part of `pg::shm`.

use std::time::Duration;

use pgrx::pg_sys;

use super::memory::{HostCode, SHARED, index_of, is_preloaded};
use crate::pg::sys;

/// A worker that dies in such code after this long hung there; a shorter stay is a coincidence. Less than the shortest time
/// after which `pg::host_code` ends the process.
const HUNG: Duration = Duration::from_secs(4);

/// This worker begins to run such code: for one booking, for several, or over the whole table.
pub fn enter_host_code(now_micros: i64, booking_id: Option<&str>, table: bool) {
    set(|code| *code = code.begun(now_micros, booking_id, table));
}

/// It has ended.
pub fn leave_host_code() {
    set(|code| *code = code.ended());
}

/// The sweep was cancelled at that time, microseconds since the Unix epoch; 0: it has ended in time.
pub fn record_sweep_end(stopped_micros: i64) {
    set(|code| code.sweep_stopped = stopped_micros);
}

/// When the last sweep of this database was cancelled, microseconds since the Unix epoch; none if it ended in time.
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

/// From the launcher, as soon as the worker of a database is gone: whether it died hanging in such code.
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

/// Code of the host that a worker was ended in, because it did not end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hang {
    /// The booking it ran for; none: several.
    pub booking_id: Option<String>,
    /// It was a statement over the whole table.
    pub table: bool,
    /// Its age when the process ended, in seconds.
    pub seconds: u32,
}

/// The code that the former worker of this database hung in, if it did.
pub fn take_hang() -> Option<Hang> {
    let mut shared = SHARED.exclusive();
    let index = index_of(&shared, sys::my_database())?;
    let place = shared.host_code.get_mut(index)?;
    let code = std::mem::replace(place, place.ended());
    (code.hung > 0).then(|| Hang { booking_id: code.booking_id(), table: code.table, seconds: code.hung })
}
