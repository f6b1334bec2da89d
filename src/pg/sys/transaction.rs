//! Thin wrappers around the server's transaction functions. Called by `pg::db::session` and `pg::trigger`. Main thread only,
//! which is what "main thread" in the reasons means.

use std::ffi::c_void;

use pgrx::{pg_guard, pg_sys};

/// Starts a transaction with a snapshot.
pub fn begin() {
    // SAFETY: outside of a transaction, main thread; paired with commit or abort by pg::db::session.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
    }
}

/// Commits the transaction.
pub fn commit() {
    // SAFETY: the snapshot is the one of begin; deferred triggers may raise, which the caller catches.
    unsafe {
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
    }
}

/// Aborts the transaction, if one is open.
pub fn abort() {
    // SAFETY: allowed in every state; does nothing outside of a transaction.
    unsafe { pg_sys::AbortCurrentTransaction() }
}

/// The state to restore at the end of a subtransaction.
pub struct Saved {
    memory: pg_sys::MemoryContext,
    owner: pg_sys::ResourceOwner,
}

/// Starts an internal subtransaction.
pub fn begin_sub() -> Saved {
    // SAFETY: inside a transaction, main thread; memory context and resource owner are kept to be restored.
    unsafe {
        let saved = Saved { memory: pg_sys::CurrentMemoryContext, owner: pg_sys::CurrentResourceOwner };
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::CurrentMemoryContext = saved.memory;
        saved
    }
}

/// Ends the subtransaction: keeps or undoes its work.
pub fn end_sub(saved: Saved, keep: bool) {
    // SAFETY: the subtransaction of the matching begin_sub is the innermost one; then the outer state is restored.
    unsafe {
        pg_sys::CurrentMemoryContext = saved.memory;
        if keep {
            pg_sys::ReleaseCurrentSubTransaction();
        } else {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::CurrentMemoryContext = saved.memory;
        pg_sys::CurrentResourceOwner = saved.owner;
    }
}

/// Id of a subtransaction; grows within a transaction.
pub type Sub = pg_sys::SubTransactionId;

/// The innermost open subtransaction.
pub fn current_sub() -> Sub {
    // SAFETY: reads the transaction state; main thread.
    unsafe { pg_sys::GetCurrentSubTransactionId() }
}

/// Callbacks around the end of every transaction of this process.
pub struct Watcher {
    /// About to commit or to be prepared: an error still aborts the transaction.
    pub before_commit: fn(),
    /// Committed, prepared or aborted. Must not fail, because an error here would take the server down.
    pub over: fn(),
    /// This subtransaction was rolled back. Must not fail.
    pub sub_rolled_back: fn(Sub),
}

/// Registers the watcher for the life of the process.
pub fn watch(watcher: &'static Watcher) {
    let arg = std::ptr::from_ref(watcher).cast_mut().cast();
    // SAFETY: the callbacks are functions of this library, which is never unloaded, and take a Watcher.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_end), arg);
        pg_sys::RegisterSubXactCallback(Some(at_sub_end), arg);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_end(event: pg_sys::XactEvent::Type, arg: *mut c_void) {
    use pg_sys::XactEvent::*;
    // SAFETY: watch registered this callback with a Watcher that lives for ever.
    let watcher = unsafe { &*arg.cast::<Watcher>() };
    match event {
        XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE => (watcher.before_commit)(),
        XACT_EVENT_ABORT | XACT_EVENT_COMMIT | XACT_EVENT_PREPARE => (watcher.over)(),
        _ => {}
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_sub_end(event: pg_sys::SubXactEvent::Type, sub: Sub, _parent: Sub, arg: *mut c_void) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        // SAFETY: watch registered this callback with a Watcher that lives for ever.
        let watcher = unsafe { &*arg.cast::<Watcher>() };
        (watcher.sub_rolled_back)(sub);
    }
}

/// Runs `body` with a snapshot, which does not exist any more just before a commit.
pub fn with_snapshot(body: impl FnOnce()) {
    // SAFETY: inside a transaction that is about to commit; an error in between aborts it, snapshots included.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
    body();
    // SAFETY: the snapshot pushed above is on top again.
    unsafe { pg_sys::PopActiveSnapshot() };
}
