//! The import graph of the files in `src`, built from the paths in each file. Called by tests/architecture.rs
//! only; reads nothing but its arguments.

use std::collections::{BTreeMap, BTreeSet};

use super::laws::Source;
use super::paths::{Path, paths};
use super::tokens::{Placed, block_end};

/// A file's module path below the crate, as in `["domain", "outcome", "hits"]` for src/domain/outcome/hits.rs; empty for
/// src/lib.rs.
fn module_of(name: &str) -> Vec<String> {
    let inner = name.trim_start_matches("src/").trim_end_matches(".rs");
    if inner == "lib" { Vec::new() } else { inner.split('/').map(str::to_owned).collect() }
}

/// The files that a `pub use` of a module file re-exports, by name.
type Exports = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// Edges from file to file, each with the line of one path that causes it.
pub type Graph = BTreeMap<String, BTreeMap<String, usize>>;

/// The graph of the sources, without the paths in tests and in module declarations.
pub fn graph(sources: &[Source]) -> Graph {
    let files: BTreeMap<Vec<String>, String> = sources
        .iter()
        .filter(|source| !source.is_test())
        .map(|source| (module_of(&source.name), source.name.clone()))
        .collect();
    let tokens: BTreeMap<String, Vec<Placed>> = sources
        .iter()
        .filter(|source| !source.is_test())
        .map(|source| (source.name.clone(), source.product()))
        .collect();
    let exports: Exports = tokens.iter().map(|(name, tokens)| (name.clone(), exports(name, tokens, &files))).collect();
    let edges = |name: &str, tokens: &[Placed]| {
        let mut found = BTreeMap::new();
        for path in paths(&without_visibility(tokens)) {
            if let Some(file) = target(&absolute(&module_of(name), &path, &files), &files, &exports)
                && file != name
            {
                found.entry(file).or_insert(path.line);
            }
        }
        found
    };
    tokens.iter().map(|(name, tokens)| (name.clone(), edges(name, tokens))).collect()
}

/// The path from the root of the crate; empty for one that leads elsewhere. A path that begins with the name of a child
/// module leads into it.
fn absolute(module: &[String], path: &Path, files: &BTreeMap<Vec<String>, String>) -> Vec<String> {
    let mut base = module.to_vec();
    let mut rest = path.segments.as_slice();
    match rest.first().map(String::as_str) {
        Some("crate") => (base, rest) = (Vec::new(), &rest[1..]),
        Some("self") => rest = &rest[1..],
        Some("super") => {
            while rest.first().is_some_and(|segment| segment == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        Some(first) if rest.len() > 1 && files.contains_key(&[module, &[first.to_owned()]].concat()) => {}
        _ => return Vec::new(),
    }
    [base.as_slice(), rest].concat()
}

/// The file that a path leads to: the deepest module that is a file, and from there on through its re-exports.
fn target(path: &[String], files: &BTreeMap<Vec<String>, String>, exports: &Exports) -> Option<String> {
    let depth = (1..=path.len()).rev().find(|depth| files.contains_key(&path[..*depth]))?;
    let file = &files[&path[..depth]];
    let Some(next) = path.get(depth) else { return Some(file.clone()) };
    match exports.get(file).and_then(|exports| exports.get(next)) {
        Some(origin) if origin.as_slice() != path => target(origin, files, exports),
        _ => Some(file.clone()),
    }
}

/// The names that a file re-exports from files below it, each with its origin.
fn exports(name: &str, tokens: &[Placed], files: &BTreeMap<Vec<String>, String>) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for at in 0..tokens.len() {
        let is_export = tokens[at].word() == Some("pub") && tokens.get(at + 1).is_some_and(|t| t.word() == Some("use"));
        if !is_export {
            continue;
        }
        let end = tokens[at..].iter().position(|token| token.is(';')).map_or(tokens.len(), |end| at + end);
        for path in paths(&tokens[at + 2..end]) {
            let origin = absolute(&module_of(name), &path, files);
            if let Some(last) = origin.last().cloned() {
                found.insert(last, origin);
            }
        }
    }
    found
}

/// The tokens without `(super)` and `(in crate::a)` after `pub`, which import nothing.
fn without_visibility(tokens: &[Placed]) -> Vec<Placed> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        kept.push(tokens[at].clone());
        let restricted = tokens[at].word() == Some("pub") && tokens.get(at + 1).is_some_and(|token| token.is('('));
        at = if restricted { block_end(tokens, at + 1) } else { at + 1 };
    }
    kept
}

/// Each group of files that import each other in cycles, by its shortest cycle, as `file:line: imports in a cycle: a -> b
/// -> a`. Only files below `folder` count.
pub fn cycles(graph: &Graph, folder: &str) -> Vec<String> {
    let mut shortest: BTreeMap<BTreeSet<String>, Vec<String>> = BTreeMap::new();
    for (from, edges) in graph.iter().filter(|(from, _)| from.starts_with(folder)) {
        for way in edges.keys().filter_map(|to| way(graph, to, from, folder)) {
            let group = group(graph, from, folder);
            let cycle = [std::slice::from_ref(from), &way].concat();
            let best = shortest.entry(group).or_insert_with(|| cycle.clone());
            if cycle.len() < best.len() {
                *best = cycle;
            }
        }
    }
    let text = |(group, cycle): (&BTreeSet<String>, &Vec<String>)| {
        let (from, others) = (&cycle[0], group.len());
        let line = graph[from][&cycle[1]];
        format!("{from}:{line}: imports in a cycle ({others} files do): {}", cycle.join(" -> "))
    };
    shortest.iter().map(text).collect()
}

/// The files that reach `file` and that it reaches.
fn group(graph: &Graph, file: &str, folder: &str) -> BTreeSet<String> {
    let both = |other: &&String| {
        *other == file || way(graph, file, other, folder).is_some() && way(graph, other, file, folder).is_some()
    };
    graph.keys().filter(both).cloned().collect()
}

/// The shortest way from one file to another, both included; one file alone is a way to itself.
fn way(graph: &Graph, from: &str, to: &str, folder: &str) -> Option<Vec<String>> {
    let allowed = |file: &&String| file.starts_with(folder);
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut reached: Vec<&str> = vec![graph.get_key_value(from).filter(|(from, _)| allowed(from))?.0];
    let mut at = 0;
    while at < reached.len() && reached[at] != to {
        for next in graph.get(reached[at]).into_iter().flat_map(BTreeMap::keys).filter(allowed) {
            if next != from && !before.contains_key(next.as_str()) {
                before.insert(next, reached[at]);
                reached.push(next);
            }
        }
        at += 1;
    }
    let mut way = vec![*reached.get(at)?];
    while let Some(previous) = before.get(way[way.len() - 1]) {
        way.push(previous);
    }
    Some(way.into_iter().rev().map(str::to_owned).collect())
}
