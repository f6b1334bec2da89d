//! The text and HTML parts of a mail, written together so that they have the same content. The only place where foreign text
//! enters a page: every text is reduced to one line without control characters, and escaped for HTML. Part of
//! `domain::alert`; pure, any thread.

use crate::domain::redact::clean;

/// Longest value, in characters; a guest's note must not bury the rest.
const VALUE: usize = 600;
/// Width of the labels in the text part.
const LABEL: usize = 13;

/// Style of the table, not of its cells: a mail about hundreds of bookings has thousands of cells.
const TABLE: &str = "<table cellpadding=\"4\" style=\"text-align:left\">";
const CODE: &str = "font-family:monospace;background:#f2f2f2;padding:2px 4px";

/// A mail under construction.
#[derive(Default)]
pub struct Page {
    text: String,
    html: String,
}

impl Page {
    /// Begins a section.
    pub fn heading(&mut self, title: &str) {
        let title = clean(title, VALUE);
        self.text.push_str(&format!("{title}\n{}\n\n", "=".repeat(title.chars().count())));
        self.html.push_str(&format!("<h2 style=\"font-size:18px\">{}</h2>\n", escape(&title)));
    }

    /// A paragraph of its own.
    pub fn paragraph(&mut self, text: &str) {
        let text = clean(text, VALUE);
        self.text.push_str(&format!("{text}\n\n"));
        self.html.push_str(&format!("<p>{}</p>\n", escape(&text)));
    }

    /// A titled list of labels and values, without empty values.
    pub fn fields(&mut self, title: &str, fields: &[(&str, String)]) {
        let title = clean(title, VALUE);
        self.text.push_str(&format!("{title}\n"));
        self.html.push_str(&format!("<h3 style=\"font-size:16px\">{}</h3>\n{TABLE}\n", escape(&title)));
        for (label, value) in fields {
            let value = clean(value, VALUE);
            if value.is_empty() {
                continue;
            }
            let named = format!("{label}:");
            self.text.push_str(&format!("  {named:LABEL$}{value}\n"));
            let (label, value) = (escape(label), escape(&value));
            self.html.push_str(&format!("<tr><th>{label}</th><td>{value}</td></tr>\n"));
        }
        self.text.push('\n');
        self.html.push_str("</table>\n");
    }

    /// A statement to type, after the words before the first `: `. It is never cut.
    pub fn command(&mut self, sentence: &str) {
        let (text, line) = sentence.split_once(": ").unwrap_or(("", sentence));
        self.text.push_str(&format!("  {text}:\n    {line}\n\n"));
        let (text, line) = (escape(text), escape(line));
        self.html.push_str(&format!("<p>{text}: <code style=\"{CODE}\">{line}</code></p>\n"));
    }

    /// A table, one row a line; empty cells show a dash.
    pub fn table(&mut self, header: &[&str], rows: &[Vec<String>]) {
        let cells: Vec<String> = header.iter().map(|cell| format!("<th>{}</th>", escape(cell))).collect();
        self.html.push_str(&format!("{TABLE}\n<tr>{}</tr>\n", cells.concat()));
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| dash(clean(cell, VALUE))).collect();
            self.text.push_str(&format!("  - {}\n", cells.join(" | ")));
            let cells = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell)));
            self.html.push_str(&format!("<tr>{}</tr>\n", cells.collect::<String>()));
        }
        self.text.push('\n');
        self.html.push_str("</table>\n");
    }

    /// The text part and the HTML part.
    pub fn finish(self, title: &str) -> (String, String) {
        let head = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"/><title>{}</title></head>\n\
             <body style=\"font-family:sans-serif;font-size:15px\">\n",
            escape(&clean(title, VALUE))
        );
        let text = format!("{}\n", self.text.trim_end());
        (text, format!("{head}{}</body>\n</html>\n", self.html))
    }
}

fn dash(cell: String) -> String {
    if cell.is_empty() { "-".to_owned() } else { cell }
}

/// For text between tags and in quoted attributes. Apostrophes stay: no attribute is quoted with them.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}
