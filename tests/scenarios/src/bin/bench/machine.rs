//! The machine in words, without its name. Called by `report`. Must not measure.

use std::fs;
use std::process::Command;

/// CPU, kernel, memory and PostgreSQL's version.
pub fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name").and_then(|rest| rest.split_once(": ")));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = read("/proc/meminfo");
    let kilobytes =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    let load = read("/proc/loadavg");
    format!(
        "Measured on {cores} cores ({}), {:.0} GB, Linux {}, {}; the server, the simulator and the benchmark share them. \
         Load average at the end: {}. The servers are durable (fsync on), everything else as PostgreSQL has it.",
        model.map_or("unknown", |(_, name)| name.trim()),
        kilobytes.unwrap_or_default() / 1024.0 / 1024.0,
        // What follows the number names the machine's maker.
        read("/proc/sys/kernel/osrelease").split('-').next().unwrap_or_default().trim(),
        postgres(),
        load.split(' ').take(2).collect::<Vec<_>>().join(" and "),
    )
}

fn postgres() -> String {
    let folder = std::env::var("GUESTLY_PG_BIN").unwrap_or_else(|_| "/usr/lib/postgresql/15/bin".to_owned());
    let output = Command::new(format!("{folder}/postgres")).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.trim().replace("postgres (PostgreSQL)", "PostgreSQL")
}
