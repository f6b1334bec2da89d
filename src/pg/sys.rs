//! Thin wrappers around the server's C functions: no logic, one reason for each `unsafe`. Called by all of `pg`. Main thread
//! only: every function here uses state of the process's main thread, which is what "main thread" in the reasons means.

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;
use std::time::Duration;

use pgrx::bgworkers::{BackgroundWorkerBuilder, BackgroundWorkerStatus, BgWorkerStartTime, DynamicBackgroundWorker};
use pgrx::{PgMemoryContexts, pg_sys};

mod at_exit;
mod limit;
pub mod query;
pub mod relation;
mod scope;
mod signals;
pub mod transaction;
mod trigger_row;
pub mod utility;

pub use at_exit::before_exit;
pub use limit::{TimeLimit, is_background_worker};
pub use scope::*;
pub use signals::*;
pub use trigger_row::TriggerRow;

/// True while `pg_upgrade` runs the server: nothing may start.
pub fn is_binary_upgrade() -> bool {
    // SAFETY: a plain flag, set before any library is loaded; main thread.
    unsafe { pg_sys::IsBinaryUpgrade }
}

/// True while the postmaster loads `shared_preload_libraries`.
pub fn is_preloading() -> bool {
    // SAFETY: a plain flag; main thread.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// Reserves our prefix, so that unknown settings with it are rejected.
pub fn reserve_prefix(prefix: &'static CStr) {
    // SAFETY: the name is a constant; called once from _PG_init, main thread.
    unsafe { pg_sys::MarkGUCPrefixReserved(prefix.as_ptr()) }
}

/// Reads the configuration files again; the signal handler only sets a flag.
pub fn reload_configuration() {
    // SAFETY: called between transactions on the main thread, as the server's own processes do it.
    unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) }
}

/// Ends the process. With code 1 the postmaster restarts a static worker, with 0 it does not.
pub fn exit(code: i32) -> ! {
    // SAFETY: the regular end of a server process; runs its exit callbacks on the main thread.
    unsafe { pg_sys::proc_exit(code) }
}

/// Sleeps until the latch is set, `fd` is readable or the time is over; returns true if `fd` is readable. Ends the process if the
/// postmaster has died.
pub fn wait(fd: Option<RawFd>, timeout: Option<Duration>) -> bool {
    let mut events = pg_sys::WL_LATCH_SET | pg_sys::WL_EXIT_ON_PM_DEATH;
    // Rounded up to milliseconds, so that the time is over afterwards.
    let millis =
        timeout.map_or(-1, |time| i64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i64::MAX).min(3_600_000));
    events |= if timeout.is_some() { pg_sys::WL_TIMEOUT } else { 0 };
    events |= if fd.is_some() { pg_sys::WL_SOCKET_READABLE } else { 0 };
    // SAFETY: MyLatch is this process's latch; the descriptor is open for as long as its owner, the caller, lives.
    unsafe {
        let socket = fd.unwrap_or(-1);
        let what = pg_sys::WaitLatchOrSocket(pg_sys::MyLatch, events as i32, socket, millis, pg_sys::PG_WAIT_EXTENSION);
        pg_sys::ResetLatch(pg_sys::MyLatch);
        what & pg_sys::WL_SOCKET_READABLE as i32 != 0
    }
}

/// The database of this process.
pub fn my_database() -> pg_sys::Oid {
    // SAFETY: set when the process connected; main thread.
    unsafe { pg_sys::MyDatabaseId }
}

/// The process id of this process.
pub fn my_pid() -> i32 {
    // SAFETY: set at process start.
    unsafe { pg_sys::MyProcPid }
}

/// The argument that a background worker was registered with.
pub fn worker_argument(arg: pg_sys::Datum) -> pg_sys::Oid {
    pg_sys::Oid::from(arg.value() as u32)
}

/// Connects a background worker to a database as the bootstrap superuser, or with `None` to the shared catalogs only.
pub fn connect(database: Option<pg_sys::Oid>) {
    // SAFETY: called once, first thing in a background worker's main function.
    unsafe {
        match database {
            Some(oid) => pg_sys::BackgroundWorkerInitializeConnectionByOid(oid, pg_sys::InvalidOid, 0),
            None => pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0),
        }
    }
}

