//! Transactions, subtransactions and the owner's rights: the only way from this crate to SQL.
//!
//! A Postgres error is a Rust panic to pgrx, and leaves its transaction open: here it is caught, the (sub)transaction is
//! aborted, and the error comes back as a value. Main thread only.

use std::ffi::CStr;
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;

use crate::domain::redact::clean;
use crate::domain::redact::scrub;
use crate::pg::sys;
use crate::pg::sys::{relation, transaction as calls};

/// An SQL error as a value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// SQLSTATE.
    pub code: PgSqlErrorCode,
    /// The primary message; may quote data, so it is cleaned before it is stored anywhere.
    pub message: String,
    /// The detail, if there is one; may quote data, and is stored nowhere.
    pub detail: Option<String>,
    /// The hint; shown to the caller of a function only.
    pub hint: Option<String>,
}

impl SqlError {
    /// An error that the extension raises itself.
    pub fn new(code: PgSqlErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: None, hint: None }
    }

    fn caught(error: CaughtError) -> Self {
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        Self {
            code: report.sql_error_code(),
            message: report.message().to_owned(),
            detail: report.detail().map(str::to_owned),
            hint: report.hint().map(str::to_owned),
        }
    }

    /// True for what goes away by itself: a lock, a deadlock, a serialization failure.
    pub fn is_transient(&self) -> bool {
        use PgSqlErrorCode::*;
        matches!(
            self.code,
            ERRCODE_LOCK_NOT_AVAILABLE
                | ERRCODE_T_R_DEADLOCK_DETECTED
                | ERRCODE_T_R_SERIALIZATION_FAILURE
                | ERRCODE_OUT_OF_MEMORY
                | ERRCODE_DISK_FULL
                | ERRCODE_TOO_MANY_CONNECTIONS
        )
    }

    /// The message as it may be stored: without addresses and long numbers, and, where it complains about a value, without
    /// the value.
    pub fn words(&self) -> String {
        // MAKE_SQLSTATE packs six bits a character; class 22 is "data exception".
        const DATA_EXCEPTION: i32 = 2 | (2 << 6);
        let about_value = self.code as i32 & 0xFFF == DATA_EXCEPTION;
        let message = if about_value { without_quoted(&self.message) } else { self.message.clone() };
        scrub(&clean(&message, 500))
    }

    /// The detail likewise, without what stands in brackets: those are values.
    pub fn detail_words(&self) -> Option<String> {
        let detail = self.detail.as_deref()?;
        let mut depth = 0_u32;
        let outside = |char: &char| match char {
            '(' => (depth == 0, depth += 1).0,
            ')' => {
                depth = depth.saturating_sub(1);
                depth == 0
            }
            _ => depth == 0,
        };
        Some(scrub(&clean(&detail.chars().filter(outside).collect::<String>(), 300)))
    }

    /// True for a cancel of this statement, which must not be swallowed.
    pub fn is_cancel(&self) -> bool {
        self.code == PgSqlErrorCode::ERRCODE_QUERY_CANCELED
    }
}

/// `invalid input syntax for type integer: "…"`.
fn without_quoted(message: &str) -> String {
    message.split('"').enumerate().map(|(index, part)| if index % 2 == 1 { "\"…\"" } else { part }).collect()
}

impl From<pgrx::spi::Error> for SqlError {
    fn from(error: pgrx::spi::Error) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, error.to_string())
    }
}

/// The result of SQL.
pub type Result<T> = std::result::Result<T, SqlError>;

/// Runs `body` and turns an error raised inside into a value. The caller must abort what `body` began.
fn catching<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    PgTryBuilder::new(AssertUnwindSafe(body)).catch_others(|error| Err(SqlError::caught(error))).execute()
}

/// One transaction of a background worker: committed when `body` gives a value, aborted otherwise. `activity` is what
/// `pg_stat_activity` shows meanwhile.
///
/// The process is connected as the bootstrap superuser, because a role without LOGIN cannot connect. The transaction runs
/// as the owner of the extension's objects, in a security-restricted operation, from its first statement to the end of its
/// commit: code that runs there by whatever mistake finds the rights of that role, and no way back to the superuser.
pub fn transaction<T>(activity: &CStr, body: impl FnOnce() -> Result<T>) -> Result<T> {
    sys::report_activity(Some(activity));
    let result = catching(|| {
        calls::begin();
        let (user, context) = sys::current_user();
        if let Some(role) = relation::extension_owner() {
            sys::set_current_user(role, context | sys::LOCAL_USER_CHANGE | sys::RESTRICTED);
        }
        let value = body()?;
        calls::commit();
        // An error would have restored it.
        sys::set_current_user(user, context);
        Ok(value)
    });
    if result.is_err() {
        calls::abort();
    }
    sys::report_activity(None);
    result
}

