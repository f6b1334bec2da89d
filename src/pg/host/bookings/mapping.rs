//! Facts about the mapping and the key that need no booking. Part of `pg::host::bookings`; main thread only.

use super::{Bookings, Result, SqlError, as_owner, statement};
use crate::pg::{db::session, sys};

impl Bookings {
    /// The columns that the mapping reads, by number; 0 is the whole row. Runs as the table's owner, because analyzing an
    /// expression may already run code of the host (a domain's check on a constant). Errors: the expressions do not form one
    /// SELECT.
    pub fn columns_read(&self) -> Result<Vec<i16>> {
        let mapped: Vec<String> =
            self.expressions.iter().flatten().map(|expression| format!("({expression}\n)")).collect();
        let sql = format!("SELECT {} FROM {} b", mapped.join(", "), self.table());
        let sentence = "the expressions of guestly.field_map are not one SELECT over the bookings";
        let wrong = || SqlError::new(pgrx::PgSqlErrorCode::ERRCODE_SYNTAX_ERROR, sentence);
        as_owner(&self.owner, || sys::query::columns_read(&sql).ok_or_else(wrong))
    }

    /// Grants the table's owner SELECT on the extension's tables that the sweep reads.
    pub fn let_owner_read() -> Result<()> {
        statement::run(include_str!("../../../../sql/queries/source_table/grant_to_owner.sql"), &[])
    }

    /// True if the text can be a key of the table.
    pub fn is_key(&self, booking_id: &str) -> bool {
        let sql = format!("SELECT $1::text::{}", self.key_type);
        session::subtransaction(|| statement::run(&sql, &[booking_id.into()])).is_ok()
    }
}
