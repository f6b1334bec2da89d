//! A description of the machine, without its name. Called by `report`. Must not measure.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Processor, memory, kernel and PostgreSQL version, in sentences.
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
         Load average at the end: {}. The servers are durable (fsync on); other settings are PostgreSQL's defaults, except \
         where a case says so.",
        model.map_or("unknown", |(_, name)| name.trim()),
        kilobytes.unwrap_or_default() / 1024.0 / 1024.0,
        // What follows the number may name the machine's vendor.
        read("/proc/sys/kernel/osrelease").split('-').next().unwrap_or_default().trim(),
        postgres(),
        load.split(' ').take(2).collect::<Vec<_>>().join(" and "),
    )
}

fn postgres() -> String {
    let folder = std::env::var_os("GUESTLY_PG_BIN").map_or_else(|| "/usr/lib/postgresql/15/bin".into(), PathBuf::from);
    let output = Command::new(folder.join("postgres")).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.trim().replace("postgres (PostgreSQL)", "PostgreSQL")
}
