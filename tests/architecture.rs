//! Tests of the architecture: the sources keep the laws of the three folders, and each breach is reported by file and line.
//! Run by cargo; it only reads files. The laws are explained in src/README.md, section Laws.
//!
//! For each law there is also a test that a breach is found.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "architecture/laws.rs"]
mod laws;
#[path = "architecture/modules.rs"]
mod modules;
#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/tokens.rs"]
mod tokens;

use laws::{
    Source, domain_is_pure, files_are_short, functions_are_short, net_knows_no_postgres,
    only_the_host_module_names_host_tables, only_the_worker_knows_net, only_the_worker_names_worker,
    parts_have_few_fields, queries_are_used_once, sql_builds_no_statements, statements_are_files,
    unsafe_has_its_places,
};

/// The folder without import cycles.
const NO_CYCLES_IN: &str = "src";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let all = files(&root().join("src"));
    let read = |path: &PathBuf| Source {
        name: path.strip_prefix(root()).unwrap_or(path).display().to_string().replace('\\', "/"),
        text: fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    let sources: Vec<Source> =
        all.iter().filter(|path| path.extension().is_some_and(|end| end == "rs")).map(read).collect();
    assert!(sources.len() > 40, "only {} sources were found", sources.len());
    sources
}

#[track_caller]
fn hold(law: fn(&Source) -> Vec<String>) {
    let breaches: Vec<String> = sources().iter().flat_map(law).collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), text: text.to_owned() }
}

/// The lines at which `text`, as the file `name`, breaks the law.
fn lines(law: fn(&Source) -> Vec<String>, name: &str, text: &str) -> Vec<usize> {
    let line = |breach: String| {
        let rest = breach.strip_prefix(&format!("{name}:")).unwrap_or_else(|| panic!("no file in {breach}")).to_owned();
        rest.split(':').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no line in {breach}"))
    };
    law(&source(name, text)).into_iter().map(line).collect()
}

#[test]
fn the_domain_is_pure() {
    hold(domain_is_pure);
}

#[test]
fn the_net_knows_no_postgres() {
    hold(net_knows_no_postgres);
}

#[test]
fn of_pg_only_the_worker_knows_the_net() {
    hold(only_the_worker_knows_net);
}

#[test]
fn unsafe_stands_in_its_places() {
    hold(unsafe_has_its_places);
}

#[test]
fn sql_text_stands_in_the_folder_sql() {
    hold(statements_are_files);
}

#[test]
fn statements_on_host_tables_stand_in_one_module() {
    hold(only_the_host_module_names_host_tables);
    let folder = root().join("sql");
    let scripts = files(&folder).into_iter().filter(|path| {
        path.extension().is_some_and(|end| end == "sql") && !path.display().to_string().contains("guestly_sync--")
    });
    let mut breaches = Vec::new();
    let mut read = 0;
    for path in scripts {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        read += 1;
        breaches
            .extend(sql_builds_no_statements(&path.strip_prefix(root()).unwrap_or(&path).display().to_string(), &text));
    }
    assert!(read > 60 && breaches.is_empty(), "{read} files\n{}\n", breaches.join("\n"));
}

#[test]
fn no_file_imports_in_a_cycle() {
    let cycles = modules::cycles(&modules::graph(&sources()), NO_CYCLES_IN);
    assert!(cycles.is_empty(), "\n{}\n", cycles.join("\n"));
}

#[test]
fn only_two_files_name_the_worker() {
    hold(only_the_worker_names_worker);
}

#[test]
fn parts_of_the_worker_have_few_fields() {
    hold(parts_have_few_fields);
}

#[test]
fn a_part_with_too_many_fields_is_found() {
    let part = |fields: usize| {
        let fields: String =
            (0..fields).map(|n| format!("    pub(super) f{n}: HashMap<a::B, (Vec<u8>, [c::D; 2])>,\n")).collect();
        format!("struct Part {{\n{fields}}}\n")
    };
    assert!(lines(parts_have_few_fields, "src/pg/worker/x.rs", &part(laws::PART_FIELDS)).is_empty());
    assert_eq!(lines(parts_have_few_fields, "src/pg/worker/x.rs", &part(laws::PART_FIELDS + 1)), [1]);
}

