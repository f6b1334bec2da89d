//! The benchmark: `bench [--smoke] [--only FIGURE]… [--peers FOLDER] [--write FOLDER]`, called by tests/bench.sh. Each
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
use std::time::Instant;

/// A figure: its name, and how it is measured.
type Figure = (&'static str, fn(&Plan) -> Vec<Row>);

/// In the order of the table.
const FIGURES: [Figure; 9] = [
    ("commit to request", latency::measure),
    ("drain", drain::measure),
    ("at the limits", limits::measure),
    ("trigger", trigger::measure),
    ("scale", scale::measure),
    ("memory", memory::measure),
    ("idle", idle::measure),
    ("calls", calls::measure),
    ("peers", peers::measure),
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
    let (mut rows, mut measured) = (Vec::new(), Vec::new());
    for (name, measure) in FIGURES {
        let wanted = wishes.only.is_empty() || wishes.only.iter().any(|only| name.contains(only.as_str()));
        if !wanted || (name == "peers" && wishes.plan.peers.is_none()) {
            continue;
        }
        let began = Instant::now();
        eprintln!("measuring: {name}");
        let found = measure(&wishes.plan);
        eprintln!("{}    took {:.0} s\n", report::table(&found), began.elapsed().as_secs_f64());
        rows.extend(found);
        measured.push(name);
    }
    println!("{}", report::table(&rows));
    if let Some(folder) = &wishes.write {
        let order = FIGURES.map(|(name, _)| name);
        if let Err(error) = report::write(folder, &rows, &measured, &order) {
            eprintln!("bench: cannot write to {}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn wishes(mut arguments: impl Iterator<Item = String>) -> Result<Wishes, String> {
    let mut wishes = Wishes { plan: Plan::default(), only: Vec::new(), write: None };
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--smoke" => wishes.plan.smoke = true,
            "--only" => {
                let only = value()?;
                if !FIGURES.iter().any(|(name, _)| name.contains(only.as_str())) {
                    return Err(format!("no figure {only:?}; there are: {}", FIGURES.map(|(name, _)| name).join(", ")));
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
