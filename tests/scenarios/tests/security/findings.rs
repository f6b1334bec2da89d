//! Control runs of hostile code, and the findings that break the rules.

use super::leaks::{Finding, findings};
use guestly_scenarios::Site;
use std::collections::{BTreeMap, BTreeSet};

/// The entry point of the control run, in which a superuser shows that a vector works.
pub const CONTROL: &str = "control";

/// An IMMUTABLE function `hostile.<name>(anything)` that attacks and gives 1: folded to a constant, it runs while a statement is planned.
pub fn wrapper(site: &Site, name: &str, place: &str) {
    site.sql(&format!(
        "CREATE FUNCTION hostile.{name}(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM hostile.attack('{place}'); RETURN 1; END $$; ALTER FUNCTION hostile.{name} OWNER TO mallory"
    ));
}

/// The findings that break the rule, one line for each entry point and role: foreign code runs as one of these roles, never as a
/// superuser, and gets nothing.
pub fn broken(site: &Site, allowed: &[&str]) -> Vec<String> {
    let mut lines: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    let wrong = |find: &Finding| find.what != "here" || !allowed.contains(&find.runs_as.as_str());
    for find in findings(site).into_iter().filter(|find| find.entry != CONTROL && wrong(find)) {
        let line = lines.entry(format!("{} ran code as {}", find.entry, find.runs_as)).or_default();
        line.0.insert(find.place);
        line.1.insert(find.what);
    }
    let list = |words: BTreeSet<String>| words.into_iter().collect::<Vec<_>>().join("; ");
    lines.into_iter().map(|(line, (places, what))| format!("{line}: [{}] {}", list(places), list(what))).collect()
}

/// Every vector works against a careless superuser, so the test can fail.
pub fn assert_live(site: &Site, places: &[&str], control: &str) {
    site.sql(&format!("BEGIN; SET LOCAL attack.entry = '{CONTROL}'; {control}; ROLLBACK"));
    let seen: BTreeSet<String> =
        findings(site).into_iter().filter(|find| find.entry == CONTROL).map(|find| find.place).collect();
    let dead: Vec<&&str> = places.iter().filter(|place| !seen.contains(**place)).collect();
    assert!(dead.is_empty(), "these vectors do not work at all: {dead:?}");
}