#[test]
fn every_query_is_used_once() {
    let folder = root().join("sql/queries");
    let name = |path: &PathBuf| path.strip_prefix(&folder).unwrap_or(path).display().to_string();
    let queries: Vec<String> = files(&folder).iter().map(name).collect();
    let breaches = queries_are_used_once(&sources(), &queries);
    assert!(queries.len() > 20 && breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn files_and_functions_are_short() {
    hold(files_are_short);
    hold(functions_are_short);
}

#[test]
fn a_breach_of_purity_is_found() {
    let bad = "//! std::env in a comment is free\nuse std::{collections::HashMap, env, time::{Duration, Instant}};\n\
               fn f() -> u8 {\n let t = chrono::Utc::now();\n crate::pg::sys::exit(1);\n super::super::net::go();\n\
               pgrx::log!(\"x\");\n let r = RandomState::new();\n time::SystemTime::now();\n}\nuse std::thread as t;\nuse rand::Rng;\n\
               use std::net::TcpStream;\nuse std::fs::File;\nuse ureq::Agent;\nuse std::time::*;\n";
    assert_eq!(
        lines(domain_is_pure, "src/domain/x.rs", bad),
        [2, 2, 4, 5, 6, 7, 9, 11, 12, 13, 14, 15, 16],
        "RandomState::new"
    );
    assert_eq!(lines(domain_is_pure, "src/domain/x.rs", "fn f() { g(RandomState) }"), [1]);
    assert_eq!(lines(domain_is_pure, "src/domain.rs", "use std::env;"), [1]);
    let good = "use std::time::Duration;\nuse super::send_gate::Completion;\nuse crate::domain::net_of_tax;\n// std::thread\n/* Utc::now /* */ std::fs */\n\
                fn f(now: DateTime<Utc>, c: char) { let s = \"Utc::now() \\\" std::env\"; let q = '\"'; let t = r#\"std::fs \"# ; }\n\
                #[cfg(test)]\n#[path = \"x_tests.rs\"]\nmod tests;\n#[cfg(test)]\nmod more { use std::env; }\n";
    assert!(lines(domain_is_pure, "src/domain/x.rs", good).is_empty());
    assert!(lines(domain_is_pure, "src/domain/x_tests.rs", bad).is_empty(), "tests may use a clock");
    assert!(lines(domain_is_pure, "src/net/x.rs", bad).is_empty(), "another folder");
}

#[test]
fn breaches_of_imports_are_found() {
    let net = "//! pgrx\nuse crate::domain::retry;\nuse pgrx::log;\nuse crate::{pg::sys, domain};\nfn f() { ::pgrx::log!(\"\"); super::pg::go(); }\n";
    assert_eq!(lines(net_knows_no_postgres, "src/net/pool.rs", net), [3, 4, 5, 5]);
    let pg =
        "use std::os::unix::net::UnixStream;\nuse crate::net::pool::Pool;\nuse super::super::net;\nuse ureq::Agent;\n";
    assert_eq!(lines(only_the_worker_knows_net, "src/pg/claim.rs", pg), [2, 3, 4]);
    for free in ["src/pg/worker.rs", "src/pg/worker/send.rs", "src/net/client.rs"] {
        assert!(lines(only_the_worker_knows_net, free, pg).is_empty(), "{free}");
    }
}

#[test]
fn a_breach_of_unsafe_is_found() {
    let bad = "// unsafe\n#![forbid(unsafe_code)]\n#[unsafe(no_mangle)]\npub fn f() { unsafe { g() } }\nunsafe extern \"C-unwind\" fn h() {}\n";
    for place in ["src/pg/trigger.rs", "src/lib.rs", "src/domain/x_tests.rs", "src/pg/system.rs"] {
        assert_eq!(lines(unsafe_has_its_places, place, bad), [4, 5], "{place}");
    }
    for place in ["src/sys.rs", "src/pg/sys.rs", "src/pg/sys/transaction.rs", "src/pg/shm/memory.rs"] {
        assert!(lines(unsafe_has_its_places, place, bad).is_empty(), "{place}");
    }
}

#[test]
fn breaches_of_sql_are_found() {
    let bad = "const A: &str = \"SELECT 1\";\nconst B: &str = r#\"\n  WITH a AS\"#;\n// \"DELETE FROM a\"\nconst C: &str = \"See SELECT\";\nlet d = c\"UPDATE a\";\n\
               const E: &str = \"delete from a\";\nconst F: &str = \"With care\";\nlet g = \"INSERT\\n INTO a\";\n";
    assert_eq!(lines(statements_are_files, "src/pg/store/queue.rs", bad), [1, 2, 6, 7, 9]);
    assert!(lines(statements_are_files, "src/pg/host/bookings.rs", bad).is_empty());
    let use_of =
        |name: &str, file: &str| source(name, &format!("fn f() {{ run(include_str!(\"../../sql/queries/{file}\")) }}"));
    let sources =
        [use_of("src/pg/a.rs", "one.sql"), use_of("src/pg/b.rs", "two.sql"), use_of("src/pg/c.rs", "two.sql")];
    let queries = ["one.sql", "three.sql", "two.sql"].map(str::to_owned);
    let breaches = queries_are_used_once(&sources, &queries);
    assert_eq!(breaches.len(), 2, "{breaches:?}");
    assert!(breaches[0].starts_with("sql/queries/three.sql:1: used 0 times"), "{breaches:?}");
    assert!(breaches[1].contains("used 2 times: src/pg/b.rs:1, src/pg/c.rs:1"), "{breaches:?}");
}

#[test]
fn a_breach_of_host_tables_is_found() {
    let bad = "let a = format!(\"ALTER TABLE {} ADD x text\", t);\nlet b = format!(\"see {t}\");\nlet c = format!(\"x FROM {table} b\");\n\
               let d = format!(\"UPDATE {} b SET x = 1\", t);\n";
    assert_eq!(lines(only_the_host_module_names_host_tables, "src/pg/claim.rs", bad), [1, 3, 4]);
    assert!(lines(only_the_host_module_names_host_tables, "src/pg/host/define.rs", bad).is_empty());
    let sql = "EXECUTE format('SELECT 1 FROM %s', t);\nEXECUTE statement;\nEXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %s', a, b);\n\
               -- EXECUTE format('DROP TABLE %s')\nCREATE TRIGGER a EXECUTE FUNCTION b();\nEXECUTE 'GRANT ' || x;\n";
    let breaches = sql_builds_no_statements("sql/x.sql", sql);
    assert_eq!(breaches.len(), 2, "{breaches:?}");
    assert!(breaches[0].starts_with("sql/x.sql:1:") && breaches[1].starts_with("sql/x.sql:2:"), "{breaches:?}");
}

#[test]
fn an_import_cycle_is_found() {
    let cycles = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(name, text)| source(name, text)).collect();
        modules::cycles(&modules::graph(&sources), "src/")
    };
    for (name, a, b) in [
        ("use", "use super::b::B;", "use crate::domain::a::{A, C};"),
        ("an inline path", "fn f() { crate::domain::b::g() }", "fn g() { super::a::f() }"),
        ("a group", "use super::{b::B, c};", "use super::a;"),
    ] {
        let found = cycles(&[("src/domain/a.rs", a), ("src/domain/b.rs", b)]);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(
            found[0].starts_with(
                "src/domain/a.rs:1: imports in a cycle (2 files do): src/domain/a.rs -> src/domain/b.rs -> "
            ),
            "{found:?}"
        );
    }
    let three = [
        ("src/a.rs", "use crate::b::B;"),
        ("src/b.rs", "pub mod c;\nuse self::c::C;"),
        ("src/b/c.rs", "use crate::a::A;"),
    ];
    assert_eq!(cycles(&three).len(), 1, "{:?}", cycles(&three));
    assert_eq!(
        cycles(&[("src/b.rs", "mod c;\nuse c::C;"), ("src/b/c.rs", "use super::B;")]).len(),
        1,
        "parent and child"
    );
    assert_eq!(
        cycles(&[("src/b.rs", "mod c;\npub use c::C;"), ("src/b/c.rs", "use super::B;")]).len(),
        1,
        "a re-export"
    );
    let siblings = [
        ("src/b.rs", "mod c;\nmod d;\npub use c::C;\npub use d::D;"),
        (
            "src/b/c.rs",
            "use super::d::D;\npub(super) fn f() {}\n// use super::B;\n#[cfg(test)]\nmod tests { use super::super::*; }",
        ),
        ("src/b/d.rs", "use crate::e::E;"),
        ("src/e.rs", "use crate::f::F;"),
        ("src/f.rs", "use std::b::B;\nfn e() { let b = c::new(); }"),
    ];
    assert!(cycles(&siblings).is_empty(), "{:?}", cycles(&siblings));
    let facade = [
        ("src/b.rs", "mod c;\nmod d;\npub use c::C;\npub use d::D;"),
        ("src/b/c.rs", ""),
        ("src/b/d.rs", "use crate::e::E;"),
        ("src/e.rs", "use crate::b::C;"),
    ];
    assert!(cycles(&facade).is_empty(), "re-exports are followed: {:?}", cycles(&facade));
}

