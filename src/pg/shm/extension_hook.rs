//! The hook for CREATE, ALTER and DROP EXTENSION. Part of `pg::shm`; main thread of any process.

use std::cell::RefCell;

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::commit_hook;
use crate::pg::sys;

thread_local! {
    static CALLER_PATH: RefCell<Option<String>> = const { RefCell::new(None) };
}

static mut NEXT_HOOK: pg_sys::object_access_hook_type = None;

/// Installs the hook. Called by `_PG_init` in the postmaster.
pub(super) fn init() {
    // SAFETY: the postmaster has one thread; the previous hook is called by ours.
    unsafe {
        NEXT_HOOK = pg_sys::object_access_hook;
        pg_sys::object_access_hook = Some(object_access);
    }
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
        // CREATE EXTENSION sets its own search path next; the script needs the user's.
        CALLER_PATH.set(sys::setting(c"search_path"));
        commit_hook::recheck_at_commit();
    }
}

/// The search path at the last CREATE EXTENSION of this session.
pub fn caller_search_path() -> Option<String> {
    CALLER_PATH.take()
}
