//! The benchmark: `bench [--smoke] [--only FIGURE]… [--peers FOLDER] [--write REPOSITORY]`, called by tests/bench.sh. Each
//! figure starts a server and the simulator's program (which lies beside this one), and measures beside the product what
//! limits it on the same machine in the same minute. Must not import the extension's crate.

mod calls;
mod chart;
mod drain;
mod idle;
mod latency;
mod limits;
mod machine;
mod memory;
mod peers;
mod plan;
mod process;
mod raw;
mod report;
mod row;
mod scale;
mod scene;
mod trigger;

use plan::Plan;
use row::Row;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

/// How a figure is measured.
type Measure = fn(&Plan) -> Vec<Row>;

/// A figure: its name, how it is measured, and whether that is mostly waiting.
type Figure = (&'static str, Measure, bool);

/// In the order of the table. Those that mostly wait are measured side by side, after the others.
const FIGURES: [Figure; 9] = [
    ("commit to request", latency::measure, false),
    ("drain", drain::measure, false),
    ("at the limits", limits::measure, true),
    ("trigger", trigger::measure, false),
    ("scale", scale::measure, false),
    ("memory", memory::measure, false),
    ("idle", idle::measure, true),
    ("calls", calls::measure, false),
    ("peers", peers::measure, false),
];

struct Wishes {
    plan: Plan,
    only: Vec<String>,
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    let wishes = match wishes(std::env::args().skip(1)) {
        Ok(wishes) => wishes,
        Err(error) => {
            eprintln!("bench: {error}");
            return ExitCode::from(2);
        }
    };
    let wanted: Vec<Figure> = FIGURES.into_iter().filter(|(name, ..)| wishes.wants(name)).collect();
    let rows = measure_all(&wishes.plan, &wanted);
    let measured: Vec<&str> = wanted.iter().map(|(name, ..)| *name).collect();
    println!("{}", report::table(&rows));
    if let Some(root) = &wishes.write {
        let order = FIGURES.map(|(name, ..)| name);
        if let Err(error) = report::write(root, &rows, &measured, &order) {
            eprintln!("bench: cannot write to {}: {error}", root.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

impl Wishes {
    fn wants(&self, name: &str) -> bool {
        let named = self.only.is_empty() || self.only.iter().any(|only| name.contains(only.as_str()));
        named && (name != "peers" || self.plan.peers.is_some())
    }
}

/// The rows of these figures, in their order.
fn measure_all(plan: &Plan, wanted: &[Figure]) -> Vec<Row> {
    let place = |name: &str| wanted.iter().position(|(other, ..)| *other == name);
    let mut found: Vec<Row> = wanted.iter().filter(|(.., waits)| !waits).flat_map(|f| measure_one(plan, f)).collect();
    thread::scope(|scope| {
        let waiting = wanted.iter().filter(|(.., waits)| *waits);
        let threads: Vec<_> = waiting.map(|figure| scope.spawn(|| measure_one(plan, figure))).collect();
        for thread in threads {
            found.extend(thread.join().unwrap_or_else(|_| panic!("a figure could not be measured")));
        }
    });
    found.sort_by_key(|row| place(row.figure));
    found
}

fn measure_one(plan: &Plan, (name, measure, _): &Figure) -> Vec<Row> {
    let began = Instant::now();
    eprintln!("measuring: {name}");
    let found = measure(plan);
    eprintln!("{}    took {:.0} s\n", report::table(&found), began.elapsed().as_secs_f64());
    found
}

fn wishes(mut arguments: impl Iterator<Item = String>) -> Result<Wishes, String> {
    let mut wishes = Wishes { plan: Plan::default(), only: Vec::new(), write: None };
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--smoke" => wishes.plan.smoke = true,
            "--only" => {
                let only = value()?;
                if !FIGURES.iter().any(|(name, ..)| name.contains(only.as_str())) {
                    return Err(format!(
                        "no figure {only:?}; there are: {}",
                        FIGURES.map(|(name, ..)| name).join(", ")
                    ));
                }
                wishes.only.push(only);
            }
            "--rounds" => wishes.plan.rounds = value()?.parse().map_err(|_| "--rounds needs a number")?,
            "--peers" => wishes.plan.peers = Some(value()?.into()),
            "--write" => wishes.write = Some(value()?.into()),
            other => return Err(format!("unknown option {other}")),
        }
    }
    Ok(wishes)
}
