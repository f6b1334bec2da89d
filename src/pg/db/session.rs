//! Transactions, subtransactions, and the role that statements run as.
//!
//! pgrx turns a Postgres error into a Rust panic and leaves the transaction open: here it is caught, the (sub)transaction is
//! aborted, and the error is returned as a value. Called by all of `pg`; main thread only.

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
    /// The primary message; may quote data: see [`SqlError::safe_message`].
    pub message: String,
    /// The detail, if any; may quote data, and is never stored.
    pub detail: Option<String>,
    /// The hint; shown only to the caller of a function.
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

    /// True for an error that ends by itself, for example a lock, a deadlock or a full disk.
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

    /// The message in a form that may be stored: without addresses and long numbers and, if it is about a value, without the
    /// value.
    pub fn safe_message(&self) -> String {
        // MAKE_SQLSTATE packs six bits a character; class 22 is "data exception".
        const DATA_EXCEPTION: i32 = 2 | (2 << 6);
        let about_value = self.code as i32 & 0xFFF == DATA_EXCEPTION;
        let message = if about_value { without_quoted(&self.message) } else { self.message.clone() };
        scrub(&clean(&message, 500))
    }

    /// The detail in a form that may be logged: without the text in brackets, which are values.
    pub fn safe_detail(&self) -> Option<String> {
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

    /// True if the statement was cancelled. This error must be passed on.
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

/// Runs `body` and returns a raised error as a value. The caller must abort the (sub)transaction.
fn catching<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    PgTryBuilder::new(AssertUnwindSafe(body)).catch_others(|error| Err(SqlError::caught(error))).execute()
}

/// Runs one transaction of a background worker: commits it if `body` succeeds, aborts it otherwise. `activity` is shown in
/// `pg_stat_activity` meanwhile.
///
/// The process is connected as the bootstrap superuser, because a role without LOGIN cannot connect. The transaction runs
/// as the owner of the extension's objects, in a security-restricted operation, from its first statement to the end of its
/// commit: code that runs there by mistake has only the rights of that role, and no way back to the superuser.
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
        // After an error, the abort restores the role.
        sys::set_current_user(user, context);
        Ok(value)
    });
    if result.is_err() {
        calls::abort();
    }
    sys::report_activity(None);
    result
}

/// Runs `body` as the extension's owner, whoever the caller is; SET ROLE is not possible inside. After an error, the abort of
/// the subtransaction restores the role.
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

/// Runs `body` in a subtransaction: an error undoes only its work, including changed roles and settings.
pub fn subtransaction<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    let saved = calls::begin_sub();
    let result = catching(body);
    calls::end_sub(saved, result.is_ok());
    result
}

/// A relation of the host, and the role as which every statement on it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The relation.
    pub relation: pg_sys::Oid,
    /// Its name in statements, schema-qualified and quoted.
    pub name: String,
    /// Schema and name as in the catalogs.
    identity: (String, String),
    /// Its owner when it was read.
    pub role: pg_sys::Oid,
}

impl Owner {
    /// Locks the relation against renaming and new owners, and reads it; `None` if it does not exist.
    pub fn of(relation: pg_sys::Oid) -> Option<Self> {
        let info = relation::lock(relation)?;
        Some(Self { relation, name: info.name, identity: info.identity, role: info.owner })
    }

    /// Reads the relation without a lock: [`as_owner`] fails if it has changed since.
    pub fn read_unlocked(relation: pg_sys::Oid) -> Option<Self> {
        let info = relation::read_unlocked(relation)?;
        Some(Self { relation, name: info.name, identity: info.identity, role: info.owner })
    }

    /// Locks the relation, which must still have this name and this owner: planning a statement on it already runs code of its
    /// owner, and must not run code of another role's table.
    fn lock(&self) -> Result<relation::RelationInfo> {
        let error = |code, message: String| Err(SqlError::new(code, message));
        let Some(info) = relation::lock(self.relation).filter(|info| info.identity == self.identity) else {
            let message = format!("the table {} was dropped, renamed or replaced", self.name);
            return error(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message);
        };
        if info.owner != self.role {
            let message = format!("the table {} has another owner by now", self.name);
            return error(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message);
        }
        Ok(info)
    }
}

/// The search path that the host's code expects: the table's schema and the usual ones, except those that other roles own.
fn search_path(info: &relation::RelationInfo) -> String {
    let usual = [(c"public", "public"), (c"extensions", "extensions")];
    let trusted = usual.into_iter().filter(|(name, _)| relation::is_trusted_schema(name, info.owner));
    let mut path = info.schema.clone();
    trusted.for_each(|(_, name)| path.extend([", ", name]));
    path + ", pg_temp"
}

/// For tests of the second barrier: with `GUESTLY_TEST_ESCAPE=owner` in the server's environment, the host's code runs in the
/// worker as the extension's owner, as if it had escaped from its role. Whoever can set this can do anything anyway.
fn escapes_for_test() -> bool {
    static ESCAPES: OnceLock<bool> = OnceLock::new();
    *ESCAPES.get_or_init(|| std::env::var("GUESTLY_TEST_ESCAPE").is_ok_and(|what| what == "owner"))
}

/// Runs `body` as the relation's owner, in a security-restricted operation: no SET ROLE, and nothing deferred to the commit. In a
/// subtransaction of its own, since an error must restore the role.
pub fn as_owner<T>(owner: &Owner, body: impl FnOnce() -> Result<T>) -> Result<T> {
    subtransaction(|| {
        let info = owner.lock()?;
        let (user, context) = sys::current_user();
        let level = sys::GucLevel::open();
        sys::set_locally(c"search_path", &search_path(&info));
        sys::set_locally(c"datestyle", "ISO, YMD");
        sys::set_locally(c"row_security", "off");
        let role = if sys::is_background_worker() && escapes_for_test() { user } else { info.owner };
        sys::set_current_user(role, context | sys::RESTRICTED);
        let value = body()?;
        sys::set_current_user(user, context);
        level.close();
        Ok(value)
    })
}

/// Configures a worker's session, after each reload: short waits for locks, durable commits, and generic plans with index scans
/// for the point queries on the queue, whatever the current statistics are.
pub fn configure() {
    let settings = [
        (c"search_path", "pg_catalog, pg_temp"),
        // Days are read as text.
        (c"datestyle", "ISO, YMD"),
        (c"default_transaction_isolation", "read committed"),
        (c"default_transaction_read_only", "off"),
        (c"lock_timeout", "500ms"),
        (c"jit", "off"),
        (c"enable_seqscan", "off"),
        // With a bitmap scan, the claim would sort the whole queue instead of reading its beginning.
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
