//! `guestly_attach()` and `guestly_detach()`: check the caller's rights, and change definitions on the host's table as their SQL
//! parts ask. Main thread of a session.

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::pg::db::report::{raise, raise_sql};
use crate::pg::db::session::{Result, as_extension_owner};
use crate::pg::host::bookings::Bookings;
use crate::pg::host::define;
use crate::pg::{db::statement, sys};

/// Adds columns, indexes and triggers to the source table. Runs as the caller until the caller is known to own the table; the
/// rest runs as the extension's owner and as the table's owner.
#[pg_extern(sql = false)]
fn guestly_attach(bookings: Option<pg_sys::Oid>) {
    let Some(bookings) = bookings else {
        raise(
            PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            "no table was given",
            None,
            "Call SELECT guestly_attach('your_table').",
        )
    };
    must_own(bookings, "attach");
    let attached = define::with_consent_to(bookings, || {
        as_extension_owner(|| {
            statement::run(include_str!("../../../sql/queries/source_table/attach.sql"), &[bookings.into()])
        })
    });
    attached.unwrap_or_else(|error| raise_again(&error));
}

/// Removes the triggers from the source table.
#[pg_extern(sql = false)]
fn guestly_detach() {
    let (attached, owner) = as_extension_owner(attached_relation).unwrap_or_else(|error| raise_again(&error));
    match attached {
        Some(bookings) => must_own(bookings, "detach"),
        // The table was dropped or renamed.
        None => must_be_former_owner(owner.as_deref().unwrap_or_default()),
    }
    let sql = include_str!("../../../sql/queries/source_table/detach.sql");
    as_extension_owner(|| statement::run(sql, &[attached.into()])).unwrap_or_else(|error| raise_again(&error));
}

fn attached_relation() -> Result<(Option<pg_sys::Oid>, Option<String>)> {
    let sql = include_str!("../../../sql/queries/source_table/relation_and_owner.sql");
    Ok(statement::row(sql, &[], |row| Ok((row.get(1)?, row.get(2)?)))?.unwrap_or_default())
}

fn must_be_former_owner(owner: &str) {
    let name = std::ffi::CString::new(owner).unwrap_or_default();
    if !sys::relation::is_member_of(&name) {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            "must be owner of the attached table to detach it",
            Some(&format!("The table does not exist under the name that was attached; it belonged to {owner}.")),
            &format!("Call this as {owner}, as a member of {owner}, or as a superuser."),
        )
    }
}

/// Raises unless the current user owns the table, is a member of its owner, or is a superuser. Locks nothing.
fn must_own(bookings: pg_sys::Oid, verb: &str) {
    if sys::relation::is_own(bookings) {
        return;
    }
    let Some(table) = sys::relation::read_unlocked(bookings) else {
        raise(
            PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
            format!("the table with the oid {} does not exist", bookings.to_u32()),
            None,
            "Call SELECT guestly_attach('your_table').",
        )
    };
    let role = sys::relation::role_name(table.owner);
    raise(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("must be owner of table {} to {verb} it", table.name),
        Some(&format!("It belongs to {role}.")),
        &format!("Call this as a superuser, or as {role} or a member of it: GRANT guestly_admin TO {role}."),
    )
}

/// Raises the error of an inner function again, with its full text: only the caller who attaches sees it.
fn raise_again(error: &crate::pg::db::session::SqlError) -> ! {
    match &error.hint {
        Some(hint) => raise(error.code, error.message.clone(), error.detail.as_deref(), hint),
        None => raise_sql(error, "See SELECT * FROM guestly_doctor()."),
    }
}

/// Functions for the SQL parts of attach, detach and the mapping.
mod guestly {
    use super::{Bookings, Result, define, raise_again};
    use crate::pg::host::properties;
    use pgrx::pg_sys;
    use pgrx::prelude::*;

    fn define<T>(table: pg_sys::Oid, body: impl FnOnce(define::Table) -> Result<T>) -> T {
        define::Table::of(table).and_then(body).unwrap_or_else(|error| raise_again(&error))
    }

    /// Adds the missing ones of the five columns.
    #[pg_extern(sql = false)]
    fn define_columns(bookings: pg_sys::Oid) {
        define(bookings, |table| table.add_columns());
    }

    /// Creates an index; `keys` is the part of the statement after the table's name.
    #[pg_extern(sql = false)]
    fn define_index(bookings: pg_sys::Oid, name: &str, keys: &str) {
        define(bookings, |table| table.add_index(name, keys));
    }

    /// Creates the triggers again.
    #[pg_extern(sql = false)]
    fn define_triggers(bookings: pg_sys::Oid, arguments: Vec<String>, changed: &str, columns: Vec<String>) {
        define(bookings, |table| table.add_triggers(&arguments, changed, &columns));
    }

    /// Removes the existing triggers.
    #[pg_extern(sql = false)]
    fn drop_triggers(bookings: pg_sys::Oid) {
        define(bookings, |table| table.drop_triggers());
    }

    /// Writes the comment that outlives DROP EXTENSION.
    #[pg_extern(sql = false)]
    fn define_comment(bookings: pg_sys::Oid, comment: &str) {
        define(bookings, |table| table.comment(comment));
    }

    /// Bookings whose rows name a reservation.
    #[pg_extern(sql = false)]
    fn named_reservations(
        bookings: pg_sys::Oid,
        key_column: &str,
    ) -> TableIterator<'static, (name!(booking_id, String), name!(reservation_id, String))> {
        TableIterator::new(define(bookings, |table| table.named_reservations(key_column)))
    }

    /// The names of the triggers on the source table.
    #[pg_extern(immutable, sql = false)]
    fn trigger_names() -> Vec<String> {
        define::TRIGGERS.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    /// The slugs of active properties without a listing.
    #[pg_extern(sql = false)]
    fn properties_without_listing() -> Vec<String> {
        let found = Bookings::load().and_then(|bookings| match bookings {
            Some(bookings) => properties::without_listing(bookings.relation()),
            None => Ok(Vec::new()),
        });
        found.unwrap_or_else(|error| raise_again(&error))
    }
}
