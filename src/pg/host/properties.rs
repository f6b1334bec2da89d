//! The table that the bookings' property column references: which of its active rows have no listing. It may belong to
//! another role than the bookings, and is read with that role's rights. Main thread of a session.

use pgrx::pg_sys;
use pgrx::spi::quote_identifier;

use super::bookings::Bookings;
use crate::pg::session::{Owner, Result, as_owner};
use crate::pg::statement;

/// Properties that one look reads.
const LIMIT: usize = 10_000;

/// Active properties without a row of `guestly.listings`, each by its slug; none where the bookings reference no table with
/// a slug.
pub fn without_listing(bookings: &Bookings) -> Result<Vec<String>> {
    let found =
        statement::row(include_str!("../../../sql/queries/properties.sql"), &[bookings.relation().into()], |row| {
            Ok((row.get::<pg_sys::Oid>(1)?.unwrap_or(pg_sys::InvalidOid), row.get::<String>(2)?.unwrap_or_default()))
        })?;
    let Some((owner, key)) = found.and_then(|(table, key)| Some((Owner::of(table)?, key))) else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT p.slug::text, p.{}::text FROM {} p WHERE p.is_active ORDER BY 1 LIMIT {LIMIT}",
        quote_identifier(&key),
        owner.name
    );
    let active: Vec<(Option<String>, Option<String>)> =
        as_owner(&owner, || statement::rows(&sql, &[], |row| Ok((row.get(1)?, row.get(2)?))))?;
    let (slugs, keys): (Vec<Option<String>>, Vec<Option<String>>) = active.into_iter().unzip();
    statement::rows(include_str!("../../../sql/queries/listings_missing.sql"), &[slugs.into(), keys.into()], |row| {
        Ok(row.get::<String>(1)?.unwrap_or_default())
    })
}
