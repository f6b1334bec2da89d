//! The kernel's data about a server process: memory, files, processor time, threads. Called by the tests, on their threads.

use std::fs;

fn read(pid: i32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_else(|error| panic!("no process {pid}: {error}"))
}

/// Anonymous memory in kB, without shared buffers.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn memory_of(pid: i32) -> u64 {
    let status = read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_else(|_| panic!("no memory of process {pid}: {status}"))
}

/// Open files, without those of tables, which the server closes itself.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn descriptors_of(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap_or_else(|error| panic!("no process {pid}: {error}"));
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let mut names: Vec<String> = targets.map(|path| path.display().to_string()).collect();
    names
        .retain(|name| !name.contains("/data/base/") && !name.contains("/data/pg_") && !name.contains("/data/global/"));
    names.iter_mut().for_each(|name| *name = name.split(':').next().unwrap_or_default().to_owned());
    names.sort();
    names
}

/// Processor time, in hundredths of a second.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn ticks_of(pid: i32) -> u64 {
    let stat = read(pid, "stat");
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// The number of its threads.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn threads_of(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).unwrap_or_else(|error| panic!("no process {pid}: {error}")).count()
}
