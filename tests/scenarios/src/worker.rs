//! The extension's worker as the server sees it: a process to find and to kill. Called by the tests, on their threads.
//! Must not know what the worker does.

use crate::cluster::Cluster;
use crate::database::Database;
use crate::folder::must_run;
use crate::process::memory_of;
use crate::site::SOON;
use crate::wait::wait_until;
use std::collections::HashSet;
use std::process::Command;

/// The worker of a database, as the server lists it.
const MINE: &str = "FROM pg_stat_activity WHERE backend_type = 'guestly_sync worker' AND datname = current_database()";

impl Database {
    /// A barrier before "nothing was sent": afterwards the worker has seen every commit and reload from before it, and has
    /// claimed what it would claim. The worker answers the doctor once per cycle, before it claims: with the second answer
    /// the cycle of the first has ended. If calls are allowed, this calls Guestly, for a token if there is none and for a
    /// booking that does not exist.
    ///
    /// # Panics
    /// If the worker does not answer.
    #[track_caller]
    pub fn worker_took_a_turn(&self) {
        for _ in 0..2 {
            let answer: String =
                self.query_one("SELECT detail FROM guestly_doctor(online => true) WHERE check_name = 'online'");
            assert_ne!(answer, "the worker did not respond");
        }
    }

    /// The same without a call to Guestly: waits until the worker has run transactions at three other times, which takes three
    /// poll intervals.
    #[track_caller]
    pub fn worker_looked_again(&self) {
        self.worker_times("the worker to look again", 4, &format!("SELECT state_change::text {MINE}"));
    }

    /// Waits until the worker has waited for a lock in two transactions, so it has given up the first.
    #[track_caller]
    pub fn worker_waited_in_vain(&self) {
        let waits = format!("SELECT xact_start::text {MINE} AND wait_event_type = 'Lock'");
        self.worker_times("the worker to wait for a lock and come again", 2, &waits);
    }

    #[track_caller]
    fn worker_times(&self, what: &str, times: usize, query: &str) {
        let mut seen = HashSet::new();
        wait_until(what, SOON, || {
            seen.extend(self.query_all::<Option<String>>(query).into_iter().flatten());
            (seen.len() >= times, format!("{seen:?}"))
        });
    }
}

impl Cluster {
    /// The process id of the extension's live worker for a database, as the server's own list of processes knows it.
    /// None also while the server restarts or has no extension.
    pub fn worker_pid(&self, database: &Database) -> Option<i32> {
        let query = "SELECT a.pid FROM guestly.status s JOIN pg_stat_activity a ON a.pid = s.worker_pid \
                     WHERE a.datname = current_database()";
        let rows = database.try_client().ok()?.query(query, &[]).ok()?;
        rows.first()?.try_get(0).ok()
    }

    /// The worker's private memory stays under 40 MB, whatever was done to it.
    #[track_caller]
    pub fn assert_worker_is_small(&self, database: &Database) {
        wait_until("the worker to be small", SOON, || {
            let memory = self.worker_pid(database).map_or(u64::MAX, memory_of);
            (memory < 40_000, format!("{memory} kB"))
        });
    }

    /// Waits for the worker of a database, and gives its process id.
    pub fn wait_for_worker(&self, database: &Database) -> i32 {
        let mut found = None;
        wait_until("the worker to run", SOON, || {
            found = self.worker_pid(database);
            (found.is_some(), format!("{found:?}"))
        });
        found.unwrap_or_default()
    }

    /// Sends a signal ("TERM", "KILL", "STOP", …) to the worker of a database, and gives the process id it had. It is stopped
    /// between two transactions only: within one it may have a latch of the server that other sessions need.
    ///
    /// # Panics
    /// If there is no worker.
    pub fn kill_worker(&self, database: &Database, signal: &str) -> i32 {
        let pid = self.worker_pid(database).unwrap_or_else(|| panic!("no worker to send SIG{signal} to"));
        if signal == "STOP" {
            let idle =
                format!("SELECT state = 'idle' AND state_change < clock_timestamp() - interval '300 ms', state {MINE}");
            database.wait_for("the worker to be idle", SOON, &idle);
        }
        self.signal(pid, signal);
        pid
    }

    /// Sends a signal to one of the server's processes. No other test gets this server.
    pub fn signal(&self, pid: i32, signal: &str) {
        self.disturb();
        must_run(Command::new("kill").args(["-s", signal, "--"]).arg(pid.to_string()));
    }
}
