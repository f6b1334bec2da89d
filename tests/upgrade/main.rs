//! Generates the upgrade script from the former version to this one, and checks it without a server. Run it with
//! `cargo test --package guestly_sync --test upgrade`; with BLESS=1 in the environment it writes the script.
//! sql/upgrade/README.md explains how to change the schema of a released version.

use std::fs;
use std::path::PathBuf;

mod catalog;
#[cfg(test)]
mod catalog_tests;
mod columns;
mod cursor;
mod functions;
mod library;
#[cfg(test)]
mod project;
mod script;
mod tables;
mod tokens;
#[cfg(test)]
mod tokens_tests;

use catalog::Catalog;
use project::{
    VERSION, current, files, fixture, former, generated, hand_written, read, released, root, schema_file, script_name,
    sources,
};
use script::{differences, halves, left_out};

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

/// Otherwise a name in the script could refer to an object of another role.
#[test]
fn the_script_pins_the_search_path_first() {
    let script = tokens::statements(&generated()).unwrap_or_else(|error| panic!("{error}"));
    let pinned = "SET LOCAL search_path = pg_catalog, pg_temp";
    assert_eq!(script[0].text, pinned);
    let harmless = |text: &str| text == pinned || text.starts_with("SET LOCAL lock_timeout = ");
    let others: Vec<String> =
        script.iter().filter(|s| s.tokens[0].is("set") && !harmless(&s.text)).map(|s| s.text.clone()).collect();
    assert_none(&others, "The script has one search path.");
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
        .unwrap_or_else(|error| panic!("the data part runs after the rights, so it may only change rows: {error}"));
    assert_none(
        &differences(&part, &Catalog::default()),
        "The data part runs after the rights, so it may only change rows.",
    );
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
        "Every upgrade script repeats this file, so it must define nothing.",
    );
}
