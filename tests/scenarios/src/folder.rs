//! The folder of test servers: one per test binary under the system's temporary folder, owned by the account
//! that runs the servers, with the template that new servers are copied from. Called by `cluster` only, on test
//! threads. Must not know what the servers are used for.
//!
//! PostgreSQL refuses to run as root. Under root every command goes through `runuser` as `postgres`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// Stops all servers below `$1` and deletes the folder when the test binary has ended, even if it was killed.
const CLEAN_UP: &str = r#"
cat >/dev/null
for pid in "$1"/*/data/postmaster.pid; do
    [ -e "$pid" ] && "$2"/pg_ctl stop -s -m immediate -D "${pid%/postmaster.pid}"
done
rm -rf "$1"
"#;

/// The file with the settings of a test, included by postgresql.conf.
pub const CONFIGURATION: &str = "test.conf";

/// The folder with `initdb`, `pg_ctl` and `pg_dump`: `GUESTLY_PG_BIN`, or where Debian puts PostgreSQL 15.
pub fn programs() -> PathBuf {
    std::env::var_os("GUESTLY_PG_BIN").map_or_else(|| "/usr/lib/postgresql/15/bin".into(), PathBuf::from)
}

/// A command run by the account that owns the servers, without the caller's environment, which might have settings
/// of the extension.
pub fn server_command(program: &Path) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let mut command = if is_root {
        let mut runuser = Command::new("runuser");
        runuser.args(["-u", "postgres", "--"]).arg(program);
        runuser
    } else {
        Command::new(program)
    };
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end and gives its output, or its error as text.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?} did not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let error_text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} ended with {}: {said}{error_text}", output.status))
}

/// As [`run`], for commands that fail only on a machine without the set-up.
pub fn must_run(command: &mut Command) -> String {
    run(command).unwrap_or_else(|error| panic!("{error}"))
}

struct RunFolder {
    path: PathBuf,
    template: OnceLock<PathBuf>,
    next_number: AtomicU32,
    /// Cleans up when this process ends, which closes the pipe.
    _cleaner: Mutex<Child>,
}

/// A file system in memory.
const MEMORY: &str = "/dev/shm";

fn run_folder(in_memory: bool) -> &'static RunFolder {
    static FOLDERS: [OnceLock<RunFolder>; 2] = [const { OnceLock::new() }; 2];
    FOLDERS[usize::from(in_memory)].get_or_init(|| {
        let place = if in_memory { PathBuf::from(MEMORY) } else { std::env::temp_dir() };
        let pattern = place.join("guestly.XXXXXX");
        let path = PathBuf::from(must_run(server_command(Path::new("mktemp")).arg("-d").arg(pattern)).trim());
        let cleaner = server_command(Path::new("sh"))
            .args(["-c", CLEAN_UP, "sh"])
            .arg(&path)
            .arg(programs())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own process group: Ctrl-C at the terminal must not end the cleaner.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start the cleaner of test servers: {error}"));
        RunFolder { path, template: OnceLock::new(), next_number: AtomicU32::new(1), _cleaner: Mutex::new(cleaner) }
    })
}

/// A new, empty folder for one server.
pub fn new_server_folder() -> PathBuf {
    new_server_folder_in(false)
}

/// The same, in memory or not.
pub fn new_server_folder_in(in_memory: bool) -> PathBuf {
    let folder = run_folder(in_memory);
    let number = folder.next_number.fetch_add(1, Ordering::Relaxed);
    let path = folder.path.join(format!("server{number}"));
    must_run(server_command(Path::new("mkdir")).arg("-m").arg("700").arg(&path));
    path
}

/// Makes an empty data folder: a copy of the template, or, where the server needs a system identifier of its own,
/// by a run of initdb.
pub fn make_data(target: &Path, own_identifier: bool) {
    if own_identifier {
        init_data(target);
        return;
    }
    let folder = run_folder(false);
    let template = folder.template.get_or_init(|| {
        let path = folder.path.join("template");
        init_data(&path);
        path
    });
    must_run(server_command(Path::new("cp")).args(["-a", "--reflink=auto"]).arg(template).arg(target));
}

fn init_data(target: &Path) {
    let mut initdb = server_command(&programs().join("initdb"));
    initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D"]).arg(target);
    must_run(&mut initdb);
    let include = format!("include_if_exists = '{CONFIGURATION}'\n");
    let main = target.join("postgresql.conf");
    let mut file = OpenOptions::new().append(true).open(&main);
    file.as_mut()
        .map_err(|error| error.to_string())
        .and_then(|file| file.write_all(include.as_bytes()).map_err(|error| error.to_string()))
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", main.display()));
}

/// The `pg_ctl` of these programs, for the server in this folder.
pub fn pg_ctl(programs: &Path, server: &Path) -> Command {
    let mut command = server_command(&programs.join("pg_ctl"));
    command.arg("-s").arg("-D").arg(server.join("data"));
    command
}

/// Arguments of `pg_ctl` that stop a server at once.
pub const CRASH: [&str; 6] = ["stop", "-w", "-t", "60", "-m", "immediate"];

/// Stops a server at once, if it runs, and deletes its folder.
pub fn stop_and_remove(server: &Path) {
    let _ = run(pg_ctl(&programs(), server).args(CRASH));
    if let Err(error) = remove(server) {
        eprintln!("a test server's folder stays behind: {error}");
    }
}

/// Deletes a server's folder.
pub fn remove(path: &Path) -> Result<String, String> {
    run(server_command(Path::new("rm")).arg("-rf").arg(path))
}

/// Moves a server's folder out of the folder of the test binary, and gives its new place.
pub fn keep(path: &Path) -> Result<String, String> {
    let pattern = std::env::temp_dir().join("guestly-failed.XXXXXX");
    let place = run(server_command(Path::new("mktemp")).arg("-d").arg(pattern))?.trim().to_owned();
    run(server_command(Path::new("mv")).arg(path).arg(&place))?;
    Ok(place)
}
