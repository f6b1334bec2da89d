//! The tables of the documents match the server: settings with default and range, functions with their arguments, relations,
//! states, the columns of `guestly.status`, error classes, alert kinds, and the environment variables.

use super::markdown::{code, document, root};
use guestly_scenarios::{Cluster, Options, host};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const REFERENCE: &str = "sql/README.md";

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

/// Name, default, least, most and unit of each setting that the server shows.
fn real_settings(cluster: &Cluster) -> BTreeMap<String, [String; 4]> {
    let query = "SELECT name, boot_val, coalesce(min_val, ''), coalesce(max_val, ''), coalesce(unit, ''), context \
                 FROM pg_settings WHERE name LIKE 'guestly_sync.%'";
    let read = |row: &postgres::Row| {
        let (name, context): (String, String) = (row.get(0), row.get(5));
        assert_eq!(context, "sighup", "{name}");
        (name, [1, 2, 3, 4].map(|column| row.get(column)))
    };
    cluster.query(query, &[]).iter().map(read).collect()
}

#[test]
fn the_settings_match_the_server() {
    let cluster = Cluster::start(Options::default());
    let real = real_settings(&cluster);
    assert!(real.len() > 15, "{real:?}");
    let mut documented = BTreeSet::new();
    for row in document(REFERENCE).rows("guestly_sync.") {
        let (name, default, range) = (code(&row[0]).to_owned(), code(&row[1]), row[2].as_str());
        assert_eq!(row.len(), 5, "{name}");
        documented.insert(name.clone());
        if range == "hidden" {
            // Not in pg_settings, since they are secrets; an unknown name would raise.
            assert!(!real.contains_key(&name), "{name} is not hidden");
            let value = cluster.query_one::<String>(&format!("SELECT coalesce(current_setting('{name}'), '')"));
            assert_eq!((value.as_str(), default), ("", ""), "{name}");
            continue;
        }
        let [boot, min, max, unit] = &real[&name];
        assert!(same(default, boot), "{name}: documented {default}, really {boot}");
        match (range.split_once(" – "), range.strip_prefix("from ")) {
            (Some((from, to)), _) => {
                assert!(same(from, min) && same(to, max), "{name}: {range}, really {min} to {max}")
            }
            (_, Some(from)) => assert!(unit == "ms" && same(from, min), "{name}: {range}, really from {min} {unit}"),
            _ => assert_eq!(min, "", "{name} has a range"),
        }
    }
    assert_eq!(documented, quoted_in_the_settings("c\"guestly_sync."), "{REFERENCE} and src/pg/settings");
}

#[test]
fn the_six_settings_of_the_readme_match_the_server() {
    let cluster = Cluster::start(Options::default());
    let (real, rows) = (real_settings(&cluster), document("README.md").rows("guestly_sync."));
    assert_eq!(rows.len(), 6);
    for row in rows {
        assert_eq!(code(&row[1]), real[code(&row[0])][0], "{}", row[0]);
    }
}

#[test]
fn every_setting_named_in_a_document_exists() {
    let known = quoted_in_the_settings("c\"guestly_sync.");
    for document in super::markdown::documents().iter().filter(|document| document.path != "sql/CHANGELOG.md") {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for (_, rest) in
            document.text.match_indices("guestly_sync.").map(|(at, begin)| (at, &document.text[at + begin.len()..]))
        {
            let name = rest.split(|c| !letters(c)).next().unwrap_or_default();
            let is_file = ["control", "so"].contains(&name) || name.is_empty();
            assert!(
                is_file || known.contains(&format!("guestly_sync.{name}")),
                "{} names guestly_sync.{name}",
                document.path
            );
        }
    }
}

#[test]
fn the_environment_variables_match_the_source() {
    let example = std::fs::read_to_string(root().join(".env.example")).unwrap();
    let assigned = |line: &str| line.trim_start_matches("# ").split_once("='").map(|(name, _)| name.to_owned());
    let example: BTreeSet<String> = example.lines().filter_map(assigned).collect();
    let reference = document(REFERENCE);
    let mut documented: BTreeSet<String> = reference
        .rows("guestly_sync.")
        .iter()
        .map(|row| code(&row[3]).to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(documented, variables_in_the_settings(), "{REFERENCE} and src/pg/settings");
    // What the TLS library reads; sql/OPERATING.md explains it.
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        assert!(document("sql/OPERATING.md").spans().contains(name), "{name}");
        documented.insert(name.to_owned());
    }
    assert_eq!(example, documented, ".env.example and the documents");
}

#[test]
fn the_values_of_the_example_environment_are_the_defaults() {
    let example = std::fs::read_to_string(root().join(".env.example")).unwrap();
    let assigned = |line: &str| Some((line.split_once("='")?.0.to_owned(), line.split('\'').nth(1)?.to_owned()));
    let values: BTreeMap<String, String> =
        example.lines().filter(|line| !line.starts_with('#')).filter_map(assigned).collect();
    assert!(values.len() > 10, "{values:?}");
    for row in document(REFERENCE).rows("guestly_sync.") {
        if let Some(value) = values.get(code(&row[3])) {
            assert_eq!(value, code(&row[1]), "{}", row[3]);
        }
    }
}

