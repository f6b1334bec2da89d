//! The hook for utility statements, and the statements that the extension acts on. Called by `pg::utility_hook`. Main thread
//! only, which is what "main thread" in the reasons means.

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

use pgrx::pg_sys;

/// A statement that the extension acts on.
pub enum Statement {
    /// DROP EXTENSION with these names.
    DropExtension(Vec<String>),
    /// A statement that fails while another session is connected to this database.
    NeedsDatabase(String),
    /// COMMIT PREPARED of any transaction.
    CommitPrepared,
}

static BEFORE: OnceLock<fn(&pg_sys::PlannedStmt)> = OnceLock::new();
static mut NEXT: pg_sys::ProcessUtility_hook_type = None;

/// Calls `before` ahead of every utility statement. Called by `_PG_init` in the postmaster.
pub fn chain(before: fn(&pg_sys::PlannedStmt)) {
    BEFORE.get_or_init(|| before);
    // SAFETY: the postmaster has one thread; the previous hook is called by ours.
    unsafe {
        NEXT = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(hook);
    }
}

unsafe extern "C-unwind" {
    // Bound directly: pgrx's wrapper would turn every error of every utility statement into a panic and back, with a Rust
    // backtrace.
    fn standard_ProcessUtility(
        planned: *mut pg_sys::PlannedStmt,
        query: *const c_char,
        read_only: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        params: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        dest: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
}

// No #[pg_guard], for the same reason: an error of the statement passes this frame by longjmp, and nothing here has a
// destructor. `before` is guarded on its own.
#[allow(clippy::too_many_arguments)] // The server's signature.
unsafe extern "C-unwind" fn hook(
    planned: *mut pg_sys::PlannedStmt,
    query: *const c_char,
    read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    dest: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: the server hands a valid statement; all arguments are passed on as they came, to the hook that was there
    // before or to the standard.
    unsafe {
        if let (Some(before), Some(planned)) = (BEFORE.get(), planned.as_ref()) {
            // A panic must not reach the server's frames; errors of Postgres are values inside `before`.
            let _contained = std::panic::catch_unwind(|| before(planned));
        }
        match NEXT {
            Some(next) => next(planned, query, read_only, context, params, environment, dest, completion),
            None => standard_ProcessUtility(planned, query, read_only, context, params, environment, dest, completion),
        }
    }
}

/// The statement, if the extension acts on it.
pub fn statement(planned: &pg_sys::PlannedStmt) -> Option<Statement> {
    let node = planned.utilityStmt;
    // SAFETY: the tag says which struct the node is; names are strings of the statement's own memory, copied here.
    unsafe {
        match node.as_ref()?.type_ {
            pg_sys::NodeTag::T_DropStmt => {
                let drop = &*node.cast::<pg_sys::DropStmt>();
                (drop.removeType == pg_sys::ObjectType::OBJECT_EXTENSION)
                    .then(|| Statement::DropExtension(names(drop.objects)))
            }
            pg_sys::NodeTag::T_DropdbStmt => {
                Some(Statement::NeedsDatabase(copy((*node.cast::<pg_sys::DropdbStmt>()).dbname)))
            }
            pg_sys::NodeTag::T_CreatedbStmt => {
                template(&*node.cast::<pg_sys::CreatedbStmt>()).map(Statement::NeedsDatabase)
            }
            pg_sys::NodeTag::T_RenameStmt => {
                let rename = &*node.cast::<pg_sys::RenameStmt>();
                let database = rename.renameType == pg_sys::ObjectType::OBJECT_DATABASE;
                database.then(|| Statement::NeedsDatabase(copy(rename.subname)))
            }
            pg_sys::NodeTag::T_AlterDatabaseStmt => {
                let alter = &*node.cast::<pg_sys::AlterDatabaseStmt>();
                option(alter.options, "tablespace").map(|_| Statement::NeedsDatabase(copy(alter.dbname)))
            }
            pg_sys::NodeTag::T_TransactionStmt => {
                let kind = (*node.cast::<pg_sys::TransactionStmt>()).kind;
                (kind == pg_sys::TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED).then_some(Statement::CommitPrepared)
            }
            _ => None,
        }
    }
}

unsafe fn copy(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: a string of the parse tree, ended by NUL.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// The strings of a list; an extension's name is a String node.
unsafe fn names(list: *mut pg_sys::List) -> Vec<String> {
    // SAFETY: a list of String nodes, as the grammar makes it for DROP EXTENSION.
    unsafe {
        let Some(list) = list.as_ref() else { return Vec::new() };
        let cells =
            (0..usize::try_from(list.length).unwrap_or_default()).map(|index| (*list.elements.add(index)).ptr_value);
        cells.map(|node| copy((*node.cast::<pg_sys::String>()).sval)).collect()
    }
}

/// The template of CREATE DATABASE … TEMPLATE.
unsafe fn template(create: &pg_sys::CreatedbStmt) -> Option<String> {
    // SAFETY: the caller's statement is valid; defGetString gives a string of the statement's memory.
    unsafe { option(create.options, "template").map(|option| copy(pg_sys::defGetString(option))) }
}

/// The option of that name in a list of options of a statement.
unsafe fn option(options: *mut pg_sys::List, name: &str) -> Option<*mut pg_sys::DefElem> {
    // SAFETY: a list of DefElem nodes, as the grammar makes it for CREATE and ALTER DATABASE.
    unsafe {
        let list = options.as_ref()?;
        let cells =
            (0..usize::try_from(list.length).unwrap_or_default()).map(|index| (*list.elements.add(index)).ptr_value);
        cells.map(|node| node.cast::<pg_sys::DefElem>()).find(|option| copy((**option).defname) == name)
    }
}

/// The oid of a database that the current user may drop; `None` for any other.
pub fn own_database(name: &str) -> Option<pg_sys::Oid> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: catalog look-ups inside a transaction; a missing database is allowed.
    unsafe {
        let oid = pg_sys::get_database_oid(name.as_ptr(), true);
        (oid != pg_sys::InvalidOid && owns_database(oid)).then_some(oid)
    }
}

/// Owners and superusers may drop, rename and copy a database. Inside a transaction, main thread.
unsafe fn owns_database(oid: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up of a database that exists.
    unsafe { pg_sys::pg_database_ownercheck(oid, pg_sys::GetUserId()) }
}
