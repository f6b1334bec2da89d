//! The shared memory: its layout, its lock, and the slot of each database. Part of `pg::shm`; main thread of any process.

use std::sync::atomic::{AtomicBool, Ordering};

use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgLwLock, pg_shmem_init, pg_sys};

/// Most databases with a worker in one server.
pub(super) const SLOTS: usize = 256;
/// Longest booking id that is stored, in bytes; a run for a longer one counts as a run for several bookings.
const ID_BYTES: usize = 200;

/// One database.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Slot {
    /// Its oid; 0 is a free slot.
    pub database: u32,
    /// The worker's process id; may be stale after a crash of the worker.
    pub worker: i32,
    /// When the worker started, in microseconds since the Unix epoch.
    pub since: i64,
    /// Incremented when the extension is created, altered or dropped here.
    pub changes: u32,
    /// Incremented by each commit that queues work: a wait inside a transaction may have reset the latch.
    pub wakes: u32,
    /// The worker found no extension here and ended.
    pub absent: bool,
    /// No worker may start before this time, in microseconds since the Unix epoch: a statement needs exclusive access.
    pub aside_until: i64,
    /// Number of the last question of guestly_doctor(online => true).
    pub asked: u32,
    /// Number of the last answered one.
    pub answered: u32,
    /// Number of the last question of guestly_test_alert().
    pub mail_asked: u32,
    /// Number of the last answered one.
    pub mail_answered: u32,
    /// The worker ended on request and may be restarted at once.
    pub left_cleanly: bool,
}

/// The host code that the worker of one database runs.
#[derive(Clone, Copy)]
pub struct HostCode {
    /// Its start, in microseconds since the Unix epoch; 0: the worker runs none.
    pub since: i64,
    /// Its run time in seconds when the process ended; 0: the process lives, or did not end because of it.
    pub(super) hung: u32,
    /// It is a statement on the whole table.
    pub(super) table: bool,
    /// When the last sweep was cancelled, in microseconds since the Unix epoch; 0: it ended in time.
    pub(super) sweep_stopped: i64,
    length: u8,
    id: [u8; ID_BYTES],
}

impl Default for HostCode {
    fn default() -> Self {
        Self { since: 0, hung: 0, table: false, sweep_stopped: 0, length: 0, id: [0; ID_BYTES] }
    }
}

impl HostCode {
    /// Code begins to run; the end of the last sweep is kept.
    pub(super) fn begun(&self, since: i64, booking_id: Option<&str>, table: bool) -> Self {
        let mut begun = Self { since, table, sweep_stopped: self.sweep_stopped, ..Self::default() };
        let bytes = booking_id.map(str::as_bytes).unwrap_or_default();
        if let (Some(place), Ok(length)) = (begun.id.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            place.copy_from_slice(bytes);
            begun.length = length;
        }
        begun
    }

    /// No code runs; the end of the last sweep is kept.
    pub(super) fn ended(&self) -> Self {
        Self { sweep_stopped: self.sweep_stopped, ..Self::default() }
    }

    /// The booking, if the code runs for one alone.
    pub fn booking_id(&self) -> Option<String> {
        let bytes = self.id.get(..usize::from(self.length)).filter(|bytes| !bytes.is_empty())?;
        String::from_utf8(bytes.to_vec()).ok()
    }
}

#[derive(Clone, Copy)]
pub(super) struct Shared {
    pub(super) launcher: i32,
    pub(super) slots: [Slot; SLOTS],
    /// Beside the slots: the host's code that each worker runs.
    pub(super) host_code: [HostCode; SLOTS],
}

impl Default for Shared {
    fn default() -> Self {
        Self { launcher: 0, slots: [Slot::default(); SLOTS], host_code: [HostCode::default(); SLOTS] }
    }
}

// SAFETY: plain numbers and flags, no pointers; read and written under the lock only.
unsafe impl PGRXSharedMemory for Shared {}

// SAFETY: no other library uses this name.
pub(super) static SHARED: PgLwLock<Shared> = unsafe { PgLwLock::new(c"guestly_sync") };
/// Set in the postmaster, inherited by every process.
static PRELOADED: AtomicBool = AtomicBool::new(false);

/// Requests the shared memory. Called by `_PG_init` in the postmaster.
pub(super) fn init() {
    pg_shmem_init!(SHARED);
    PRELOADED.store(true, Ordering::Relaxed);
}

/// True when the library was loaded by the postmaster.
pub fn is_preloaded() -> bool {
    PRELOADED.load(Ordering::Relaxed)
}

/// The slot of a database. Uses a free one if it has none, or one of a database without the extension and without a worker.
pub(super) fn slot_for(shared: &mut Shared, database: u32) -> Option<&mut Slot> {
    let mine = shared.slots.iter().position(|slot| slot.database == database);
    let free = || shared.slots.iter().position(|slot| slot.database == 0 || (slot.absent && slot.worker == 0));
    let index = mine.or_else(free)?;
    let slot = shared.slots.get_mut(index)?;
    if slot.database != database {
        *slot = Slot { database, ..Slot::default() };
        *shared.host_code.get_mut(index)? = HostCode::default();
    }
    Some(slot)
}

/// Index of the slot of `database`.
pub(super) fn index_of(shared: &Shared, database: pg_sys::Oid) -> Option<usize> {
    (0..SLOTS).find(|index| shared.slots.get(*index).is_some_and(|slot| slot.database == database.to_u32()))
}
