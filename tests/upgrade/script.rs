//! Generates the upgrade script from one version to the next, and compares versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::catalog::Catalog;
use super::cursor::canonical;

/// The parts of an upgrade script that do not follow from the difference of the two versions.
pub struct Parts {
    pub from: String,
    pub to: String,
    /// Begins every script.
    pub prologue: String,
    /// The hand-written part before the functions: tables.
    pub tables: String,
    /// The hand-written part after the rights: rows.
    pub data: String,
    /// Ends every script: owner and rights of new objects.
    pub rights: String,
}

/// The line between the two halves of a hand-written part.
pub const DATA: &str = "-- [data]";

/// The halves of a hand-written part: before and after the line `-- [data]`.
pub fn halves(hand: &str) -> (String, String) {
    let text = |lines: &[&str]| lines.join("\n").trim().to_owned();
    let lines: Vec<&str> = hand.lines().collect();
    match lines.iter().position(|line| line.trim_end() == DATA) {
        Some(at) => (text(&lines[..at]), text(&lines[at + 1..])),
        None => (text(&lines), String::new()),
    }
}

/// The upgrade script. Errors: the hand-written part does not fit the old version.
pub fn generate(old: &Catalog, new: &Catalog, parts: &Parts) -> Result<String, String> {
    let header = format!(
        "\\echo Use \"ALTER EXTENSION guestly_sync UPDATE\" to load this file. \\quit\n\
         -- From {} to {}. Written by `BLESS=1 cargo test --package guestly_sync --test upgrade` from sql/schema and\n\
         -- sql/upgrade/{}.sql: change those.",
        parts.from, parts.to, parts.from
    );
    let drops = drops(old, new);
    let mut reached = old.clone();
    reached.run(&drops)?;
    reached.run(&parts.tables).map_err(|error| format!("sql/upgrade/{}.sql, {error}", parts.from))?;
    let creates = creates(&reached, new);
    reached.run(&creates)?;
    let comments = comments(&reached, new);
    let sections = [
        &header,
        &parts.prologue,
        &section("What is gone, or made anew below.", &drops),
        &section("Tables.", &parts.tables),
        &section("Functions, views and triggers.", &creates),
        &section("Comments.", &comments),
        &parts.rights,
        &section("Rows.", &parts.data),
    ];
    let filled: Vec<&str> = sections.into_iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    Ok(filled.join("\n\n") + "\n")
}

fn section(title: &str, body: &str) -> String {
    if body.trim().is_empty() { String::new() } else { format!("-- {title}\n\n{}", body.trim()) }
}

/// Drops functions that are gone or change their parameters or result, and the triggers and views in their way. A changed
/// trigger goes too, so that it does not fire while tables change.
fn drops(old: &Catalog, new: &Catalog) -> String {
    let is_gone = |signature: &&String| {
        let old = &old.functions[*signature];
        new.functions.get(*signature).is_none_or(|function| !function.can_replace(old))
    };
    let functions: Vec<&String> = old.functions.keys().filter(is_gone).collect();
    let in_the_way: BTreeSet<String> = functions.iter().flat_map(|signature| old.dependents_of(signature)).collect();
    let goes = |name: &&String| {
        let changed = match new.dependents.get(*name) {
            Some(statement) => {
                name.starts_with("trigger ") && canonical(&statement.tokens) != canonical(&old.dependents[*name].tokens)
            }
            None => true,
        };
        changed || in_the_way.contains(*name)
    };
    let dependents = old.dependents.keys().filter(goes).map(|name| {
        let (kind, name) = name.split_once(' ').unwrap_or_default();
        format!("DROP {} {};", kind.to_uppercase(), name.replace(" on ", " ON "))
    });
    let functions = functions.iter().map(|signature| format!("DROP FUNCTION {signature};"));
    dependents.chain(functions).collect::<Vec<_>>().join("\n")
}

