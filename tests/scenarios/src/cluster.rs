//! A PostgreSQL server for one test: a new one, or the running server of an earlier test (`pool`). It is reached over its own
//! socket only. Called by the tests, on their threads. Must not know the host's tables.

use crate::database::Database;
use crate::folder::{self, must_run, programs, run, server_command};
use crate::options::Options;
use crate::pool::Pool;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The last lines of the server's log that a failed test shows.
const LOG_TAIL: usize = 60;

/// The mode of a stop: `pg_ctl stop -m …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Waits until every session has ended.
    Smart,
    /// Terminates every session.
    Fast,
    /// As a crash: the next start recovers.
    Immediate,
}

impl StopMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Smart => "smart",
            Self::Fast => "fast",
            Self::Immediate => "immediate",
        }
    }
}

/// A test server; dereferences to its database `postgres`. When dropped, it goes back to its pool, or is stopped and deleted if
/// it cannot be reused. In a failing test it is stopped, its folder is kept, and the end of its log is printed.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    environment: Vec<(String, String)>,
    main: Database,
    /// The pool that gets the server after the test; none if it is not reusable.
    pub(crate) pool: Option<Arc<Pool>>,
    /// Length of the log at the start of the test, in bytes.
    pub(crate) log_start: u64,
    /// The test stopped it or signalled its processes, so it is not reused.
    disturbed: AtomicBool,
}

impl Deref for Cluster {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.main
    }
}

impl Cluster {
    /// A server with the roles and databases of a new one: a running server of the process's pool if the options allow it,
    /// otherwise a new one.
    ///
    /// # Panics
    /// If it does not start, with the end of its log.
    pub fn start(options: Options) -> Self {
        Self::start_in(Pool::of_process(), options)
    }

    /// The same with another pool.
    ///
    /// # Panics
    /// If it does not start, with the end of its log.
    pub fn start_in(pool: &Arc<Pool>, options: Options) -> Self {
        if options.needs_own_server() {
            return Self::start_new(options);
        }
        if let Some(folder) = pool.take(&options) {
            return Self::lease(pool, folder, &options);
        }
        let mut cluster = Self::start_new(options.clone());
        cluster.pool = pool.accepts(&cluster, &options).then(|| Arc::clone(pool));
        cluster
    }

    fn start_new(options: Options) -> Self {
        let folder = folder::new_server_folder_in(options.in_memory);
        folder::make_data(&folder.join("data"), options.own_identifier);
        Self::start_on(folder, options)
    }

    /// Starts a server on a physical copy of another one's data folder, as a backup or a cloned disk would give it:
    /// the other server must be stopped. Its ALTER SYSTEM settings come along.
    ///
    /// # Panics
    /// If the other server runs or the copy does not start.
    pub fn start_copy_of(other: &Self, options: Options) -> Self {
        assert!(!other.is_running(), "a data folder is copied while its server is stopped");
        let folder = folder::new_server_folder();
        must_run(server_command(Path::new("cp")).arg("-a").arg(other.data()).arg(folder.join("data")));
        Self::start_on(folder, options)
    }

    /// Starts a streaming standby of this server.
    ///
    /// # Panics
    /// If the base backup or the start fails.
    pub fn start_standby(&self, options: Options) -> Self {
        self.disturb();
        let folder = folder::new_server_folder();
        let mut backup = server_command(&programs().join("pg_basebackup"));
        backup.arg("-h").arg(&self.folder).args(["-U", "postgres", "-c", "fast", "-X", "stream", "-R", "--no-sync"]);
        must_run(backup.arg("-D").arg(folder.join("data")));
        Self::start_on(folder, options)
    }

    fn start_on(folder: PathBuf, options: Options) -> Self {
        let mut cluster = Self::of(folder, &options);
        cluster.write_configuration(&options);
        cluster.start_again();
        cluster.disturbed = AtomicBool::new(false);
        cluster
    }

    /// The server in this folder, running or not.
    pub(crate) fn of(folder: PathBuf, options: &Options) -> Self {
        let main = Database::new(&folder, "postgres");
        let environment = options.environment.clone();
        let programs = options.programs.clone().unwrap_or_else(programs);
        Self { folder, programs, environment, main, pool: None, log_start: 0, disturbed: AtomicBool::new(false) }
    }

