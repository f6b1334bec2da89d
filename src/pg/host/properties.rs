//! The table that the bookings' property column references. It may have another owner than the bookings, and is read as its own
//! owner. Called by `pg::host::bookings` and `pg::functions::attach`; main thread.

use std::collections::HashMap;

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;

use crate::domain::field::{Field, Row};
use crate::pg::db::session::{Owner, Result};
use crate::pg::db::statement;
use crate::pg::host_code;

/// Most properties that one statement reads.
const LIMIT: usize = 10_000;

/// A table that the bookings reference, and its key.
struct Properties {
    owner: Owner,
    key: String,
    /// It has a column `is_active`.
    has_active: bool,
}

impl Properties {
    fn of(bookings: pg_sys::Oid) -> Result<Option<Self>> {
        let sql = include_str!("../../../sql/queries/host/properties_table.sql");
        let found = statement::row(sql, &[bookings.into()], |row| {
            let table = row.get::<pg_sys::Oid>(1)?.unwrap_or(pg_sys::InvalidOid);
            Ok((table, row.get::<String>(2)?.unwrap_or_default(), row.get::<bool>(3)?.unwrap_or_default()))
        })?;
        Ok(found.and_then(|(table, key, has_active)| Some(Self { owner: Owner::of(table)?, key, has_active })))
    }

    /// Slug and key, both as text, of the rows for which `condition` holds.
    fn read(&self, condition: &str, args: &[DatumWithOid]) -> Result<Vec<(Option<String>, Option<String>)>> {
        let key = quote_identifier(&self.key);
        let sql =
            format!("SELECT p.slug::text, p.{key}::text FROM {} p WHERE {condition} LIMIT {LIMIT}", self.owner.name);
        host_code::as_owner_in_time(&self.owner, || statement::rows(&sql, args, |row| Ok((row.get(1)?, row.get(2)?))))
    }
}

/// The slugs of active properties without a row in `guestly.listings`; none if the bookings reference no table with a slug.
pub fn without_listing(bookings: pg_sys::Oid) -> Result<Vec<String>> {
    let Some(properties) = Properties::of(bookings)?.filter(|properties| properties.has_active) else {
        return Ok(Vec::new());
    };
    let (slugs, keys): (Vec<Option<String>>, Vec<Option<String>>) =
        properties.read("p.is_active", &[])?.into_iter().unzip();
    statement::rows(
        include_str!("../../../sql/queries/host/properties_without_listing.sql"),
        &[slugs.into(), keys.into()],
        |row| Ok(row.get::<String>(1)?.unwrap_or_default()),
    )
}

/// Fills in the property slugs of these bookings if the table of properties has another owner than the bookings: in a mapping
/// expression, code of that owner would run with the rights of the bookings' owner.
pub fn name_by_slug(bookings: pg_sys::Oid, role: pg_sys::Oid, rows: &mut [Row]) -> Result<()> {
    let apart = |properties: &Properties| properties.owner.role != role;
    let Some(properties) = Properties::of(bookings)?.filter(apart) else { return Ok(()) };
    let wanted: Vec<String> = rows.iter().filter_map(|row| row.get(Field::PropertyId)).map(str::to_owned).collect();
    let condition = format!("p.{}::text OPERATOR (pg_catalog.=) ANY ($1)", quote_identifier(&properties.key));
    let slugs: HashMap<String, String> = properties
        .read(&condition, &[wanted.into()])?
        .into_iter()
        .filter_map(|(slug, key)| Some((key?, slug?)))
        .collect();
    for row in rows {
        let slug = row.get(Field::PropertyId).and_then(|key| slugs.get(key)).cloned();
        if let Some(value) = row.values.get_mut(Field::Property as usize) {
            *value = slug;
        }
    }
    Ok(())
}
