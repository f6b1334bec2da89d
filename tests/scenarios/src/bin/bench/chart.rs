//! A bar chart as plain SVG, drawn without any library. Called by `report`. Must not measure.

use crate::report::short;
use crate::row::Row;
use std::fmt::Write as _;

const LINE: usize = 26;
const LABELS: f64 = 330.0;
const BARS: f64 = 360.0;
const WIDTH: f64 = 860.0;

/// The chart's file.
pub fn file_name(figure: &str) -> String {
    format!("{}.svg", figure.replace(' ', "-"))
}

/// One bar for each row, as long as its median; a thin line where its limit is. Rows of one unit share a scale.
pub fn draw(figure: &str, rows: &[Row]) -> String {
    let height = (rows.len() + 2) * LINE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"10\" y=\"20\" \
         font-weight=\"bold\">{}</text>\n",
        escape(figure)
    );
    for (index, row) in rows.iter().enumerate() {
        bar(&mut svg, row, scale(row, rows), (index + 1) * LINE + 6);
    }
    let foot = height - 8;
    let _ =
        writeln!(svg, "<text x=\"10\" y=\"{foot}\" fill=\"#666\">bar: median; thin line: limit of the same run</text>");
    svg.push_str("</svg>\n");
    svg
}

fn bar(svg: &mut String, row: &Row, scale: f64, top: usize) {
    let text = top + 14;
    let length = (row.median() * scale).max(1.0);
    let _ = writeln!(svg, "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>", LABELS - 8.0, escape(&row.case));
    let _ = writeln!(svg, "<rect x=\"{LABELS}\" y=\"{top}\" width=\"{length:.1}\" height=\"18\" fill=\"#4878a8\"/>");
    let mut end = length;
    if let Some(limit) = &row.limit {
        let place = limit.value * scale;
        end = end.max(place);
        let x = LABELS + place;
        let bottom = top + 20;
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\" stroke=\"#b03030\" stroke-width=\"2\"/>",
            top - 2
        );
    }
    let value = escape(format!("{} {}", short(row.median()), row.unit).trim());
    let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{text}\">{value}</text>", LABELS + end + 8.0);
}

/// Pixels for one of the row's unit.
fn scale(row: &Row, rows: &[Row]) -> f64 {
    let same = rows.iter().filter(|other| other.unit == row.unit);
    let most =
        same.flat_map(|row| [row.median(), row.limit.as_ref().map_or(0.0, |limit| limit.value)]).fold(0.0, f64::max);
    if most > 0.0 { BARS / most } else { 0.0 }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
