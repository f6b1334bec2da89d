//! Reads the documents: every Markdown file of the repository, its code blocks, headings, links and tables. No server.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// One Markdown file.
pub struct Document {
    /// Relative to the root, for example `sql/README.md`.
    pub path: String,
    pub text: String,
}

/// A fenced code block.
#[derive(Clone)]
pub struct Block {
    /// The path of its document.
    pub document: String,
    /// The heading above it, with its number signs.
    pub heading: String,
    pub language: String,
    /// After as many empty lines as there are before it, so that `psql` reports the lines of the document.
    pub text: String,
    /// The `text` block that follows at once: its expected output.
    pub output: Option<String>,
}

/// Every document of the repository, in the order of their paths.
pub fn documents() -> Vec<Document> {
    let (root, mut paths) = (root(), BTreeSet::new());
    collect(&root, &root, &mut paths);
    let read = |path: String| Document { text: std::fs::read_to_string(root.join(&path)).unwrap(), path };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, root: &Path, paths: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                collect(&path, root, paths);
            }
        } else if name.ends_with(".md") {
            paths.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// The document with that path.
pub fn document(path: &str) -> Document {
    documents().into_iter().find(|document| document.path == path).unwrap_or_else(|| panic!("there is no {path}"))
}

impl Document {
    /// The code blocks, in order.
    pub fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut heading) = (Vec::<Block>::new(), String::new());
        let (mut open, mut follows) = (None::<Block>, false);
        for (number, line) in self.text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (open.take(), fence) {
                (Some(mut block), None) => {
                    block.text += line;
                    block.text.push('\n');
                    open = Some(block);
                }
                (Some(block), Some(_)) if block.language == "text" && follows => {
                    blocks.last_mut().unwrap().output = Some(block.text.trim_start_matches('\n').to_owned());
                    follows = false;
                }
                (Some(block), Some(_)) => {
                    follows = block.language == "sql";
                    blocks.push(block);
                }
                (None, Some(language)) => {
                    let (document, language) = (self.path.clone(), language.to_owned());
                    follows &= language == "text";
                    let text = "\n".repeat(number + 1);
                    open = Some(Block { document, heading: heading.clone(), language, text, output: None });
                }
                (None, None) => {
                    follows &= line.is_empty();
                    if line.starts_with('#') {
                        line.clone_into(&mut heading);
                    }
                }
            }
        }
        assert!(open.is_none(), "{}: a block without an end", self.path);
        blocks
    }

    /// The part below one heading, up to the next one.
    pub fn section(&self, heading: &str) -> Self {
        let lines = self.text.lines().skip_while(|line| *line != heading).skip(1);
        let text: String = lines.take_while(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        assert!(!text.is_empty(), "{} has no section {heading}", self.path);
        Self { path: self.path.clone(), text }
    }

    /// The lines outside of code blocks, with their numbers from 1.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let mut prose = Vec::new();
        for (number, line) in self.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if !inside {
                prose.push((number + 1, line));
            }
        }
        prose
    }

    /// The anchors of the headings, as the usual renderers make them.
    pub fn anchors(&self) -> BTreeSet<String> {
        let mut anchors = BTreeSet::new();
        for (_, line) in self.prose().into_iter().filter(|(_, line)| line.starts_with('#')) {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            assert!(anchors.insert(anchor), "{}: two headings {title}", self.path);
        }
        anchors
    }

    /// The targets of the links and pictures, with the number of their line.
    pub fn links(&self) -> Vec<(usize, String)> {
        let in_line = |line: &str| -> Vec<String> {
            let parts: String = line.split('`').step_by(2).collect();
            parts.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
        };
        let numbered =
            |(number, line)| in_line(line).into_iter().map(move |target| (number, target)).collect::<Vec<_>>();
        self.prose().into_iter().flat_map(numbered).collect()
    }

    /// The cells of every row of a table whose first cell begins with a code span that begins with `begin`.
    pub fn rows(&self, begin: &str) -> Vec<Vec<String>> {
        let wanted = format!("| `{begin}");
        let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        self.text.lines().filter(|line| line.starts_with(&wanted)).map(cells).collect()
    }

    /// The code spans of the prose.
    pub fn spans(&self) -> BTreeSet<&str> {
        self.prose().into_iter().flat_map(|(_, line)| line.split('`').skip(1).step_by(2)).collect()
    }
}

/// The first code span of a cell.
pub fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or("")
}
