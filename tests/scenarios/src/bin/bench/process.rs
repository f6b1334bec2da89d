//! What the kernel knows of a process: its own memory, threads, processor time, and how often it woke. Read by the figures
//! on memory and idleness. Must not know which process it is.

use std::fs;
use std::path::PathBuf;

fn tasks(pid: i32) -> Vec<PathBuf> {
    let folder = fs::read_dir(format!("/proc/{pid}/task")).unwrap_or_else(|error| panic!("no process {pid}: {error}"));
    folder.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

/// Its threads.
pub fn threads(pid: i32) -> usize {
    tasks(pid).len()
}

/// Memory that is its alone, in MB; the server's shared memory is left out.
pub fn private_megabytes(pid: i32) -> f64 {
    let maps =
        fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_else(|error| panic!("no process {pid}: {error}"));
    let (mut shared, mut kilobytes) = (false, 0.0);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match first {
            "Private_Clean:" | "Private_Dirty:" if !shared => kilobytes += second.parse::<f64>().unwrap_or_default(),
            // A mapping begins: its addresses, then its rights.
            name if !name.ends_with(':') => shared = second.ends_with('s'),
            _ => {}
        }
    }
    kilobytes / 1024.0
}

/// Processor time of all its threads, in milliseconds.
pub fn cpu_millis(pid: i32) -> f64 {
    let of = |path: PathBuf| fs::read_to_string(path.join("schedstat")).unwrap_or_default();
    let nanos = |text: String| text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or_default();
    tasks(pid).into_iter().map(|task| nanos(of(task)) / 1e6).sum()
}

/// How often its threads went to sleep by themselves: once for each time they woke.
pub fn wake_ups(pid: i32) -> f64 {
    let of = |path: PathBuf| fs::read_to_string(path.join("status")).unwrap_or_default();
    let count = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|number| number.trim().parse::<f64>().ok()).unwrap_or_default()
    };
    tasks(pid).into_iter().map(|task| count(of(task))).sum()
}
