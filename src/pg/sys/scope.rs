//! Thin wrappers for the settings and the role that code runs with. Called by `pg::db::session`, `pg::host` and
//! `pg::trigger`. Main thread only, which is what "main thread" in the reasons means.

use std::ffi::{CStr, CString};
use std::time::Duration;

use pgrx::pg_sys;

/// Sets a GUC until the enclosing [`GucLevel`] ends.
pub fn set_locally(name: &CStr, value: &str) {
    set_option(name, value, pg_sys::GucAction::GUC_ACTION_SAVE);
}

/// Sets a GUC for the rest of the session. Outside of a transaction.
pub fn set_for_session(name: &CStr, value: &str) {
    set_option(name, value, pg_sys::GucAction::GUC_ACTION_SET);
}

fn set_option(name: &CStr, value: &str, action: pg_sys::GucAction::Type) {
    let Ok(value) = CString::new(value) else { return };
    let (context, source) = (pg_sys::GucContext::PGC_SUSET, pg_sys::GucSource::PGC_S_SESSION);
    // SAFETY: both strings outlive the call, which copies them.
    unsafe {
        pg_sys::set_config_option(name.as_ptr(), value.as_ptr(), context, source, action, true, 0, false);
    }
}

/// A nesting level of settings: closing it undoes everything that was set inside; after an error, the abort of the
/// (sub)transaction does. The end of a subtransaction alone would keep the settings that the host's code has `SET`.
#[must_use = "closing it undoes what was set inside"]
pub struct GucLevel(i32);

impl GucLevel {
    /// Opens a level.
    pub fn open() -> Self {
        // SAFETY: inside a transaction, main thread; levels nest as these values do.
        Self(unsafe { pg_sys::NewGUCNestLevel() })
    }

    /// Closes it and undoes what was set inside.
    pub fn close(self) {
        // SAFETY: the level of the matching open.
        unsafe { pg_sys::AtEOXact_GUC(false, self.0) }
    }
}

/// The value of a setting in this session.
pub fn setting(name: &CStr) -> Option<String> {
    // SAFETY: the returned string belongs to the server and is copied at once; missing settings give null.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}

/// The rest of the statement_timeout of the client's current statement; `None` without one.
pub fn statement_time_left() -> Option<Duration> {
    // SAFETY: plain values of this process; main thread.
    let (limit, since, now) = unsafe {
        (pg_sys::StatementTimeout, pg_sys::GetCurrentStatementStartTimestamp(), pg_sys::GetCurrentTimestamp())
    };
    let used = Duration::from_micros(u64::try_from(now - since).unwrap_or_default());
    let limit = Duration::from_millis(u64::try_from(limit).unwrap_or_default());
    (!limit.is_zero()).then(|| limit.saturating_sub(used))
}

/// The current user id and security context.
pub fn current_user() -> (pg_sys::Oid, i32) {
    let mut user = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: both pointers are to locals.
    unsafe { pg_sys::GetUserIdAndSecContext(&mut user, &mut context) };
    (user, context)
}

/// Sets the current user id and security context. After an error, the abort of the (sub)transaction restores the previous ones.
pub fn set_current_user(user: pg_sys::Oid, context: i32) {
    // SAFETY: inside a transaction, main thread; the caller restores what current_user gave.
    unsafe { pg_sys::SetUserIdAndSecContext(user, context) }
}

/// The flag that keeps the host's code from changing roles or deferring work.
pub const RESTRICTED: i32 = pg_sys::SECURITY_RESTRICTED_OPERATION as i32;

/// The flag that keeps a session from resetting its role meanwhile.
pub const LOCAL_USER_CHANGE: i32 = pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32;
