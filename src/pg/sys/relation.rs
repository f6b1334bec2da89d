//! Relations and roles in the catalogs: owners, names and membership. Called by `pg::db::session`, `pg::host` and
//! `pg::functions`. Main thread only, inside a transaction, which is what "main thread" in the reasons means.

use std::ffi::{CStr, c_char};

use pgrx::pg_sys;

/// Owner and name of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationInfo {
    /// The owner.
    pub owner: pg_sys::Oid,
    /// Schema-qualified and quoted for SQL; `quote_all_identifiers` changes the quoting.
    pub name: String,
    /// The schema, quoted.
    pub schema: String,
    /// Schema and name as in the catalogs.
    pub identity: (String, String),
}

/// Locks a relation against changes of its definition until the transaction ends, and reads it; `None` if it does not exist.
/// Raises if the lock is not granted within `lock_timeout`.
pub fn lock(relation: pg_sys::Oid) -> Option<RelationInfo> {
    // SAFETY: inside a transaction, main thread; the relation is closed before return and its lock is kept; names are
    // palloc'd strings, copied here.
    unsafe {
        let opened = pg_sys::try_relation_open(relation, pg_sys::AccessShareLock as i32);
        let info = info(opened.as_ref()?.rd_rel.as_ref()?);
        pg_sys::relation_close(opened, pg_sys::NoLock as i32);
        Some(info)
    }
}

/// The same without a lock: the relation may change at any time.
pub fn read_unlocked(relation: pg_sys::Oid) -> Option<RelationInfo> {
    // SAFETY: a catalog look-up inside a transaction, main thread; the cached tuple is released after it was read.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::RELOID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(relation));
        let header = tuple.as_ref()?.t_data;
        let info = info(&*header.cast::<u8>().add((*header).t_hoff.into()).cast());
        pg_sys::ReleaseSysCache(tuple);
        Some(info)
    }
}

fn info(form: &pg_sys::FormData_pg_class) -> RelationInfo {
    // SAFETY: names of the catalogs end with NUL and are copied; a schema that is gone gives null.
    unsafe {
        let (in_schema, called) =
            (pg_sys::get_namespace_name(form.relnamespace), (&raw const form.relname.data).cast());
        let schema = quoted(in_schema);
        let name = format!("{schema}.{}", quoted(called));
        RelationInfo { owner: form.relowner, name, schema, identity: (copied(in_schema), copied(called)) }
    }
}

/// True if the current user owns the relation, is a member of its owner with inherited rights, or is a superuser.
pub fn is_own(relation: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up of a relation that the caller holds; main thread.
    unsafe { pg_sys::pg_class_ownercheck(relation, pg_sys::GetUserId()) }
}

/// True if the relation has a column of that name.
pub fn has_column(relation: pg_sys::Oid, name: &CStr) -> bool {
    // SAFETY: a catalog look-up; a missing column gives 0; main thread.
    unsafe { i32::from(pg_sys::get_attnum(relation, name.as_ptr())) > 0 }
}

/// The role that the extension's objects belong to: the owner of the schema `guestly`. None without that schema, and in a
/// process that is connected to no database.
pub fn extension_owner() -> Option<pg_sys::Oid> {
    // SAFETY: catalog look-ups inside a transaction, main thread.
    unsafe {
        if pg_sys::MyDatabaseId == pg_sys::InvalidOid {
            return None;
        }
        namespace_owner(pg_sys::get_namespace_oid(c"guestly".as_ptr(), true))
    }
}

/// The name of a role, quoted.
pub fn role_name(role: pg_sys::Oid) -> String {
    // SAFETY: a catalog look-up that gives null where the role is gone; main thread.
    unsafe { quoted(pg_sys::GetUserNameFromId(role, true)) }
}

/// True if the schema exists and belongs to a superuser, to the owner of this database, or to `role`: code of that role may use
/// functions there. Any other role with CREATE on the database could have created a schema of that name.
pub fn is_trusted_schema(name: &CStr, role: pg_sys::Oid) -> bool {
    // SAFETY: catalog look-ups inside a transaction, main thread; what is missing gives zero or null.
    unsafe {
        let schema = pg_sys::get_namespace_oid(name.as_ptr(), true);
        let Some(owner) = namespace_owner(schema) else { return false };
        owner == role || pg_sys::superuser_arg(owner) || pg_sys::pg_database_ownercheck(pg_sys::MyDatabaseId, owner)
    }
}

/// True if the current user is a member of that role with inherited rights, or a superuser; false if the role is gone.
pub fn is_member_of(role: &CStr) -> bool {
    // SAFETY: catalog look-ups inside a transaction, main thread.
    unsafe {
        let role = pg_sys::get_role_oid(role.as_ptr(), true);
        let user = pg_sys::GetUserId();
        pg_sys::superuser_arg(user) || (role != pg_sys::InvalidOid && pg_sys::has_privs_of_role(user, role))
    }
}

/// True if the extension is installed here and the current user may drop it.
pub fn is_own_extension() -> bool {
    // SAFETY: catalog look-ups inside a transaction, main thread; a missing extension gives zero.
    unsafe {
        let extension = pg_sys::get_extension_oid(c"guestly_sync".as_ptr(), true);
        extension != pg_sys::InvalidOid && pg_sys::pg_extension_ownercheck(extension, pg_sys::GetUserId())
    }
}

/// # Safety
///
/// Inside a transaction, main thread.
unsafe fn namespace_owner(schema: pg_sys::Oid) -> Option<pg_sys::Oid> {
    // SAFETY: the caller's promise; the cached tuple is released after its field was read.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::NAMESPACEOID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(schema));
        let header = tuple.as_ref()?.t_data;
        let form = header.cast::<u8>().add((*header).t_hoff.into()).cast::<pg_sys::FormData_pg_namespace>();
        let owner = (*form).nspowner;
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

/// # Safety
///
/// `text` is null or a string that ends with NUL.
unsafe fn copied(text: *const c_char) -> String {
    // SAFETY: the caller's promise.
    if text.is_null() { String::new() } else { unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned() }
}

/// A name as SQL writes it.
///
/// # Safety
///
/// `name` is null or a string that ends with NUL.
unsafe fn quoted(name: *const c_char) -> String {
    if name.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise; the result is the argument or a palloc'd string.
    unsafe { CStr::from_ptr(pg_sys::quote_identifier(name)) }.to_string_lossy().into_owned()
}
