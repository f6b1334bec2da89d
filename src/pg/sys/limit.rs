//! A time limit for code of the host application that a background worker runs. The code may catch the cancel and go on: the
//! cancel is repeated, and at last the process ends. Main thread only; the handler runs in a signal.

use std::ffi::c_int;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use pgrx::pg_sys;

use super::signals::ignore_cancel;

/// Between two cancels.
const EVERY: Duration = Duration::from_secs(1);

/// `USER_TIMEOUT` of `utils/timeout.h`, which pgrx does not bind: asks for an id that is free.
const USER_TIMEOUT: c_int = if pg_sys::PG_VERSION_NUM < 170_000 { 12 } else { 13 };

unsafe extern "C" {
    #[link_name = "RegisterTimeout"]
    fn register_timeout(id: c_int, handler: unsafe extern "C-unwind" fn()) -> c_int;
    fn enable_timeout_every(id: c_int, first: pg_sys::TimestampTz, every_ms: c_int);
    fn disable_timeout(id: c_int, keep_indicator: bool);
}

/// The id of our timeout in this process; 0 (which is the server's) until it is registered.
static ID: AtomicI32 = AtomicI32::new(0);
/// Cancels of the current section so far.
static CANCELS: AtomicU32 = AtomicU32::new(0);
/// After so many cancels the process ends.
static LAST: AtomicU32 = AtomicU32::new(0);

/// True in a background worker.
pub fn is_background_worker() -> bool {
    // SAFETY: a plain pointer that is only compared; main thread.
    unsafe { !pg_sys::MyBgworkerEntry.is_null() }
}

/// A limit for what runs in a background worker, where no statement_timeout counts. Past it, the statement is cancelled each
/// second; past a second limit the process ends as by SIGTERM, which code in a procedural language cannot catch.
#[must_use = "ending it stops the clock"]
pub struct TimeLimit(bool);

impl TimeLimit {
    /// Starts the clock: past `limit` it cancels, past `longest` it ends the process. A session has a limit of its own, and keeps
    /// it. Limits do not nest.
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

    /// Stops it; a cancel that came too late is dropped. True if the limit was passed.
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

/// The limit was passed, or a second more. The server's own handler of the alarm has set the latch.
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