    /// Writes the settings that the server reads at its next start or reload.
    pub(crate) fn write_configuration(&self, options: &Options) {
        let own = self.data().join(folder::CONFIGURATION);
        fs::write(&own, options.configuration(&self.folder))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", own.display()));
    }

    /// Keeps the server out of its pool.
    pub(crate) fn disturb(&self) {
        self.disturbed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_disturbed(&self) -> bool {
        self.disturbed.load(Ordering::Relaxed)
    }

    /// Starts a stopped server and waits until it takes connections.
    ///
    /// # Panics
    /// If it does not start, with the end of its log.
    pub fn start_again(&self) {
        self.start_with(&[]);
    }

    /// The same, with these arguments for `postgres` itself.
    ///
    /// # Panics
    /// If it does not start, with the end of its log.
    pub fn start_with(&self, arguments: &[&str]) {
        self.disturb();
        let mut command = self.pg_ctl();
        command.arg("-o").arg(arguments.join(" "));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(["start", "-w", "-t", "60", "-l"]).arg(self.log_file());
        run(&mut command).unwrap_or_else(|error| panic!("{error}\n{}", self.log_tail()));
    }

    /// Stops the server, waits until it is gone, and gives the time that took.
    ///
    /// # Panics
    /// If it still runs after 60 s.
    pub fn stop(&self, mode: StopMode) -> Duration {
        self.disturb();
        let began = Instant::now();
        let mut command = self.pg_ctl();
        command.args(["stop", "-w", "-t", "60", "-m", mode.as_str()]);
        run(&mut command).unwrap_or_else(|error| panic!("{error}\n{}", self.log_tail()));
        began.elapsed()
    }

    /// Stops fast and starts again.
    pub fn restart(&self) {
        self.stop(StopMode::Fast);
        self.start_again();
    }

    /// Promotes a standby and waits until it accepts writes.
    pub fn promote(&self) {
        must_run(self.pg_ctl().args(["promote", "-w", "-t", "60"]));
    }

    /// True if the server runs.
    pub fn is_running(&self) -> bool {
        run(self.pg_ctl().arg("status")).is_ok()
    }

    /// The folder of its socket.
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The log since the test began.
    pub fn log(&self) -> String {
        let text = fs::read(self.log_file()).unwrap_or_default();
        let skipped = usize::try_from(self.log_start).map_or(0, |start| start.min(text.len()));
        String::from_utf8_lossy(&text[skipped..]).into_owned()
    }

    /// The file that the server logs to.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Sets a setting for the whole server and reloads. Running sessions and workers apply it a moment later.
    pub fn alter_system(&self, name: &str, value: &str) {
        self.change_system(&format!("ALTER SYSTEM SET {name} = '{}'", value.replace('\'', "''")));
    }

    /// Resets a setting to its default and reloads.
    pub fn reset_system(&self, name: &str) {
        self.change_system(&format!("ALTER SYSTEM RESET {name}"));
    }

    fn change_system(&self, statement: &str) {
        let mut client = self.client();
        for part in [statement, "SELECT pg_reload_conf()"] {
            // One by one: ALTER SYSTEM does not run inside a transaction, which a batch would be.
            client
                .batch_execute(part)
                .unwrap_or_else(|error| panic!("{}\nin: {part}", crate::database::describe(&error)));
        }
    }

    fn pg_ctl(&self) -> Command {
        folder::pg_ctl(&self.programs, &self.folder)
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let skipped = lines.len().saturating_sub(LOG_TAIL);
        format!("the end of the server's log:\n{}", lines[skipped..].join("\n"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // No panic in here: a second one would abort the test binary and hide the first.
        if thread::panicking() {
            let _ = run(self.pg_ctl().args(folder::CRASH));
            let tail = self.log_tail();
            let place = folder::keep(&self.folder).unwrap_or_else(|error| error);
            eprintln!("{tail}\nthe server's folder is kept in {place}");
        } else if let Err(reason) = self.hand_back() {
            eprintln!("no other test gets this server: {reason}");
            folder::stop_and_remove(&self.folder);
        }
    }
}
