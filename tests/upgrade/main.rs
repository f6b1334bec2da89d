//! The upgrade script from the former version to this one is made here, and checked without a server. Run by cargo, as
//! `cargo test --package guestly_sync --test upgrade`; with BLESS=1 in the environment it writes the script. How to
//! change the schema of a released version stands in sql/upgrade/README.md.

use std::fs;
use std::path::{Path, PathBuf};

mod catalog;
#[cfg(test)]
mod catalog_tests;
mod columns;
mod cursor;
mod functions;
mod library;
mod script;
mod tables;
mod tokens;
#[cfg(test)]
mod tokens_tests;

use catalog::Catalog;
use script::{Parts, differences, generate, halves, left_out};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder that end so, sorted by name.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.to_string_lossy().ends_with(end));
    found.sort();
    assert!(!found.is_empty(), "{folder} has no file *{end}");
    found
}

/// The file of `sql/schema` whose name ends so.
fn schema_file(end: &str) -> String {
    let found = files("sql/schema", end);
    assert_eq!(found.len(), 1, "sql/schema/*{end}: {found:?}");
    read(&found[0])
}

/// What defines the objects of this version.
fn schema() -> String {
    let defines =
        |path: &&PathBuf| !["_rights.sql", "_install.sql"].iter().any(|end| path.to_string_lossy().ends_with(end));
    files("sql/schema", ".sql").iter().filter(defines).map(read).collect::<Vec<_>>().join("\n")
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or_else(|_| panic!("{version} is no version"))).collect()
}

/// The released versions, oldest first: their complete SQL is a fixture.
fn released() -> Vec<String> {
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().replace("guestly_sync--", "");
    let mut found: Vec<String> = files("tests/fixtures", ".sql").iter().map(name).collect();
    found.sort_by_key(|version| numbers(version));
    found
}

fn former() -> String {
    let last = released().pop().unwrap();
    assert!(numbers(&last) < numbers(VERSION), "{last} is released: raise the version in Cargo.toml above it");
    last
}

fn fixture(version: &str) -> Catalog {
    Catalog::of(&read(format!("tests/fixtures/guestly_sync--{version}.sql")))
        .unwrap_or_else(|error| panic!("the fixture of {version}, {error}"))
}

fn current() -> Catalog {
    Catalog::of(&schema()).unwrap_or_else(|error| panic!("sql/schema, {error}"))
}

fn script_name(from: &str, to: &str) -> String {
    format!("sql/guestly_sync--{from}--{to}.sql")
}

fn hand_written(from: &str) -> String {
    read(format!("sql/upgrade/{from}.sql"))
}

fn generated() -> String {
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

#[track_caller]
fn assert_none(found: &[String], advice: &str) {
    assert!(found.is_empty(), "\n{}\n{advice}\n", found.join("\n"));
}

#[test]
fn the_script_is_up_to_date() {
    let (name, script) = (script_name(&former(), VERSION), generated());
    if std::env::var_os("BLESS").is_some() {
        fs::write(root().join(&name), &script).unwrap();
    }
    let written = fs::read_to_string(root().join(&name)).unwrap_or_default();
    assert!(
        written == script,
        "{name} is not what sql/schema asks for: run this test with BLESS=1, and read the difference"
    );
}

#[test]
fn the_script_makes_the_current_version() {
    let mut reached = fixture(&former());
    reached.run(&generated()).unwrap_or_else(|error| panic!("{error}"));
    let advice = format!("Write what changes these into sql/upgrade/{}.sql (see its README.md).", former());
    assert_none(&differences(&reached, &current()), &advice);
}

#[test]
fn no_new_statement_is_left_out() {
    let hand = hand_written(&former());
    let advice = format!(
        "These statements of sql/schema are new. Take them over into sql/upgrade/{}.sql, or say there why not:\n\
         -- not in an upgrade: <how the statement begins>",
        former()
    );
    assert_none(&left_out(&fixture(&former()), &current(), &hand).unwrap(), &advice);
}

#[test]
fn the_data_part_defines_nothing() {
    let mut part = Catalog::default();
    let (_, data) = halves(&hand_written(&former()));
    part.run(&data)
        .unwrap_or_else(|error| panic!("it stands behind the rights, so that nobody may use what it makes: {error}"));
    assert_none(&differences(&part, &Catalog::default()), "Only rows are changed behind the rights.");
}

#[test]
fn every_former_script_makes_the_next_version() {
    for pair in released().windows(2) {
        let name = script_name(&pair[0], &pair[1]);
        let mut reached = fixture(&pair[0]);
        reached.run(&read(&name)).unwrap_or_else(|error| panic!("{name}, {error}"));
        assert_none(&differences(&reached, &fixture(&pair[1])), &name);
    }
}

#[test]
fn the_library_takes_every_file_of_the_schema() {
    let source = read("src/lib.rs");
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let names: Vec<String> = files("sql/schema", ".sql").iter().map(name).collect();
    let places: Vec<Option<usize>> =
        names.iter().map(|name| source.find(&format!("extension_sql_file!(\"../sql/schema/{name}\""))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "src/lib.rs: {names:?} at {places:?}");
}

#[test]
fn sql_declares_the_functions_of_the_library() {
    let mut exported: Vec<library::Exported> = Vec::new();
    for path in sources(&root().join("src")) {
        exported.extend(library::exported(&read(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    }
    let current = current();
    let mut declared: Vec<library::Exported> = current.functions.values().filter_map(library::declared).collect();
    let by_name = |function: &library::Exported| function.name.clone();
    exported.sort_by_key(by_name);
    declared.sort_by_key(by_name);
    assert!(exported.len() > 20, "only {} functions were found in src", exported.len());
    let unlike: Vec<String> =
        exported.iter().filter(|e| !declared.contains(e)).map(|e| format!("src: {e:?}")).collect();
    let other: Vec<String> = declared.iter().filter(|d| !exported.contains(d)).map(|d| format!("sql: {d:?}")).collect();
    assert_none(&[unlike, other].concat(), "src and sql/schema have to declare these functions alike.");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(sources(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn every_function_pins_its_search_path() {
    let pinned = "set search_path = pg_catalog, pg_temp";
    let open: Vec<String> =
        current().functions.values().filter(|f| !f.definition.contains(pinned)).map(|f| f.signature.clone()).collect();
    assert_none(&open, &format!("Add: {pinned}"));
}

#[test]
fn rights_define_nothing() {
    let rights = Catalog::of(&schema_file("_rights.sql")).unwrap_or_else(|error| panic!("{error}"));
    assert_none(
        &differences(&rights, &Catalog::default()),
        "What the rights define, they would define in each upgrade.",
    );
}
