//! `guestly.listings` and `guestly.status_map`, with the settings that a plan depends on. Main thread only, inside a transaction.

use crate::domain::plan::Rules;
use crate::domain::reservation::Tables;
use crate::pg::db::session::Result;
use crate::pg::db::statement;
use crate::pg::host::bookings::Bookings;
use crate::pg::settings::{Settings, paid_statuses};

/// Loads listings, statuses, column labels and settings.
pub fn load(bookings: &Bookings, settings: &Settings) -> Result<Rules> {
    let mut tables = Tables::default();
    statement::rows(include_str!("../../../sql/queries/rules/load.sql"), &[], |row| {
        let (from, to) = (row.get::<String>(2)?.unwrap_or_default(), row.get::<String>(3)?.unwrap_or_default());
        match row.get::<i32>(1)? {
            Some(1) => tables.listings.insert(from, to),
            _ => tables.statuses.insert(from.to_lowercase(), to),
        };
        Ok(())
    })?;
    Ok(Rules {
        tables,
        labels: bookings.labels(),
        source: settings.source.clone(),
        test_mode: settings.test_mode,
        paid: paid_statuses(),
        propagation_delay: settings.policy.propagation_delay,
        cancel_on_delete: settings.cancel_on_delete,
        payments: settings.payments.method.clone(),
    })
}
