//! The server's own programs in a test: `pg_dump`, `pg_restore`, `psql`, `pg_upgrade`. Called by the tests, on their threads.
//! Must not know the dumped data.

use crate::cluster::Cluster;
use crate::database::Database;
use crate::folder::{programs, server_command};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// One of the server's programs, run by the account that owns the servers.
#[must_use]
pub fn program(name: &str) -> Command {
    server_command(&programs().join(name))
}

/// The folder of the server's programs, as `pg_upgrade` wants it.
#[must_use]
pub fn folder_of_programs() -> PathBuf {
    programs()
}

/// Runs a command with this input and gives its output, or its error output with its status.
///
/// # Errors
/// If it cannot be started or fails: its output on both channels.
pub fn feed(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, String> {
    let words = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{words} did not start: {error}"))?;
    let (pipe, input) = (child.stdin.take(), input.to_vec());
    // On its own thread: a program with a long error output before it reads would deadlock.
    let writer = thread::spawn(move || pipe.map(|mut pipe| pipe.write_all(&input)));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let _ = writer.join();
    let error_text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && !error_text.contains("ERROR") {
        return Ok(output.stdout);
    }
    Err(format!("{words} ended with {}: {}{error_text}", output.status, String::from_utf8_lossy(&output.stdout)))
}

/// `pg_dump` of a database in this format: `plain`, `custom` or `tar`.
///
/// # Panics
/// If it fails.
#[must_use]
pub fn dump(database: &Database, format: &str) -> Vec<u8> {
    let mut command = program("pg_dump");
    feed(command.args(database.arguments()).arg(format!("--format={format}")), &[])
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Restores such a dump, stopping at the first error: `psql` for a plain one, `pg_restore` for the others.
///
/// # Errors
/// Its error output.
pub fn restore(database: &Database, format: &str, dump: &[u8]) -> Result<(), String> {
    let mut command = if format == "plain" {
        let mut psql = program("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1"]);
        psql
    } else {
        let mut restore = program("pg_restore");
        restore.arg("--exit-on-error");
        restore
    };
    feed(command.args(database.arguments()), dump).map(drop)
}

/// Runs a script with `psql`, stopping at the first error, and gives its unaligned output.
///
/// # Errors
/// Its error output.
pub fn psql(database: &Database, text: &str) -> Result<String, String> {
    let mut command = program("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]).args(database.arguments());
    feed(&mut command, text.as_bytes()).map(|said| String::from_utf8_lossy(&said).into_owned())
}

/// Makes the roles that a dump names, as `pg_dumpall --roles-only` would.
///
/// # Panics
/// If one cannot be made.
pub fn make_roles(cluster: &Cluster, names: &[&str]) {
    for name in names {
        cluster.sql(&format!("CREATE ROLE {name} LOGIN"));
    }
}

/// A folder for a program that writes into its working folder.
///
/// # Panics
/// If it cannot be made.
pub fn make_folder(path: &Path) {
    crate::folder::must_run(server_command(Path::new("mkdir")).arg(path));
}
