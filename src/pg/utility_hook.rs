//! Acts before some utility statements: before DROP EXTENSION guestly_sync it saves the waiting bookings; before statements
//! that need exclusive access to a database it ends that database's worker. Main thread of any session; an error here must
//! not stop the statement.

use std::time::{Duration, Instant};

use pgrx::pg_sys;

use super::sys::utility::{Statement, chain, statement};
use super::{db::report, db::session, db::statement as statements, shm, sys};

/// The longest time that a statement waits for the worker to end; longer than a worker needs to stop.
const STEP_ASIDE: Duration = Duration::from_secs(1);

/// Installs the hook. Called by `_PG_init` in the postmaster.
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
    // A caller who may not drop the extension gets the server's error. Runs as the extension's owner, not as the caller, who is
    // usually a superuser: the function belongs to that owner.
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
        report::warn(error.code, format!("guestly_sync: could not save the waiting bookings: {}", error.message), hint);
    }
}

/// Ends the worker of that database, and keeps the launcher from starting another for some seconds.
fn step_aside(database: &str) {
    let oid = session::subtransaction(|| Ok(sys::utility::own_database(database))).ok().flatten();
    let worker = oid.and_then(|oid| shm::step_aside(oid, chrono::Utc::now().timestamp_micros()));
    // The server refuses WITH (FORCE) to an owner who is no superuser while a superuser's process, such as the worker, is
    // connected.
    let until = Instant::now() + STEP_ASIDE;
    while worker.is_some_and(sys::is_alive) && Instant::now() < until {
        sys::wait(None, Some(Duration::from_millis(10)));
    }
}
