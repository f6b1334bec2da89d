//! Relations and roles of the catalogs: who owns what, under a lock that keeps the answer true. Used by `pg::session` and
//! `pg::host`. Main thread only, inside a transaction, which is what "main thread" in the reasons means.

use std::ffi::{CStr, c_char};

use pgrx::pg_sys;

/// A relation as it is now; the share lock that keeps its name and owner as they are is held until the transaction ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The owner.
    pub owner: pg_sys::Oid,
    /// Schema-qualified and quoted, as SQL names it.
    pub name: String,
    /// The schema, quoted.
    pub schema: String,
}

/// Locks a relation against changes of its definition and reads who owns it; none if it does not exist. Waits for the lock
/// as long as `lock_timeout` allows, and raises then.
pub fn hold(relation: pg_sys::Oid) -> Option<Held> {
    // SAFETY: inside a transaction, main thread; the relation is closed before return and its lock is kept; names are
    // palloc'd strings, copied here.
    unsafe {
        let opened = pg_sys::try_relation_open(relation, pg_sys::AccessShareLock as i32);
        let held = described(opened.as_ref()?.rd_rel.as_ref()?);
        pg_sys::relation_close(opened, pg_sys::NoLock as i32);
        Some(held)
    }
}

/// The same without a lock, for a message: it may have changed by the time that it is read.
pub fn look_at(relation: pg_sys::Oid) -> Option<Held> {
    // SAFETY: a catalog look-up inside a transaction, main thread; the cached tuple is released after it was read.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::RELOID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(relation));
        let header = tuple.as_ref()?.t_data;
        let held = described(&*header.cast::<u8>().add((*header).t_hoff.into()).cast());
        pg_sys::ReleaseSysCache(tuple);
        Some(held)
    }
}

fn described(form: &pg_sys::FormData_pg_class) -> Held {
    // SAFETY: names of the catalogs end with NUL and are copied; a schema that is gone gives null.
    unsafe {
        let schema = quoted(pg_sys::get_namespace_name(form.relnamespace));
        let name = format!("{schema}.{}", quoted((&raw const form.relname.data).cast()));
        Held { owner: form.relowner, name, schema }
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
    // SAFETY: catalog look-ups inside a transaction, main thread; the cached tuple is released after its field was read.
    unsafe {
        if pg_sys::MyDatabaseId == pg_sys::InvalidOid {
            return None;
        }
        let schema = pg_sys::get_namespace_oid(c"guestly".as_ptr(), true);
        let cache = pg_sys::SysCacheIdentifier::NAMESPACEOID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(schema));
        let header = tuple.as_ref()?.t_data;
        let form = header.cast::<u8>().add((*header).t_hoff.into()).cast::<pg_sys::FormData_pg_namespace>();
        let owner = (*form).nspowner;
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

/// The name of a role, quoted.
pub fn role_name(role: pg_sys::Oid) -> String {
    // SAFETY: a catalog look-up that gives null where the role is gone; main thread.
    unsafe { quoted(pg_sys::GetUserNameFromId(role, true)) }
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
