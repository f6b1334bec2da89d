//! The extension's worker as the server sees it: a process to find and to kill. Called by the tests, on their threads.
//! Must not know what the worker does.

use crate::cluster::Cluster;
use crate::database::Database;
use crate::folder::must_run;
use crate::wait::wait_until;
use std::process::Command;
use std::time::Duration;

impl Cluster {
    /// The process id of the extension's live worker for a database, as the server's own list of processes knows it.
    /// None also while the server restarts or has no extension.
    pub fn worker_pid(&self, database: &Database) -> Option<i32> {
        let query = "SELECT a.pid FROM guestly.status s JOIN pg_stat_activity a ON a.pid = s.worker_pid \
                     WHERE a.datname = current_database()";
        let rows = database.try_client().ok()?.query(query, &[]).ok()?;
        rows.first()?.try_get(0).ok()
    }

    /// Waits up to 15 s for the worker of a database, and gives its process id.
    pub fn wait_for_worker(&self, database: &Database) -> i32 {
        let mut found = None;
        wait_until("the worker to run", Duration::from_secs(15), || {
            found = self.worker_pid(database);
            (found.is_some(), format!("{found:?}"))
        });
        found.unwrap_or_default()
    }

    /// Sends a signal ("TERM", "KILL", "STOP", …) to the worker of a database, and gives the process id it had.
    ///
    /// # Panics
    /// If there is no worker.
    pub fn kill_worker(&self, database: &Database, signal: &str) -> i32 {
        let pid = self.worker_pid(database).unwrap_or_else(|| panic!("no worker to send SIG{signal} to"));
        self.signal(pid, signal);
        pid
    }

    /// Sends a signal to one of the server's processes.
    pub fn signal(&self, pid: i32, signal: &str) {
        must_run(Command::new("kill").args(["-s", signal, "--"]).arg(pid.to_string()));
    }
}
