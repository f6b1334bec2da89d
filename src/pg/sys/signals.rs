//! Signals of a background worker: handlers that only set flags, and functions that take the flags. Called by `pg::worker` and
//! `pg::launcher`; main thread only.

use pgrx::pg_sys;

/// Installs the handlers for reload and stop, then unblocks signals.
pub fn attach_signals() {
    // SAFETY: both handlers only set flags and the latch; main thread, before any other thread is made.
    unsafe {
        pg_sys::pqsignal(pg_sys::SIGHUP as i32, Some(on_reload));
        pg_sys::pqsignal(pg_sys::SIGTERM as i32, Some(on_stop));
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

unsafe extern "C-unwind" fn on_reload(_signal: i32) {
    // SAFETY: async-signal-safe, as the server's own handler: a flag and the latch.
    unsafe {
        (&raw mut pg_sys::ConfigReloadPending).write_volatile(1);
        pg_sys::SetLatch(pg_sys::MyLatch);
    }
}

/// Like the server's `die`: a statement in progress ends at its next interrupt check.
unsafe extern "C-unwind" fn on_stop(_signal: i32) {
    // SAFETY: async-signal-safe, as the server's own handler: flags and the latch.
    unsafe {
        (&raw mut pg_sys::ProcDiePending).write_volatile(1);
        (&raw mut pg_sys::InterruptPending).write_volatile(1);
        pg_sys::SetLatch(pg_sys::MyLatch);
    }
}

/// True once after each SIGHUP.
pub fn take_reload_request() -> bool {
    // SAFETY: a sig_atomic_t flag of this process, which only a signal handler sets.
    unsafe { take(&raw mut pg_sys::ConfigReloadPending) }
}

/// True once after a SIGTERM. Taking it defers the end of the process until [`exit`], so that outcomes can be recorded first; a
/// second SIGTERM ends it at the next interrupt check.
pub fn take_stop_request() -> bool {
    // SAFETY: a sig_atomic_t flag of this process, which only a signal handler sets.
    unsafe { take(&raw mut pg_sys::ProcDiePending) }
}

/// Drops a request to cancel a statement: between transactions there is nothing to cancel.
pub fn ignore_cancel() {
    // SAFETY: a sig_atomic_t flag of this process, which only a signal handler sets.
    let _cancelled = unsafe { take(&raw mut pg_sys::QueryCancelPending) };
}

/// Requests the cancel of the current statement again, after the first request was caught.
pub fn cancel_again() {
    // SAFETY: flags of this process, set as the server's own handler sets them; main thread.
    unsafe {
        (&raw mut pg_sys::QueryCancelPending).write_volatile(1);
        (&raw mut pg_sys::InterruptPending).write_volatile(1);
    }
}

/// True if a stop or a reload was requested and not taken: a wait in between may have reset the latch.
pub fn has_request() -> bool {
    // SAFETY: sig_atomic_t flags of this process; volatile, as the C declarations have them.
    unsafe {
        (&raw const pg_sys::ConfigReloadPending).read_volatile() != 0
            || (&raw const pg_sys::ProcDiePending).read_volatile() != 0
    }
}

/// Reads and clears a flag. Writes only if it is set: a signal in between must not be lost.
///
/// # Safety
///
/// `flag` is a sig_atomic_t of this process.
unsafe fn take(flag: *mut pg_sys::sig_atomic_t) -> bool {
    // SAFETY: the caller's promise; volatile, as the C declarations have it.
    unsafe {
        let pending = flag.read_volatile() != 0;
        if pending {
            flag.write_volatile(0);
        }
        pending
    }
}
