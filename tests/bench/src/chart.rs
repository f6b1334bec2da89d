//! A bar chart as plain SVG. Called by `report`. Must not measure.

use crate::measurement::Measurement;
use crate::table::quantity;
use std::fmt::Write as _;

/// Pixels from one bar to the next.
const LINE: usize = 26;
/// Width of the labels, in pixels.
const LABELS: f64 = 330.0;
/// Length of the longest bar, in pixels.
const BARS: f64 = 360.0;
/// Width of the whole, in pixels.
const WIDTH: f64 = 860.0;

/// The chart's file name.
pub fn file_name(benchmark: &str) -> String {
    format!("{}.svg", benchmark.replace(' ', "-"))
}

/// Draws one bar for each measurement, as long as its median, with a thin line at its baseline. Measurements of one unit
/// share a scale.
pub fn draw(benchmark: &str, measurements: &[Measurement]) -> String {
    let height = (measurements.len() + 2) * LINE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"10\" y=\"20\" \
         font-weight=\"bold\">{}</text>\n",
        escape(benchmark)
    );
    for (index, one) in measurements.iter().enumerate() {
        bar(&mut svg, one, scale(one, measurements), (index + 1) * LINE + 6);
    }
    let foot = height - 8;
    let _ = writeln!(
        svg,
        "<text x=\"10\" y=\"{foot}\" fill=\"#666\">bar: median; thin line: baseline of the same run</text>"
    );
    svg.push_str("</svg>\n");
    svg
}

fn bar(svg: &mut String, one: &Measurement, scale: f64, top: usize) {
    let text = top + 14;
    let length = (one.median() * scale).max(1.0);
    let _ = writeln!(svg, "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>", LABELS - 8.0, escape(&one.case));
    let _ = writeln!(svg, "<rect x=\"{LABELS}\" y=\"{top}\" width=\"{length:.1}\" height=\"18\" fill=\"#4878a8\"/>");
    let mut end = length;
    if let Some(baseline) = &one.baseline {
        let place = baseline.value * scale;
        end = end.max(place);
        let x = LABELS + place;
        let bottom = top + 20;
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\" stroke=\"#b03030\" stroke-width=\"2\"/>",
            top - 2
        );
    }
    let value = escape(&quantity(one.median(), one.unit));
    let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{text}\">{value}</text>", LABELS + end + 8.0);
}

/// Pixels for one of the measurement's unit.
fn scale(one: &Measurement, measurements: &[Measurement]) -> f64 {
    let same_unit = measurements.iter().filter(|other| other.unit == one.unit);
    let baseline = |one: &Measurement| one.baseline.as_ref().map_or(0.0, |baseline| baseline.value);
    let most = same_unit.flat_map(|other| [other.median(), baseline(other)]).fold(0.0, f64::max);
    if most > 0.0 { BARS / most } else { 0.0 }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
