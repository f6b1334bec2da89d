//! Watches two statements before they run: DROP EXTENSION guestly_sync, so that what waits is remembered; and those that
//! need a database to itself, so that its worker steps aside. Main thread of any session; whatever goes wrong here must not
//! stop the statement.

use pgrx::pg_sys;

use super::sys::utility::{Statement, chain, statement};
use super::{report, session, statement as statements, sys, wake};

/// Puts the hook in place. From `_PG_init` in the postmaster.
pub fn init() {
    chain(before);
}

fn before(planned: &pg_sys::PlannedStmt) {
    match statement(planned) {
        Some(Statement::DropExtension(names)) if names.iter().any(|name| name == "guestly_sync") => prepare_drop(),
        Some(Statement::NeedsDatabase(name)) => step_aside(&name),
        _ => {}
    }
}

fn prepare_drop() {
    if !sys::is_installed() {
        return;
    }
    let remembered = session::subtransaction(|| statements::run(include_str!("../../sql/queries/prepare_drop.sql"), &[]));
    if let Err(error) = remembered {
        let hint = "After the next CREATE EXTENSION, SELECT * FROM guestly_backfill() lists them.";
        report::warn(error.code, format!("guestly_sync: waiting bookings are not remembered: {}", error.message), hint);
    }
}

/// Asks the worker of that database to leave, and the launcher not to start another for a moment.
fn step_aside(database: &str) {
    let oid = session::subtransaction(|| Ok(sys::utility::own_database(database))).ok().flatten();
    if let Some(oid) = oid {
        wake::step_aside(oid, chrono::Utc::now().timestamp_micros());
    }
}