/// Runs `body` with the rights of the extension's owner, whoever called; SET ROLE is not possible inside. Errors restore the
/// rights with the subtransaction that they abort.
pub fn as_extension_owner<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    subtransaction(|| {
        let (user, context) = sys::current_user();
        let role = relation::extension_owner().unwrap_or(user);
        sys::set_current_user(role, context | sys::LOCAL_USER_CHANGE | sys::RESTRICTED);
        let value = body()?;
        sys::set_current_user(user, context);
        Ok(value)
    })
}

/// Runs `body` in a subtransaction: an error undoes it alone, with the rights and settings that it changed.
pub fn subtransaction<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    let saved = calls::begin_sub();
    let result = catching(body);
    calls::end_sub(saved, result.is_ok());
    result
}

/// A relation of the host, and the role with whose rights everything that names it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The relation.
    pub relation: pg_sys::Oid,
    /// Its name, schema-qualified and quoted, as the statements say it.
    pub name: String,
    /// Schema and name as the catalogs have them.
    identity: (String, String),
    /// Its owner when it was looked at.
    pub role: pg_sys::Oid,
}

impl Owner {
    /// The relation as it is now; none if it does not exist.
    pub fn of(relation: pg_sys::Oid) -> Option<Self> {
        let held = relation::hold(relation)?;
        Some(Self { relation, name: held.name, identity: held.identity, role: held.owner })
    }

    /// The same without a lock: using it finds out whether it is still so.
    pub fn seen(relation: pg_sys::Oid) -> Option<Self> {
        let seen = relation::look_at(relation)?;
        Some(Self { relation, name: seen.name, identity: seen.identity, role: seen.owner })
    }

    /// Holds the relation, which must still have this name and this owner: planning a statement on it already runs
    /// code of its owner, and must run no code of another role's table.
    fn hold(&self) -> Result<relation::Held> {
        let error = |code, message: String| Err(SqlError::new(code, message));
        let Some(held) = relation::hold(self.relation).filter(|held| held.identity == self.identity) else {
            let message = format!("the table {} was dropped, renamed or replaced", self.name);
            return error(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message);
        };
        if held.owner != self.role {
            let message = format!("the table {} has another owner by now", self.name);
            return error(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message);
        }
        Ok(held)
    }
}

/// The path that the host's code expects: the table's schema, and the usual ones, unless other roles can create objects there.
fn search_path(held: &relation::Held) -> String {
    let usual = [(c"public", "public"), (c"extensions", "extensions")];
    let trusted = usual.into_iter().filter(|(name, _)| relation::is_trusted_schema(name, held.owner));
    let mut path = held.schema.clone();
    trusted.for_each(|(_, name)| path.extend([", ", name]));
    path + ", pg_temp"
}

/// For tests of the second barrier: with `GUESTLY_TEST_ESCAPE=owner` in the environment of the server, code of the host runs in the worker
/// as whoever runs the extension's own statements, as if it had escaped from its owner. Who can set that can do anything.
fn escapes_for_test() -> bool {
    static ESCAPES: OnceLock<bool> = OnceLock::new();
    *ESCAPES.get_or_init(|| std::env::var("GUESTLY_TEST_ESCAPE").is_ok_and(|what| what == "owner"))
}

/// Runs `body` with the rights of the owner, from where foreign code cannot come back: no SET ROLE, nothing left for
/// commit. In a subtransaction of its own, since an error must restore the rights.
pub fn as_owner<T>(owner: &Owner, body: impl FnOnce() -> Result<T>) -> Result<T> {
    subtransaction(|| {
        let held = owner.hold()?;
        let (user, context) = sys::current_user();
        let level = sys::GucLevel::open();
        sys::set_locally(c"search_path", &search_path(&held));
        sys::set_locally(c"datestyle", "ISO, YMD");
        sys::set_locally(c"row_security", "off");
        let role = if sys::is_background_worker() && escapes_for_test() { user } else { held.owner };
        sys::set_current_user(role, context | sys::RESTRICTED);
        let value = body()?;
        sys::set_current_user(user, context);
        level.close();
        Ok(value)
    })
}

/// Settings of a worker's session, after each reload: never wait long for a lock, never lose an intent that was committed, and
/// plan the point queries of a small queue once and by index, whatever the statistics of the moment say.
pub fn configure() {
    let settings = [
        (c"search_path", "pg_catalog, pg_temp"),
        // Days come back as text.
        (c"datestyle", "ISO, YMD"),
        (c"default_transaction_isolation", "read committed"),
        (c"default_transaction_read_only", "off"),
        (c"lock_timeout", "500ms"),
        (c"jit", "off"),
        (c"enable_seqscan", "off"),
        // A bitmap would have the claim sort the whole queue instead of reading its beginning.
        (c"enable_bitmapscan", "off"),
        (c"enable_hashjoin", "off"),
        (c"enable_mergejoin", "off"),
        (c"plan_cache_mode", "force_generic_plan"),
    ];
    settings.into_iter().for_each(|(name, value)| sys::set_for_session(name, value));
    if sys::setting(c"synchronous_commit").as_deref() == Some("off") {
        sys::set_for_session(c"synchronous_commit", "local");
    }
}
