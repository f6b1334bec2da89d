//! Runs a callback at process exit, while a transaction is still possible. Called by `pg::record_outcomes::at_exit`; main thread
//! only.

use std::cell::Cell;
use std::ffi::c_int;

use pgrx::{pg_guard, pg_sys};

use super::limit;

thread_local! {
    static BODY: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// Runs `body` outside of a transaction when this process ends, also when SIGTERM or a [`super::TimeLimit`] interrupts code that
/// does not end; not after a crash. An error in it ends the process. To be called once.
pub fn before_exit(body: fn()) {
    BODY.set(Some(body));
    // SAFETY: the callback lives as long as the library; it runs before the server's own, which close the database.
    unsafe { pg_sys::before_shmem_exit(Some(on_exit), pg_sys::Datum::from(0)) }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_exit(_code: c_int, _arg: pg_sys::Datum) {
    let Some(body) = BODY.take() else { return };
    limit::stop();
    // SAFETY: as the server's own exit callbacks that use the database: what was interrupted is aborted and never goes on. The
    // server holds interrupts at the exit; a wait for a lock must end all the same. Errors are FATAL here, and the exit goes on.
    unsafe {
        pg_sys::AbortOutOfAnyTransaction();
        pg_sys::InterruptHoldoffCount = 0;
    }
    body();
    // SAFETY: as the server had it; main thread.
    unsafe { pg_sys::InterruptHoldoffCount = 1 }
}