#[test]
fn a_use_of_the_worker_is_found() {
    let bad =
        "use super::Worker;\nimpl Worker {\n fn f(worker: &mut super::Worker) {}\n}\n// Worker\nfn g(w: Workers) {}\n";
    assert_eq!(lines(only_the_worker_names_worker, "src/pg/worker/send.rs", bad), [1, 2, 3]);
    for free in ["src/pg/worker.rs", "src/pg/worker/shutdown.rs"] {
        assert!(lines(only_the_worker_names_worker, free, bad).is_empty(), "{free}");
    }
}

#[test]
fn exceeded_lengths_are_found() {
    assert_eq!(lines(files_are_short, "src/pg/a.rs", &"//\n".repeat(laws::FILE_LINES + 1)), [laws::FILE_LINES + 1]);
    assert!(lines(files_are_short, "src/pg/a.rs", &"//\n".repeat(laws::FILE_LINES)).is_empty());
    assert!(lines(files_are_short, "src/pg/a_tests.rs", &"//\n".repeat(laws::FILE_LINES + 1)).is_empty());
    let function = |inside: usize| {
        format!("type F = fn(u8) -> u8;\nfn long(a: [u8; 3]) -> u8 {{\n{}}}\n", "a(\"}\");\n".repeat(inside))
    };
    assert_eq!(lines(functions_are_short, "src/pg/a.rs", &function(laws::FUNCTION_LINES - 1)), [2]);
    assert!(lines(functions_are_short, "src/pg/a.rs", &function(laws::FUNCTION_LINES - 2)).is_empty());
}
