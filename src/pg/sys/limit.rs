//! A time limit for host code in a background worker. The code may catch the cancel and continue: the cancel is repeated, and
//! finally the process ends. Called by `pg::host_code`; main thread only, the handler runs in a signal.

use std::ffi::c_int;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use pgrx::pg_sys;

use super::signals::ignore_cancel;

/// Time between two cancels.
const EVERY: Duration = Duration::from_secs(1);

/// `USER_TIMEOUT` of `utils/timeout.h`, which pgrx does not bind: requests a free id.
const USER_TIMEOUT: c_int = if pg_sys::PG_VERSION_NUM < 170_000 { 12 } else { 13 };

unsafe extern "C" {
    #[link_name = "RegisterTimeout"]
    fn register_timeout(id: c_int, handler: unsafe extern "C-unwind" fn()) -> c_int;
    fn enable_timeout_every(id: c_int, first: pg_sys::TimestampTz, every_ms: c_int);
    fn disable_timeout(id: c_int, keep_indicator: bool);
}

/// The id of our timeout in this process; 0 (an id of the server) until it is registered.
static ID: AtomicI32 = AtomicI32::new(0);
/// Cancels of the current run so far.
static CANCELS: AtomicU32 = AtomicU32::new(0);
/// The process ends after this number of cancels.
static LAST: AtomicU32 = AtomicU32::new(0);

/// True in a background worker.
pub fn is_background_worker() -> bool {
    // SAFETY: a plain pointer that is only compared; main thread.
    unsafe { !pg_sys::MyBgworkerEntry.is_null() }
}

/// A limit for statements of a background worker, where statement_timeout has no effect. After the limit, the statement is
/// cancelled every second; after a second limit the process ends as by SIGTERM, which code in a procedural language cannot
/// catch.
#[must_use = "ending it stops the clock"]
pub struct TimeLimit(bool);

impl TimeLimit {
    /// Starts the clock: after `limit` it cancels, after `longest` it ends the process. Has no effect in a session, which has its
    /// `statement_timeout`. Limits do not nest.
    pub fn start(limit: Duration, longest: Duration) -> Self {
        if !is_background_worker() {
            return Self(false);
        }
        let seconds = longest.saturating_sub(limit).as_secs();
        LAST.store(u32::try_from(seconds).unwrap_or(u32::MAX), Ordering::Relaxed);
        CANCELS.store(0, Ordering::Relaxed);
        let micros = i64::try_from(limit.as_micros()).unwrap_or(i64::MAX / 2);
        let every = c_int::try_from(EVERY.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: every background worker with a database has its timeouts initialized; the handler lives as long as the library.
        unsafe {
            if ID.load(Ordering::Relaxed) == 0 {
                ID.store(register_timeout(USER_TIMEOUT, on_limit), Ordering::Relaxed);
            }
            let first = pg_sys::GetCurrentTimestamp().saturating_add(micros);
            enable_timeout_every(ID.load(Ordering::Relaxed), first, every);
        }
        Self(true)
    }

    /// Stops the clock and drops a late cancel. True if the limit was exceeded.
    pub fn end(self) -> bool {
        if !self.0 {
            return false;
        }
        // SAFETY: the timeout of the matching start; no handler of it runs after this.
        unsafe { disable_timeout(ID.load(Ordering::Relaxed), false) };
        ignore_cancel();
        CANCELS.load(Ordering::Relaxed) > 0
    }
}

/// Stops the clock as the process ends.
pub(super) fn stop() {
    let id = ID.load(Ordering::Relaxed);
    if id != 0 {
        // SAFETY: it is registered; no handler of it runs after this.
        unsafe { disable_timeout(id, false) }
    }
}

/// Called after the limit, and every second from then on.
unsafe extern "C-unwind" fn on_limit() {
    let ends = CANCELS.fetch_add(1, Ordering::Relaxed) >= LAST.load(Ordering::Relaxed);
    // SAFETY: async-signal-safe, as the server's own handlers: flags of this process, and its latch.
    unsafe {
        let flag = if ends { &raw mut pg_sys::ProcDiePending } else { &raw mut pg_sys::QueryCancelPending };
        flag.write_volatile(1);
        (&raw mut pg_sys::InterruptPending).write_volatile(1);
        pg_sys::SetLatch(pg_sys::MyLatch);
    }
}