/// The sources of the settings, one text a file.
fn settings_sources() -> Vec<String> {
    let folder = root().join("src/pg");
    let parts = std::fs::read_dir(folder.join("settings")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    parts.chain([folder.join("settings.rs")]).filter(|path| path.exists()).map(|path| read(&path)).collect()
}

/// The names of settings in their sources: those with secrets are nowhere in the server's own list.
fn quoted_in_the_settings(begin: &str) -> BTreeSet<String> {
    let sources = settings_sources();
    let names = sources.iter().flat_map(|text| text.split(begin).skip(1).filter_map(|rest| rest.split('"').next()));
    names.map(|name| format!("guestly_sync.{name}")).collect()
}

/// The quoted words in capitals that have an underscore: environment variables.
fn variables_in_the_settings() -> BTreeSet<String> {
    let is_variable = |word: &&str| {
        word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_') && !word.starts_with('_')
    };
    let sources = settings_sources();
    sources.iter().flat_map(|text| text.split('"').filter(is_variable)).map(str::to_owned).collect()
}

/// Arguments as the reference writes them: no casts, short names of types, nothing in capitals.
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
fn the_functions_match_the_server() {
    let cluster = attached();
    let query = "SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ')' FROM pg_proc p \
                 WHERE has_function_privilege('guestly_admin', p.oid, 'EXECUTE') AND p.pronamespace = 'public'::regnamespace \
                 AND p.proname LIKE 'guestly\\_%' AND NOT (0 < ANY (p.proargtypes::oid[]) AND p.proargtypes[0] IN ('uuid'::regtype, 'bigint'::regtype))";
    let real: BTreeSet<String> = cluster.query_all::<String>(query).iter().map(|function| plainly(function)).collect();
    let rows = document(REFERENCE).section("## Functions").rows("");
    let documented: BTreeSet<String> = rows.iter().map(|row| code(&row[0]).to_owned()).collect();
    assert_eq!(documented, real);
}

#[test]
fn the_relations_match_the_server() {
    let cluster = attached();
    let reference = document(REFERENCE).section("## Relations");
    let rows = reference.rows("guestly.");
    assert!(rows.len() > 7, "{rows:?}");
    for relation in rows.iter().map(|row| code(&row[0])) {
        assert!(cluster.query_one::<bool>(&format!("SELECT to_regclass('{relation}') IS NOT NULL")), "no {relation}");
    }
    let columns = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'guestly.status'::regclass AND attnum > 0";
    for column in cluster.query_all::<String>(columns) {
        assert!(reference.spans().contains(column.as_str()), "{REFERENCE} does not explain guestly.status.{column}");
    }
}

#[test]
fn the_columns_of_bookings_match_the_server() {
    let cluster = attached();
    let columns =
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'bookings'::regclass AND attname LIKE 'guestly\\_%'";
    let real: BTreeSet<String> = cluster.query_all(columns).into_iter().collect();
    let rows = document(REFERENCE).section("## Columns of bookings").rows("");
    let documented: BTreeSet<String> = rows.iter().map(|row| code(&row[0]).to_owned()).collect();
    assert_eq!(documented, real);
}

#[test]
fn the_states_match_the_server() {
    let states = "SELECT unnest(regexp_matches(pg_get_constraintdef(oid), '''(\\w+)''', 'g')) FROM pg_constraint \
                  WHERE contypid = 'guestly.queue_state'::regtype";
    let states = attached().query_all::<String>(states);
    assert_eq!(states.len(), 5);
    for state in states {
        let rows = document(REFERENCE).section("## States").rows(&format!("{state}`"));
        assert_eq!(rows.len(), 1, "{REFERENCE} does not explain the state {state}");
    }
}

#[test]
fn the_fields_of_the_mapping_match_the_server() {
    let cluster = attached();
    let fields: Vec<String> = cluster.query_all("SELECT field FROM guestly.field_map");
    assert!(fields.len() > 15, "{fields:?}");
    let mapping = document(REFERENCE).section("## Mapping");
    for field in fields {
        assert!(mapping.spans().contains(field.as_str()), "{REFERENCE} does not explain the field {field}");
    }
}

fn attached() -> Cluster {
    let cluster = Cluster::start(Options::default());
    host::load(&cluster);
    host::create_extension(&cluster);
    cluster
}

/// The names in `fn as_str`, which are stored: `=> "name"`.
fn stored_names(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let body = text
        .split("fn as_str")
        .nth(1)
        .unwrap_or_else(|| panic!("{file} has no as_str"))
        .split("\n    }\n")
        .next()
        .unwrap();
    body.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

#[test]
fn the_error_classes_are_complete() {
    let names = stored_names("src/domain/error.rs");
    assert_eq!(names.len(), 10);
    for name in names {
        assert_eq!(
            document(REFERENCE).section("## Error classes").rows(&format!("{name}`")).len(),
            1,
            "the error class {name}"
        );
    }
}

#[test]
fn the_alert_kinds_are_complete() {
    let names = stored_names("src/domain/alert/kind.rs");
    assert_eq!(names.len(), 10);
    let alerts = document("sql/OPERATING.md").section("## Alerts");
    let rows: Vec<String> = alerts.rows("").into_iter().map(|row| row[0].clone()).collect();
    for name in names {
        assert!(rows.iter().any(|cell| cell.contains(&format!("`{name}`"))), "the alert kind {name}");
    }
}
