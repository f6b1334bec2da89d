//! The tables of README.md are those of the server: settings with default and range, functions with their arguments, the
//! columns of `guestly.status`, and where the files are that it names.

use guestly_scenarios::{Cluster, Options, host};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const README: &str = include_str!("../../../../README.md");

/// The cells of every table row whose first cell begins with a code span of `begin`.
fn rows(begin: &str) -> Vec<Vec<String>> {
    let wanted = format!("| `{begin}");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    README.lines().filter(|line| line.starts_with(&wanted)).map(cells).collect()
}

fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or("")
}

/// A duration in milliseconds, any other number as it is.
fn number(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "" | "ms" => 1.0,
        "s" => 1e3,
        "min" => 6e4,
        "d" => 864e5,
        _ => return None,
    };
    digits.parse::<f64>().ok().map(|number| number * scale)
}

fn same(documented: &str, real: &str) -> bool {
    documented == real || number(documented).is_some_and(|number_of| Some(number_of) == number(real))
}

#[test]
fn documented_settings_match_the_server() {
    let cluster = Cluster::start(Options::default());
    let query = "SELECT name, boot_val, coalesce(min_val, ''), coalesce(max_val, ''), context, coalesce(unit, '') \
                 FROM pg_settings WHERE name LIKE 'guestly_sync.%'";
    let real: BTreeMap<String, Vec<String>> =
        cluster.query(query, &[]).iter().map(|row| (row.get(0), (1..6).map(|n| row.get(n)).collect())).collect();
    assert!(real.len() > 15, "{real:?}");
    let mut documented = BTreeSet::new();
    for row in rows("guestly_sync.") {
        let (name, default, range) = (code(&row[0]).to_owned(), code(&row[1]), row[2].as_str());
        assert_eq!(row.len(), 7, "{name}");
        assert_eq!(row[3], "reload", "{name}");
        documented.insert(name.clone());
        if row[4].contains("hidden") {
            // Left out of pg_settings, since they hold secrets; an unknown name would raise.
            let value = cluster.query_one::<String>(&format!("SELECT coalesce(current_setting('{name}'), '')"));
            assert_eq!((value.as_str(), default), ("", ""), "{name}");
            continue;
        }
        let [boot, min, max, context, unit] = real[&name].each_ref::<5>();
        assert!(same(default, boot), "{name}: README says {default}, the server {boot}");
        assert_eq!(context, "sighup", "{name}");
        match (range.split_once(" – "), range.strip_prefix("from ")) {
            (Some((from, to)), _) => {
                assert!(same(from, min) && same(to, max), "{name}: {range}, really {min} to {max}")
            }
            (_, Some(from)) => assert!(unit == "ms" && same(from, min), "{name}: {range}, really from {min} {unit}"),
            _ => assert_eq!(min, "", "{name} has a range"),
        }
    }
    assert_eq!(documented, names_in_the_source(), "README against src/pg/settings");
}

/// Every `c"guestly_sync.…"` of the settings' sources: those with secrets are nowhere in the server's own list.
fn names_in_the_source() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/pg");
    let parts = std::fs::read_dir(folder.join("settings")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let text = |path| std::fs::read_to_string(path).unwrap();
    let names = |text: String| -> Vec<String> {
        let found = text.split("c\"guestly_sync.").skip(1).filter_map(|rest| rest.split('"').next());
        found.map(|name| format!("guestly_sync.{name}")).collect()
    };
    parts.chain([folder.join("settings.rs")]).map(text).flat_map(names).collect()
}

trait EachRef {
    fn each_ref<const N: usize>(&self) -> [&str; N];
}

impl EachRef for Vec<String> {
    fn each_ref<const N: usize>(&self) -> [&str; N] {
        std::array::from_fn(|index| self[index].as_str())
    }
}

/// Arguments as the README writes them: no casts, short names of types, nothing in capitals.
fn plainly(arguments: &str) -> String {
    let mut text = arguments.to_lowercase();
    for (long, short) in [
        ("('bookings'::text)::regclass", "'bookings'"),
        ("::timestamp with time zone", ""),
        ("timestamp with time zone", "timestamptz"),
        ("::text", ""),
        ("::bigint", ""),
        ("booking_id text", "booking_id"),
    ] {
        text = text.replace(long, short);
    }
    text
}

#[test]
fn documented_functions_match_the_server() {
    let cluster = Cluster::start(Options::default());
    host::load(&cluster);
    host::create_extension(&cluster);
    let query = "SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ')' FROM pg_proc p \
                 WHERE has_function_privilege('guestly_admin', p.oid, 'EXECUTE') AND p.pronamespace = 'public'::regnamespace \
                 AND p.proname LIKE 'guestly\\_%' AND NOT (0 < ANY (p.proargtypes::oid[]) AND p.proargtypes[0] IN ('uuid'::regtype, 'bigint'::regtype))";
    let real: BTreeSet<String> = cluster.query_all::<String>(query).iter().map(|function| plainly(function)).collect();
    let documented: BTreeSet<String> =
        rows("guestly_").iter().map(|row| code(&row[0])).filter(|name| name.contains('(')).map(str::to_owned).collect();
    assert_eq!(documented, real);
    for row in rows("guestly.") {
        let relation = code(&row[0]);
        assert!(cluster.query_one::<bool>(&format!("SELECT to_regclass('{relation}') IS NOT NULL")), "no {relation}");
    }
    let columns = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'guestly.status'::regclass AND attnum > 0";
    for column in cluster.query_all::<String>(columns) {
        assert!(README.contains(&format!("`{column}`")), "the README does not explain guestly.status.{column}");
    }
    let states = "SELECT unnest(regexp_matches(pg_get_constraintdef(oid), '''(\\w+)''', 'g')) FROM pg_constraint \
                  WHERE contypid = 'guestly.queue_state'::regtype";
    let states = cluster.query_all::<String>(states);
    assert_eq!(states.len(), 5);
    for state in states {
        assert!(README.contains(&format!("| `{state}` |")), "the README does not explain the state {state}");
    }
}

#[test]
fn the_files_that_the_readme_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let spans = README.split('`').skip(1).step_by(2);
    let files = spans.filter(|span| {
        ["src/", "sql/", "tests/", ".ci/"].iter().any(|begin| span.starts_with(begin)) && !span.contains(['*', '<'])
    });
    for file in files {
        assert!(root.join(file).exists(), "README.md names {file}, which does not exist");
    }
    let classes = std::fs::read_to_string(root.join("src/domain/error.rs")).unwrap();
    let names: Vec<&str> = classes.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(names.len(), 10);
    for name in names {
        assert_eq!(rows(name).iter().filter(|row| code(&row[0]) == name).count(), 1, "the error class {name}");
    }
}