/// The databases that allow connections, except templates. Inside a transaction.
pub fn databases() -> Vec<pg_sys::Oid> {
    let mut found = Vec::new();
    // SAFETY: a catalog scan inside a transaction, closed before return; the tuples are read while the scan holds them.
    unsafe {
        let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::table_beginscan_catalog(relation, 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            let header = (*tuple).t_data;
            let form = header.cast::<u8>().add((*header).t_hoff.into()).cast::<pg_sys::FormData_pg_database>();
            if (*form).datallowconn && !(*form).datistemplate {
                found.push((*form).oid);
            }
        }
        pg_sys::heap_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
    }
    found
}

/// Sets the activity in `pg_stat_activity`; `None` is idle.
pub fn report_activity(query: Option<&CStr>) {
    // SAFETY: the string is copied; main thread.
    unsafe {
        match query {
            Some(text) => pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, text.as_ptr()),
            None => pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null()),
        }
    }
}

/// Reports the counters of finished transactions to the statistics, which autovacuum needs. `now`: at once, before a long sleep;
/// otherwise at most once a second.
pub fn report_statistics(now: bool) {
    // SAFETY: called outside of a transaction, on the main thread.
    unsafe {
        pg_sys::pgstat_report_stat(now);
    }
}

/// A background worker that was started from here.
pub struct Started(DynamicBackgroundWorker);

impl Started {
    /// True until the worker has ended, also while it waits for access to its database.
    pub fn has_not_ended(&self) -> bool {
        !matches!(self.0.pid(), Err(BackgroundWorkerStatus::Stopped | BackgroundWorkerStatus::PostmasterDied))
    }
}

/// Starts a dynamic background worker whose end is reported to this process; `None` if no slot is free.
pub fn start_worker(function: &str, name: &str, argument: pg_sys::Oid) -> Option<Started> {
    let builder = BackgroundWorkerBuilder::new(name)
        .set_function(function)
        .set_library("guestly_sync")
        .set_argument(Some(pg_sys::Datum::from(argument)))
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_notify_pid(my_pid())
        .enable_spi_access();
    // The handle is allocated in the current memory context, and used long after this transaction.
    let load = |_: &mut PgMemoryContexts| builder.load_dynamic();
    // SAFETY: the top memory context is never freed.
    unsafe { PgMemoryContexts::TopMemoryContext.switch_to(load) }.ok().map(Started)
}

/// True while the process with this id is a live backend.
pub fn is_alive(pid: i32) -> bool {
    // SAFETY: looks a pid up in shared memory under the server's lock; main thread.
    pid != 0 && unsafe { !pg_sys::BackendPidGetProc(pid).is_null() }
}

/// Sets the latch of a live backend; nothing happens if it is gone.
pub fn set_latch_of(pid: i32) {
    if pid == 0 {
        return;
    }
    // SAFETY: a PGPROC never moves; if the process ends in between, another one is woken once, which does no harm.
    unsafe {
        let process = pg_sys::BackendPidGetProc(pid);
        if !process.is_null() {
            pg_sys::SetLatch(&raw mut (*process).procLatch);
        }
    }
}

/// Asks a live backend to end.
pub fn terminate(pid: i32) {
    if is_alive(pid) {
        // SAFETY: a plain signal to a process of this server that was alive a moment ago.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
}

/// The identifier that initdb gave the cluster.
pub fn system_identifier() -> u64 {
    // SAFETY: reads the control file's copy in shared memory.
    unsafe { pg_sys::GetSystemIdentifier() }
}

/// True if our extension is installed in this database. Inside a transaction.
pub fn is_installed() -> bool {
    // SAFETY: a catalog look-up inside a transaction; missing is allowed.
    unsafe { pg_sys::get_extension_oid(c"guestly_sync".as_ptr(), true) != pg_sys::InvalidOid }
}

/// The number of statements in a text; raises on a syntax error, which the caller catches.
pub fn statement_count(sql: &str) -> usize {
    let Ok(text) = CString::new(sql) else { return 0 };
    // SAFETY: the text outlives the parse; the tree is allocated in the current memory context and only counted.
    unsafe {
        let list = pg_sys::raw_parser(text.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        if list.is_null() { 0 } else { usize::try_from((*list).length).unwrap_or_default() }
    }
}
