//! The results on the terminal, and as Markdown with a chart of each benchmark. Called by `main`. Must not measure.

use crate::measurement::{Measurement, Target, range};
use crate::table::{self, number, quantity};
use crate::{chart, machine};
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

const HEAD: [&str; 8] = ["benchmark", "case", "median", "range", "baseline", "ratio", "target", "met"];

/// The column of the targets.
const TARGET: usize = 6;

/// The measurements as a table.
pub fn table(measurements: &[Measurement]) -> String {
    table::layout(&HEAD, &measurements.iter().map(cells).collect::<Vec<_>>())
}

fn cells(one: &Measurement) -> Vec<String> {
    let (least, most) = range(&one.samples);
    let baseline = |name: &str, value| format!("{name}: {}", quantity(value, one.unit));
    let targets: Vec<String> = one.targets.iter().map(|target| describe(*target, one.unit)).collect();
    let met: Vec<&str> = one.targets.iter().map(|target| if one.meets(*target) { "yes" } else { "no" }).collect();
    vec![
        one.benchmark.to_owned(),
        one.case.clone(),
        quantity(one.median(), one.unit),
        format!("{} – {}", number(least), number(most)),
        one.baseline.as_ref().map(|found| baseline(&found.name, found.value)).unwrap_or_default(),
        one.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        targets.join(", "),
        met.join(", "),
    ]
}

fn describe(target: Target, unit: &str) -> String {
    match target {
        Target::AtMost(most) => format!("≤ {}", quantity(most, unit)),
        Target::AtLeast(least) => format!("≥ {}", quantity(least, unit)),
        Target::Never => "never".to_owned(),
        Target::RatioAtMost(most) => format!("ratio ≤ {}", number(most)),
        Target::RatioAtLeast(least) => format!("ratio ≥ {}", number(least)),
    }
}

/// Writes `results.md` and the charts of the measured benchmarks into `folder`. Rows and charts of other benchmarks stay as
/// they are; `order` is the order of all.
///
/// # Errors
/// Those of the file system.
pub fn write(folder: &Path, measurements: &[Measurement], measured: &[&str], order: &[&str]) -> io::Result<()> {
    let file = folder.join("results.md");
    let previous = fs::read_to_string(&file).unwrap_or_default();
    let mut rows = Vec::new();
    let mut charts = String::new();
    for name in order {
        if measured.contains(name) {
            let own: Vec<Measurement> = measurements.iter().filter(|one| one.benchmark == *name).cloned().collect();
            fs::write(folder.join(chart::file_name(name)), chart::draw(name, &own))?;
            rows.extend(own.iter().map(cells));
        } else {
            rows.extend(previous_rows(&previous, name));
        }
        if rows.last().is_some_and(|row: &Vec<String>| row[0] == *name) {
            let _ = writeln!(charts, "![{name}]({})", chart::file_name(name));
        }
    }
    let text = format!(
        "<!-- Written by tests/bench.sh. -->\n# Results of the benchmark\n\n{}\n\nA figure is the median of its rounds; a \
         ratio is the median divided by the baseline, which was measured in the same run. README.md in this folder explains \
         them. {}\n\n{}\n{charts}",
        machine::describe(),
        summary(&rows),
        table::layout(&HEAD, &rows)
    );
    fs::write(file, text)
}

/// The number of targets that are met.
fn summary(rows: &[Vec<String>]) -> String {
    let answers: Vec<&str> =
        rows.iter().filter_map(|row| row.get(TARGET + 1)).flat_map(|met| met.split(", ")).collect();
    let count = |answer: &str| answers.iter().filter(|found| **found == answer).count();
    let (yes, no) = (count("yes"), count("no"));
    format!("{yes} of {} targets are met.", yes + no)
}

fn previous_rows(text: &str, benchmark: &str) -> Vec<Vec<String>> {
    table::parse(text).filter(|cells| cells.len() == HEAD.len() && cells[0] == benchmark).collect()
}
