//! The table: on the terminal, as Markdown with a chart of each figure, and what of it the README shows. Called by `main`.
//! Must not measure.

use crate::row::{Goal, Row};
use crate::{chart, machine};
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

const HEAD: [&str; 8] =
    ["figure", "case", "median", "smallest – largest", "compared with", "ratio", "to reach", "reached"];

/// Column of the spread, which the README leaves out.
const SPREAD: usize = 3;
/// Column of the goal: the README shows the rows that have one.
const TO_REACH: usize = 6;
/// What stands between these in the README is written here.
const BEGIN: &str = "<!-- figures: written by tests/bench.sh -->";
const END: &str = "<!-- end of figures -->";

/// Where the figures are written to, in the repository.
const FOLDER: &str = "tests/bench";

/// The rows as a table of Markdown, padded so that it also reads well in a terminal.
pub fn table(rows: &[Row]) -> String {
    let lines: Vec<Vec<String>> = rows.iter().map(cells).collect();
    layout(&head(), &lines)
}

fn head() -> Vec<String> {
    HEAD.map(str::to_owned).to_vec()
}

fn layout(head: &[String], lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let all = lines.iter().map(Vec::as_slice).chain(std::iter::once(head));
        all.filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let mut put = |cells: &[String]| {
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "| {cell}{} ", " ".repeat(width - cell.chars().count()));
        }
        text.push_str("|\n");
    };
    put(head);
    put(&widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>());
    lines.iter().for_each(|line| put(line));
    text
}

fn cells(row: &Row) -> Vec<String> {
    let value = |number: f64| format!("{} {}", short(number), row.unit).trim().to_owned();
    let (least, most) = row.samples.iter().fold((f64::MAX, f64::MIN), |(a, b), s| (a.min(*s), b.max(*s)));
    let limit = row.limit.as_ref().map(|limit| format!("{}: {}", limit.name, value(limit.value)));
    let goals: Vec<String> = row.goals.iter().map(|goal| in_words(*goal, row.unit)).collect();
    let reached: Vec<&str> = row.goals.iter().map(|goal| if row.reaches(*goal) { "yes" } else { "no" }).collect();
    vec![
        row.figure.to_owned(),
        row.case.clone(),
        value(row.median()),
        format!("{} – {}", short(least), short(most)),
        limit.unwrap_or_default(),
        row.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        goals.join(", "),
        reached.join(", "),
    ]
}

fn in_words(goal: Goal, unit: &str) -> String {
    let number = |value: f64| format!("{} {unit}", short(value)).trim().to_owned();
    match goal {
        Goal::AtMost(most) => format!("≤ {}", number(most)),
        Goal::AtLeast(least) => format!("≥ {}", number(least)),
        Goal::Never => "never".to_owned(),
        Goal::RatioAtMost(most) => format!("ratio ≤ {}", short(most)),
        Goal::RatioAtLeast(least) => format!("ratio ≥ {}", short(least)),
    }
}

/// A number with about three digits.
pub fn short(number: f64) -> String {
    let digits = match number.abs() {
        size if size >= 100.0 || size == size.trunc() => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{number:.digits$}")
}

/// Writes `results.md` and the charts of the measured figures, and what of it the README shows, into the repository; rows and
/// charts of other figures stay as they are.
///
/// # Errors
/// Whatever the file system says.
pub fn write(root: &Path, rows: &[Row], measured: &[&str], order: &[&str]) -> io::Result<()> {
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let file = folder.join("results.md");
    let former = fs::read_to_string(&file).unwrap_or_default();
    let mut lines = Vec::new();
    let mut charts = String::new();
    for name in order {
        if measured.contains(name) {
            let own: Vec<Row> = rows.iter().filter(|row| row.figure == *name).cloned().collect();
            fs::write(folder.join(chart::file_name(name)), chart::draw(name, &own))?;
            lines.extend(own.iter().map(cells));
        } else {
            lines.extend(former_lines(&former, name));
        }
        if lines.last().is_some_and(|line| line[0] == *name) {
            let _ = writeln!(charts, "![{name}]({})", chart::file_name(name));
        }
    }
    let machine = machine::describe();
    let text = format!(
        "<!-- Written by tests/bench.sh. -->\n# What it costs, and how fast it is\n\n{machine}\n\nA figure is the median of its \
         rounds; a ratio is the median by what it is compared with, measured in the same run on the same machine.\n\n{}\n{charts}",
        layout(&head(), &lines)
    );
    fs::write(file, text)?;
    show(&root.join("README.md"), &machine, &lines)
}

/// Puts what is to be reached, and the other queues, between the README's marks.
fn show(readme: &Path, machine: &str, lines: &[Vec<String>]) -> io::Result<()> {
    let text = fs::read_to_string(readme)?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| io::Error::other(format!("README has no {BEGIN} and {END}")))?;
    let narrow = |line: &[String]| [&line[..SPREAD], &line[SPREAD + 1..]].concat();
    let shown: Vec<_> =
        lines.iter().filter(|line| !line[TO_REACH].is_empty() || line[0] == "peers").map(|line| narrow(line)).collect();
    fs::write(readme, format!("{before}{BEGIN}\n{machine}\n\n{}{END}{after}", layout(&narrow(&head()), &shown)))
}

fn former_lines(text: &str, figure: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = text.lines().filter(|line| line.starts_with('|')).map(cells);
    rows.filter(|cells| cells.len() == HEAD.len() && cells[0] == figure).collect()
}
