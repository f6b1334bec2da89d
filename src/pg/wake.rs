//! Shared memory: which worker serves which database, and the latch that a commit sets. Loaded through
//! `shared_preload_libraries` only; without it everything here does nothing and says so. Main thread of any process.
//!
//! At commit one lock is taken for a moment and one latch is set: nothing that allocates or can fail, because an error in a
//! commit callback takes the server down.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};

use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgLwLock, pg_shmem_init, pg_sys};

use super::sys;

mod host_code;

pub use host_code::*;

/// Databases with a worker, or looked at for one, in one server.
const SLOTS: usize = 256;

/// One database.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Slot {
    /// Its oid; 0 is a free slot.
    pub database: u32,
    /// The worker's process id; may be stale after a crash of the worker.
    pub worker: i32,
    /// When the worker began, microseconds since the Unix epoch.
    pub since: i64,
    /// Grows when the extension is created, changed or dropped here.
    pub changes: u32,
    /// Grows with each commit that leaves work: the latch alone may be used up by a wait inside a transaction.
    pub wakes: u32,
    /// The worker found no extension here and left.
    pub absent: bool,
    /// No worker may start before then, microseconds since the Unix epoch: somebody needs the database to itself.
    pub aside_until: i64,
    /// Questions of guestly_doctor(online => true), and how many of them were answered.
    pub asked: u32,
    /// See `asked`.
    pub answered: u32,
    /// The same for guestly_test_alert().
    pub mail_asked: u32,
    /// See `mail_asked`.
    pub mail_answered: u32,
    /// The worker left on request: it may be started again at once.
    pub left_cleanly: bool,
}

#[derive(Clone, Copy)]
struct Shared {
    launcher: i32,
    slots: [Slot; SLOTS],
    /// Beside the slots: the host's code that each worker runs.
    host_code: [HostCode; SLOTS],
}

impl Default for Shared {
    fn default() -> Self {
        Self { launcher: 0, slots: [Slot::default(); SLOTS], host_code: [HostCode::default(); SLOTS] }
    }
}

// SAFETY: plain numbers and flags, no pointers; read and written under the lock only.
unsafe impl PGRXSharedMemory for Shared {}

// SAFETY: the name is ours alone.
static SHARED: PgLwLock<Shared> = unsafe { PgLwLock::new(c"guestly_sync") };
/// Set in the postmaster, inherited by every process.
static PRELOADED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static WAKE: Cell<bool> = const { Cell::new(false) };
    static CHANGED: Cell<bool> = const { Cell::new(false) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
    static CALLER_PATH: RefCell<Option<String>> = const { RefCell::new(None) };
}

static mut NEXT_HOOK: pg_sys::object_access_hook_type = None;

/// Asks for shared memory and watches CREATE, ALTER and DROP EXTENSION. From `_PG_init` in the postmaster.
pub fn init() {
    pg_shmem_init!(SHARED);
    PRELOADED.store(true, Ordering::Relaxed);
    // SAFETY: the postmaster has one thread; the former hook is called by ours.
    unsafe {
        NEXT_HOOK = pg_sys::object_access_hook;
        pg_sys::object_access_hook = Some(object_access);
    }
}

/// True when the library was loaded by the postmaster.
pub fn is_preloaded() -> bool {
    PRELOADED.load(Ordering::Relaxed)
}

#[pg_guard]
unsafe extern "C-unwind" fn object_access(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    sub: std::ffi::c_int,
    arg: *mut std::ffi::c_void,
) {
    // SAFETY: set once by init, before any process forked.
    if let Some(next) = unsafe { NEXT_HOOK } {
        // SAFETY: the arguments are passed on as they came.
        unsafe { next(access, class, object, sub, arg) };
    }
    if class == pg_sys::ExtensionRelationId {
        // CREATE EXTENSION sets its own search path next; the script asks where the user would have looked.
        CALLER_PATH.set(sys::setting(c"search_path"));
        CHANGED.set(true);
        register();
    }
}

/// The search path at the last CREATE EXTENSION of this session.
pub fn caller_search_path() -> Option<String> {
    CALLER_PATH.take()
}

/// Wakes this database's worker when, and only when, this transaction commits.
pub fn wake_at_commit() {
    WAKE.set(true);
    register();
}

/// Lets worker and launcher look again when this transaction commits: it commits another one, which was prepared and may
/// have done anything.
pub fn look_at_commit() {
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
            tell(changed);
        }
    } else if event == XACT_EVENT_ABORT {
        WAKE.set(false);
        CHANGED.set(false);
    }
}

fn tell(changed: bool) {
    let database = sys::my_database().to_u32();
    let (worker, launcher) = {
        let mut shared = SHARED.exclusive();
        let launcher = shared.launcher;
        // Without a slot no worker was ever here, and the launcher is told only of changes.
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

/// The slot of a database; takes a free one, or one whose worker is gone and has nothing to tell.
fn slot_for(shared: &mut Shared, database: u32) -> Option<&mut Slot> {
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

/// What is known of a database.
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
pub fn forget_others(databases: &[pg_sys::Oid]) {
    for slot in &mut SHARED.exclusive().slots {
        if !sys::is_alive(slot.worker) && !databases.iter().any(|database| database.to_u32() == slot.database) {
            *slot = Slot::default();
        }
    }
}

/// Asks this database's worker to try the credentials; gives the question's number.
pub fn ask() -> Option<u32> {
    let (worker, question) = {
        let mut shared = SHARED.exclusive();
        let slot = slot_for(&mut shared, sys::my_database().to_u32())?;
        slot.asked = slot.asked.wrapping_add(1);
        (slot.worker, slot.asked)
    };
    sys::set_latch_of(worker);
    Some(question)
}

/// The worker has answered a question.
pub fn answered(question: u32) {
    if let Some(slot) = slot_for(&mut SHARED.exclusive(), sys::my_database().to_u32()) {
        slot.answered = question;
    }
}

/// Asks this database's worker for a test mail; gives the question's number.
pub fn ask_for_mail() -> Option<u32> {
    let (worker, question) = {
        let mut shared = SHARED.exclusive();
        let slot = slot_for(&mut shared, sys::my_database().to_u32())?;
        slot.mail_asked = slot.mail_asked.wrapping_add(1);
        (slot.worker, slot.mail_asked)
    };
    sys::set_latch_of(worker);
    Some(question)
}

/// The test mail has come to its end.
pub fn mail_answered(question: u32) {
    if let Some(slot) = slot_for(&mut SHARED.exclusive(), sys::my_database().to_u32()) {
        slot.mail_answered = question;
    }
}
