//! Running servers that wait for their next test. A test that neither restarts its server nor needs a new one gets the server of
//! an earlier test, with its own settings, an empty database, no roles of that test and an empty log. Called by `cluster`, on test
//! threads. Must not know the extension.
//!
//! A server has one test at a time, because all settings of the extension are server-wide: two tests on one server could not call
//! two simulators. A binary thus runs about as many servers as it has test threads. The cleaner of `folder` stops them when the
//! process ends, even if it was killed.

use crate::cluster::Cluster;
use crate::database::Database;
use crate::folder;
use crate::options::Options;
use crate::wait::wait_until;
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The longest duration of a reload.
const RELOAD: Duration = Duration::from_secs(20);

/// The setting whose value shows that the server has read the settings of its test.
const LEASE: &str = "scenario.lease";

/// Queries that give the statements which clean a server.
const CLEAN_UP: [&str; 4] = [
    "SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database \
     WHERE datname NOT IN ('template0', 'template1')",
    "SELECT format('DROP OWNED BY %I', rolname) FROM pg_roles WHERE oid >= 16384",
    "SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE oid >= 16384",
    "SELECT 'ALTER SYSTEM RESET ALL'",
];

/// Objects of an earlier test that remain; no rows if the server is as good as new.
const LEFT_BEHIND: &str = "
SELECT 'setting of ' || setdatabase || ', role ' || setrole FROM pg_db_role_setting
UNION ALL SELECT 'tablespace ' || spcname FROM pg_tablespace WHERE oid >= 16384
UNION ALL SELECT 'replication slot ' || slot_name FROM pg_replication_slots
UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts
UNION ALL SELECT 'right on parameter ' || parname FROM pg_parameter_acl
UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE oid >= 16384
UNION ALL SELECT 'object in template1: ' || relname FROM pg_class WHERE oid >= 16384";

/// Servers that wait for a test.
#[derive(Debug, Default)]
pub struct Pool {
    idle: Mutex<Vec<PathBuf>>,
    /// The names of the settings that a server reads only when it starts.
    start_settings: OnceLock<HashSet<String>>,
    next_lease: AtomicU32,
}

impl Pool {
    /// The pool of this test binary.
    pub fn of_process() -> &'static Arc<Self> {
        static POOL: LazyLock<Arc<Pool>> = LazyLock::new(Arc::default);
        &POOL
    }

    /// The number of waiting servers.
    #[must_use]
    pub fn idle_servers(&self) -> usize {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A waiting server that a reload can configure so, if there is one.
    pub(crate) fn take(&self, options: &Options) -> Option<PathBuf> {
        if !self.start_settings.get().is_some_and(|names| options.can_be_reloaded(names)) {
            return None;
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// True if a reload can change all of these settings of the server.
    pub(crate) fn accepts(&self, server: &Database, options: &Options) -> bool {
        let names = self.start_settings.get_or_init(|| {
            let query = "SELECT name FROM pg_settings WHERE context IN ('postmaster', 'internal')";
            server.query_all::<String>(query).into_iter().collect()
        });
        options.can_be_reloaded(names)
    }

    fn put(&self, folder: PathBuf) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
    }
}

impl Cluster {
    /// Prepares a waiting server for a test: reloads the settings and creates the database.
    ///
    /// # Panics
    /// If the server does not take them.
    pub(crate) fn lease(pool: &Arc<Pool>, folder: PathBuf, options: &Options) -> Self {
        let lease = pool.next_lease.fetch_add(1, Ordering::Relaxed).to_string();
        let mut cluster = Self::of(folder, options);
        cluster.pool = Some(Arc::clone(pool));
        cluster.write_configuration(&options.clone().setting(LEASE, &lease));
        let maintenance = cluster.database("template1");
        maintenance.sql("SELECT pg_reload_conf()");
        wait_until("the server to read its settings", RELOAD, || {
            let seen: Option<String> = maintenance.query_one(&format!("SELECT current_setting('{LEASE}', true)"));
            (seen.as_ref() == Some(&lease), format!("{seen:?}"))
        });
        maintenance.sql("CREATE DATABASE postgres TEMPLATE template0 STRATEGY file_copy");
        // The reload itself is logged, with the values of the settings.
        cluster.log_start = fs::metadata(cluster.log_file()).map_or(0, |log| log.len());
        cluster
    }

    /// Cleans the server and puts it into its pool, or says why it cannot be reused.
    pub(crate) fn hand_back(&self) -> Result<(), String> {
        let pool = self.pool.as_ref().ok_or("it belongs to one test")?;
        if self.was_disturbed() {
            return Err("the test stopped it or signalled its processes".to_owned());
        }
        if self.log().contains("all server processes terminated; reinitializing") {
            return Err("one of its processes crashed".to_owned());
        }
        self.clean()?;
        pool.put(self.folder().to_owned());
        Ok(())
    }

    /// Drops the test's databases and roles, and resets its settings.
    fn clean(&self) -> Result<(), String> {
        let mut client = self.database("template1").try_client()?;
        let mut run = |query: &str| -> Result<Vec<String>, String> {
            let rows = client.query(query, &[]).map_err(|error| crate::database::describe(&error))?;
            Ok(rows.iter().filter_map(|row| row.try_get(0).ok()).collect())
        };
        for query in CLEAN_UP {
            for statement in run(query)? {
                run(&statement)?;
            }
        }
        let left = run(LEFT_BEHIND)?;
        if left.is_empty() { Ok(()) } else { Err(format!("it still has: {}", left.join("; "))) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for server in self.idle.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            folder::stop_and_remove(&server);
        }
    }
}
