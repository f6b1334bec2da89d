//! The project's files from which an upgrade script is generated.

use std::fs;
use std::path::{Path, PathBuf};

use super::catalog::Catalog;
use super::script::{Parts, generate, halves};

/// The version of sql/schema.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folder of Cargo.toml.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder whose names have this ending, sorted by name.
pub fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.to_string_lossy().ends_with(end));
    found.sort();
    assert!(!found.is_empty(), "{folder} has no file *{end}");
    found
}

/// The file of `sql/schema` whose name has this ending.
pub fn schema_file(end: &str) -> String {
    let found = files("sql/schema", end);
    assert_eq!(found.len(), 1, "sql/schema/*{end}: {found:?}");
    read(&found[0])
}

/// The SQL that defines the objects of this version.
fn schema() -> String {
    let defines =
        |path: &&PathBuf| !["_rights.sql", "_install.sql"].iter().any(|end| path.to_string_lossy().ends_with(end));
    files("sql/schema", ".sql").iter().filter(defines).map(read).collect::<Vec<_>>().join("\n")
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or_else(|_| panic!("{version} is no version"))).collect()
}

/// The complete SQL of each released version: an old one is a fixture, the last ones are shipped in `sql`.
fn released_scripts() -> Vec<(String, PathBuf)> {
    let version = |path: PathBuf| {
        let name = path.file_stem()?.to_str()?.strip_prefix("guestly_sync--")?.to_owned();
        (!name.contains("--")).then_some((name, path))
    };
    let all = files("tests/fixtures", ".sql").into_iter().chain(files("sql", ".sql"));
    let mut found: Vec<_> = all.filter_map(version).collect();
    found.sort_by_key(|(version, _)| numbers(version));
    found
}

/// The released versions, oldest first.
pub fn released() -> Vec<String> {
    released_scripts().into_iter().map(|(version, _)| version).collect()
}

pub fn former() -> String {
    let last = released().pop().unwrap();
    assert!(numbers(&last) < numbers(VERSION), "{last} is released: raise the version in Cargo.toml above it");
    last
}

pub fn fixture(version: &str) -> Catalog {
    let (_, path) = released_scripts().into_iter().find(|(name, _)| name == version).unwrap();
    Catalog::of(&read(path)).unwrap_or_else(|error| panic!("the fixture of {version}, {error}"))
}

pub fn current() -> Catalog {
    Catalog::of(&schema()).unwrap_or_else(|error| panic!("sql/schema, {error}"))
}

pub fn script_name(from: &str, to: &str) -> String {
    format!("sql/guestly_sync--{from}--{to}.sql")
}

pub fn hand_written(from: &str) -> String {
    read(format!("sql/upgrade/{from}.sql"))
}

pub fn generated() -> String {
    let from = former();
    let (tables, data) = halves(&hand_written(&from));
    let parts = Parts {
        to: VERSION.to_owned(),
        prologue: read("sql/upgrade/prologue.sql"),
        tables,
        data,
        rights: schema_file("_rights.sql"),
        from: from.clone(),
    };
    generate(&fixture(&from), &current(), &parts).unwrap_or_else(|error| panic!("{error}"))
}

pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(sources(&path)) } else { found.push(path) }
    }
    found
}
