//! Links and file names of the documents, and the limits of their size and words. No server.

use super::markdown::{document, documents, root};
use std::collections::BTreeSet;

/// Folders and files that a code span may name.
const PLACES: [&str; 5] = ["src/", "sql/", "tests/", ".ci/", ".cargo/"];

#[test]
fn links_lead_to_existing_headings() {
    let mut seen = 0;
    for document in documents() {
        for (line, target) in document.links() {
            let place = format!("{}:{line} links to {target}", document.path);
            if target.starts_with("https://") {
                continue;
            }
            let (file, anchor) =
                target.split_once('#').map_or((target.as_str(), None), |(file, anchor)| (file, Some(anchor)));
            let folder = root().join(&document.path).parent().unwrap().to_owned();
            let path = if file.is_empty() { root().join(&document.path) } else { folder.join(file) };
            assert!(path.exists(), "{place}: no such file");
            let path = path.canonicalize().unwrap();
            if let Some(anchor) = anchor {
                let linked = path.strip_prefix(root().canonicalize().unwrap()).unwrap().to_str().unwrap().to_owned();
                assert!(super::markdown::document(&linked).anchors().contains(anchor), "{place}: no such heading");
            }
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} links were found");
}

#[test]
fn files_in_code_spans_exist() {
    let mut seen = 0;
    for document in documents() {
        for span in document.spans() {
            let names_a_file = PLACES.iter().any(|place| span.starts_with(place));
            if names_a_file && !span.contains(['*', '<', ' ', '…']) {
                assert!(root().join(span).exists(), "{} names {span}, which does not exist", document.path);
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen} files are named");
}

#[test]
fn every_document_is_linked_from_another() {
    let mut linked = BTreeSet::from([root().join("README.md").canonicalize().unwrap()]);
    for document in documents() {
        let folder = root().join(&document.path).parent().unwrap().to_owned();
        let files =
            document.links().into_iter().map(|(_, target)| folder.join(target.split('#').next().unwrap_or_default()));
        linked.extend(files.filter(|file| file.is_file()).map(|file| file.canonicalize().unwrap()));
    }
    for document in documents() {
        let path = root().join(&document.path).canonicalize().unwrap();
        assert!(linked.contains(&path), "no document links to {}", document.path);
    }
}

#[test]
fn the_readme_is_short() {
    let lines = document("README.md").text.lines().count();
    assert!(lines <= 250, "README.md has {lines} lines, 250 are allowed");
}

/// Guestly is the user's word and Guesty the vendor's: a line that has both confuses. The readme's second line explains them.
#[test]
fn no_line_has_both_names_of_the_service() {
    for document in documents() {
        for (number, line) in document.text.lines().enumerate() {
            let words: BTreeSet<&str> = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
            let explains = document.path == "README.md" && number == 1;
            let both = words.contains("Guestly") && words.contains("Guesty");
            assert_eq!(both, explains, "{}:{}: {line}", document.path, number + 1);
        }
    }
}

#[test]
fn the_picture_of_the_demo_shows_the_sections_of_the_demo() {
    let demo = std::fs::read_to_string(root().join("tests/demo.sh")).unwrap();
    let picture = std::fs::read_to_string(root().join("tests/demo.svg")).unwrap();
    let headings = demo.split("heading \"").skip(1).filter_map(|rest| rest.split('"').next());
    // The set-up before and the hints after are left out.
    let shown: Vec<String> = headings.map(|heading| heading.replace("$BURST", "30")).collect();
    assert!(shown.len() > 4, "{shown:?}");
    for heading in &shown[1..shown.len() - 1] {
        assert!(picture.contains(&format!(">{heading}<")), "tests/demo.svg is of another demo: it lacks {heading}");
    }
}
