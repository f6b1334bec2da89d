//! Reads the kernel's figures about a process: private memory, threads, CPU time, wake-ups. Called by the benchmarks of memory,
//! idleness and drains. Must not know which process it is.

use std::fs;
use std::path::PathBuf;

fn tasks(pid: i32) -> Vec<PathBuf> {
    let folder = fs::read_dir(format!("/proc/{pid}/task")).unwrap_or_else(|error| panic!("no process {pid}: {error}"));
    folder.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

/// The number of its threads.
pub fn threads(pid: i32) -> usize {
    tasks(pid).len()
}

/// Its private memory in MB, without the server's shared memory.
pub fn private_megabytes(pid: i32) -> f64 {
    let maps =
        fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_else(|error| panic!("no process {pid}: {error}"));
    let (mut shared, mut kilobytes) = (false, 0.0);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match first {
            "Private_Clean:" | "Private_Dirty:" if !shared => kilobytes += second.parse::<f64>().unwrap_or_default(),
            // The head of a mapping: its addresses, then its permissions.
            name if !name.ends_with(':') => shared = second.ends_with('s'),
            _ => {}
        }
    }
    kilobytes / 1024.0
}

/// CPU time of all its threads, in milliseconds.
pub fn cpu_millis(pid: i32) -> f64 {
    let read = |path: PathBuf| fs::read_to_string(path.join("schedstat")).unwrap_or_default();
    let nanos = |text: String| text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or_default();
    tasks(pid).into_iter().map(|task| nanos(read(task)) / 1e6).sum()
}

/// The number of voluntary sleeps of its threads: one for each wake-up.
pub fn wake_ups(pid: i32) -> f64 {
    let read = |path: PathBuf| fs::read_to_string(path.join("status")).unwrap_or_default();
    let count = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|number| number.trim().parse::<f64>().ok()).unwrap_or_default()
    };
    tasks(pid).into_iter().map(|task| count(read(task))).sum()
}