/// Creates missing functions, views and triggers, and replaces those that differ, in the order of `new`.
fn creates(reached: &Catalog, new: &Catalog) -> String {
    let mut found = Vec::new();
    for name in &new.order {
        if let Some(function) = new.functions.get(name) {
            let verb = match reached.functions.get(name) {
                None => "CREATE",
                Some(known) if known.definition != function.definition => "CREATE OR REPLACE",
                Some(_) => continue,
            };
            found.push(format!("{verb} FUNCTION {};", function.source));
        } else if let Some(statement) = new.dependents.get(name) {
            match reached.dependents.get(name) {
                None => found.push(format!("{};", statement.text)),
                Some(known) if canonical(&known.tokens) != canonical(&statement.tokens) => {
                    found.push(format!("{};", statement.text.replacen("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)));
                }
                Some(_) => {}
            }
        }
    }
    found.join("\n\n")
}

fn comments(reached: &Catalog, new: &Catalog) -> String {
    let target = |target: &str| {
        let (kind, name) = target.split_once(' ').unwrap_or_default();
        format!("COMMENT ON {} {name} IS", kind.to_uppercase())
    };
    let gone = reached.comments.keys().filter(|key| !new.comments.contains_key(*key));
    let changed = new.comments.iter().filter(|(key, words)| reached.comments.get(*key) != Some(words));
    let gone = gone.map(|key| format!("{} NULL;", target(key)));
    let changed = changed.map(|(key, words)| format!("{} {words};", target(key)));
    gone.chain(changed).collect::<Vec<_>>().join("\n")
}

/// The differences between the catalog that a script `reached` and the `wanted` one; one sentence each.
pub fn differences(reached: &Catalog, wanted: &Catalog) -> Vec<String> {
    let functions = |catalog: &Catalog| -> BTreeMap<String, String> {
        let pairs =
            catalog.functions.iter().map(|(name, function)| (format!("function {name}"), function.definition.clone()));
        pairs.collect()
    };
    let statements = |catalog: &Catalog| -> BTreeMap<String, String> {
        let all = catalog.dependents.iter().chain(&catalog.objects);
        all.map(|(name, statement)| (name.clone(), canonical(&statement.tokens).replace("or replace ", ""))).collect()
    };
    [
        unlike(&reached.tables.definitions(), &wanted.tables.definitions()),
        unlike(&functions(reached), &functions(wanted)),
        unlike(&statements(reached), &statements(wanted)),
        unlike(&reached.comments, &wanted.comments).into_iter().map(|words| format!("comment on {words}")).collect(),
    ]
    .concat()
}

fn unlike<K: Ord + Display>(reached: &BTreeMap<K, String>, wanted: &BTreeMap<K, String>) -> Vec<String> {
    let missing = wanted.iter().filter_map(|(key, want)| match reached.get(key) {
        None => Some(format!("{key} is missing; it should be: {want}")),
        Some(have) if have != want => Some(format!("{key} is still: {have}; it should be: {want}")),
        Some(_) => None,
    });
    let extra = reached.keys().filter(|key| !wanted.contains_key(*key)).map(|key| format!("{key} is still there"));
    missing.chain(extra).collect()
}

/// The statements of `new` that define nothing, are neither in `old` nor in the hand-written part, and are not excused by a
/// line `-- not in an upgrade: <beginning of the statement>` in that part.
pub fn left_out(old: &Catalog, new: &Catalog, hand: &str) -> Result<Vec<String>, String> {
    let mut part = Vec::new();
    for statement in super::tokens::statements(hand)? {
        part.push(canonical(&statement.tokens));
    }
    let excuses: Vec<String> = hand
        .lines()
        .filter_map(|line| line.strip_prefix("-- not in an upgrade: "))
        .map(on_one_line)
        .filter(|excuse| !excuse.is_empty())
        .collect();
    let known: BTreeSet<String> = old.others.iter().map(|statement| canonical(&statement.tokens)).collect();
    let is_left_out = |statement: &&super::tokens::Statement| {
        let text = canonical(&statement.tokens);
        let is_excused = excuses.iter().any(|excuse| on_one_line(&statement.text).starts_with(excuse));
        !known.contains(&text) && !part.contains(&text) && !is_excused
    };
    Ok(new.others.iter().filter(is_left_out).map(|statement| on_one_line(&statement.text)).collect())
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
