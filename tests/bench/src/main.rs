//! The benchmark. `tests/bench.sh` builds and calls it; tests/bench/README.md explains the figures. Each benchmark starts a
//! server of its own and the simulator's program, and measures the product together with a baseline, on the same machine in
//! the same minute. Sees the product from outside: it must not import the extension's crate or query internal tables.

mod args;
mod calls;
mod chart;
mod compare;
mod config;
mod drain;
mod fixture;
mod idle;
mod latency;
mod limits;
mod machine;
mod measurement;
mod memory;
mod peers;
mod procfs;
mod raw_client;
mod report;
mod scale;
mod table;
mod trigger;
mod workload;

use args::Args;
use config::Config;
use measurement::Measurement;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

/// A group of figures that are measured together.
#[derive(Clone, Copy)]
struct Benchmark {
    name: &'static str,
    measure: fn(&Config) -> Vec<Measurement>,
    /// Mostly waits: such benchmarks run side by side, after the others.
    waits: bool,
}

impl Benchmark {
    const fn new(name: &'static str, measure: fn(&Config) -> Vec<Measurement>) -> Self {
        Self { name, measure, waits: false }
    }

    const fn waiting(name: &'static str, measure: fn(&Config) -> Vec<Measurement>) -> Self {
        Self { name, measure, waits: true }
    }
}

/// In the order of the table.
const BENCHMARKS: [Benchmark; 9] = [
    Benchmark::new(latency::NAME, latency::measure),
    Benchmark::new(drain::NAME, drain::measure),
    Benchmark::waiting(limits::NAME, limits::measure),
    Benchmark::new(trigger::NAME, trigger::measure),
    Benchmark::new(scale::NAME, scale::measure),
    Benchmark::new(memory::NAME, memory::measure),
    Benchmark::waiting(idle::NAME, idle::measure),
    Benchmark::new(calls::NAME, calls::measure),
    Benchmark::new(peers::NAME, peers::measure),
];

fn main() -> ExitCode {
    let args = match args::parse(std::env::args().skip(1), &BENCHMARKS.map(|benchmark| benchmark.name)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("guestly-bench: {error}");
            return ExitCode::from(2);
        }
    };
    if let Some(builds) = &args.compare {
        compare::run(&args, builds);
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<Benchmark> = BENCHMARKS.into_iter().filter(|benchmark| is_wanted(&args, benchmark.name)).collect();
    let measurements = measure_all(&args.config, &wanted);
    println!("{}", report::table(&measurements));
    if let Some(folder) = &args.write {
        let measured: Vec<&str> = wanted.iter().map(|benchmark| benchmark.name).collect();
        let order = BENCHMARKS.map(|benchmark| benchmark.name);
        if let Err(error) = report::write(folder, &measurements, &measured, &order) {
            eprintln!("guestly-bench: cannot write to {}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn is_wanted(args: &Args, name: &str) -> bool {
    args.selects(name) && (name != peers::NAME || args.config.peers.is_some())
}

/// The measurements of these benchmarks, in their order.
fn measure_all(config: &Config, wanted: &[Benchmark]) -> Vec<Measurement> {
    let (waiting, busy): (Vec<&Benchmark>, Vec<&Benchmark>) = wanted.iter().partition(|benchmark| benchmark.waits);
    let mut measurements: Vec<Measurement> = busy.into_iter().flat_map(|one| measure_one(config, one)).collect();
    thread::scope(|scope| {
        let threads: Vec<_> = waiting.into_iter().map(|one| scope.spawn(|| measure_one(config, one))).collect();
        for thread in threads {
            measurements.extend(thread.join().unwrap_or_else(|_| panic!("a benchmark failed")));
        }
    });
    measurements.sort_by_key(|one| wanted.iter().position(|benchmark| benchmark.name == one.benchmark));
    measurements
}

fn measure_one(config: &Config, benchmark: &Benchmark) -> Vec<Measurement> {
    let began = Instant::now();
    eprintln!("measuring: {}", benchmark.name);
    let measurements = (benchmark.measure)(config);
    eprintln!("{}    took {:.0} s\n", report::table(&measurements), began.elapsed().as_secs_f64());
    measurements
}
