//! The simulator as a program: for the benchmark, the demo and experiments.
//!
//! `guestly-simulator [--port N] [--profile documented|observed|hostile] [--latency-ms N] [--no-limits]`
//! prints `listening on http://127.0.0.1:PORT` when ready and runs until it is killed.

use guestly_simulator::{Config, Knobs, Profile, Simulator};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("guestly-simulator: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let config = parse(std::env::args().skip(1))?;
    let simulator = Simulator::start(config).map_err(|e| e.to_string())?;
    println!("listening on {}", simulator.url());
    std::io::stdout().flush().map_err(|e| e.to_string())?;
    loop {
        std::thread::park();
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Config, String> {
    let (mut port, mut profile, mut latency_ms, mut limits) = (0, Profile::Observed, 0, true);
    while let Some(name) = args.next() {
        let mut value = || args.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--port" => port = value()?.parse().map_err(|_| "--port needs a number")?,
            "--latency-ms" => latency_ms = value()?.parse().map_err(|_| "--latency-ms needs a number")?,
            "--no-limits" => limits = false,
            "--profile" => {
                profile = match value()?.as_str() {
                    "documented" => Profile::Documented,
                    "observed" => Profile::Observed,
                    "hostile" => Profile::Hostile,
                    other => return Err(format!("unknown profile {other}")),
                }
            }
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(Config { port, knobs: Knobs { latency_ms, limits, ..Knobs::of(profile) } })
}
