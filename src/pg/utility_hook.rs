//! Watches two statements before they run: DROP EXTENSION guestly_sync, so that what waits is remembered; and those that
//! need a database to itself, so that its worker steps aside. Main thread of any session; whatever goes wrong here must not
//! stop the statement.

use std::time::{Duration, Instant};

use pgrx::pg_sys;

use super::sys::utility::{Statement, chain, statement};
use super::{db::report, db::session, db::statement as statements, shm, sys};

/// The longest that a statement waits for the worker to leave by itself; longer than a stop of the worker takes.
const STEP_ASIDE: Duration = Duration::from_secs(1);

/// Puts the hook in place. From `_PG_init` in the postmaster.
pub fn init() {
    chain(before);
}

fn before(planned: &pg_sys::PlannedStmt) {
    match statement(planned) {
        Some(Statement::DropExtension(names)) if names.iter().any(|name| name == "guestly_sync") => prepare_drop(),
        Some(Statement::NeedsDatabase(name)) => step_aside(&name),
        Some(Statement::CommitPrepared) => shm::recheck_at_commit(),
        _ => {}
    }
}

fn prepare_drop() {
    // Of whoever may not drop it, the server will say so. With the rights of the extension's owner, not of the caller, who is a
    // superuser as a rule: the function belongs to that owner.
    let remembered = session::subtransaction(|| match sys::relation::is_own_extension() {
        true => session::as_extension_owner(|| {
            statements::run(include_str!("../../sql/queries/host/prepare_drop.sql"), &[])
        }),
        false => Ok(()),
    });
    if let Err(error) = remembered {
        if error.is_cancel() {
            return sys::cancel_again();
        }
        let hint = "After the next CREATE EXTENSION, SELECT * FROM guestly_backfill() lists them.";
        report::warn(error.code, format!("guestly_sync: waiting bookings are not remembered: {}", error.message), hint);
    }
}

/// Asks the worker of that database to leave, and the launcher not to start another for a moment.
fn step_aside(database: &str) {
    let oid = session::subtransaction(|| Ok(sys::utility::own_database(database))).ok().flatten();
    let worker = oid.and_then(|oid| shm::step_aside(oid, chrono::Utc::now().timestamp_micros()));
    // The server refuses WITH (FORCE) to a mere owner while a superuser's process, which the worker is, is still there.
    let until = Instant::now() + STEP_ASIDE;
    while worker.is_some_and(sys::is_alive) && Instant::now() < until {
        sys::wait(None, Some(Duration::from_millis(10)));
    }
}
