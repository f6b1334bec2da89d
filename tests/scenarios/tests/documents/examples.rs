//! The JavaScript of the documents is valid, and what it calls exists in the database. The picture of the demo is drawn from a
//! demo that succeeded.

use super::markdown::{Block, documents, root};
use guestly_scenarios::{Cluster, Options, host};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Replaces supabase-js: records each call and answers with success.
const RECORDER: &str = "const calls = [], answer = { data: null, error: null };
const supabase = {
  from(table) {
    const call = { table, columns: [] };
    calls.push(call);
    const query = {
      update(values) { call.columns.push(...Object.keys(values)); return query; },
      select(columns) { call.columns.push(...columns.split(',').map((name) => name.trim())); return query; },
      eq(column) { call.columns.push(column); return query; },
      then(resolve) { resolve(answer); },
    };
    return query;
  },
  async rpc(name, parameters) { calls.push({ rpc: name, arguments: Object.keys(parameters ?? {}) }); return answer; },
};
const intent = { id: 'pi_sample_1', latest_charge: 'ch_sample_1' };\nconst bookingId = '7';\n";

fn javascript() -> Vec<Block> {
    let blocks: Vec<Block> =
        documents().iter().flat_map(|document| document.blocks()).filter(|block| block.language == "js").collect();
    assert!(blocks.len() >= 2, "the documents have no JavaScript");
    blocks
}

/// A file that Node takes for a module; removed when dropped.
struct Module(PathBuf);

impl Module {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("guestly-{name}-{}.mjs", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn node(&self, arguments: &[&str]) -> Output {
        let output = Command::new("node").args(arguments).arg(&self.0).output();
        output.unwrap_or_else(|error| panic!("node does not start ({error}): install the package nodejs"))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn javascript_has_valid_syntax() {
    for (number, block) in javascript().iter().enumerate() {
        let output = Module::new(&format!("syntax-{number}"), &block.text).node(&["--check"]);
        assert!(output.status.success(), "{}: {}", block.document, String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_syntax_check_finds_invalid_javascript() {
    let output = Module::new("broken", "const { data = await supabase;\n").node(&["--check"]);
    assert!(!output.status.success(), "node accepts invalid JavaScript");
}

#[test]
fn javascript_calls_match_the_database() {
    let cluster = Cluster::start(Options::default());
    host::load(&cluster);
    host::create_extension(&cluster);
    for (number, block) in javascript().iter().enumerate() {
        let text = format!("{RECORDER}{}\nconsole.log(JSON.stringify(calls));\n", block.text);
        let output = Module::new(&format!("calls-{number}"), &text).node(&[]);
        assert!(output.status.success(), "{}: {}", block.document, String::from_utf8_lossy(&output.stderr));
        let calls: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert!(!calls.is_empty(), "{}: a block that calls nothing", block.document);
        for call in &calls {
            check(&cluster, call);
        }
    }
}

/// Draws the picture of this output of the demo; none if the script refuses it.
fn picture(output: &str) -> Option<String> {
    let path = std::env::temp_dir().join(format!("guestly-picture-{}-{}.svg", std::process::id(), output.len()));
    let script = root().join("tests/lib/demo-picture.py");
    let mut child = Command::new("/usr/bin/python3")
        .arg(script)
        .arg(&path)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(output.as_bytes()).unwrap();
    let succeeded = child.wait().unwrap().success();
    let drawn = std::fs::read_to_string(&path).ok();
    let _ = std::fs::remove_file(&path);
    assert_eq!(drawn.is_some(), succeeded);
    drawn
}

#[test]
fn the_picture_shows_the_last_version_of_a_table() {
    let table = |word: &str| format!("+---+\n| a |\n+---+\n| {word} |\n+---+\n");
    let output = format!("\n== Burst ==\n\n{}{}\neverything came out right.\n", table("x"), table("<"));
    let drawn = picture(&output).unwrap();
    assert!(drawn.contains("&lt;") && !drawn.contains("> x <"), "{drawn}");
    assert_eq!(drawn.matches('┌').count(), 1, "{drawn}");
}

#[test]
fn a_demo_that_failed_gives_no_picture() {
    assert_eq!(
        picture("\n== Burst ==\n\n  WRONG   bookings paid: 3, should be 4\nFAILED: 1 of the checks above.\n"),
        None
    );
}

/// Columns exist, and exactly one function has these names of arguments: PostgREST tells variants apart by names only.
fn check(cluster: &Cluster, call: &Value) {
    let names = |key: &str| {
        call[key].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let found: i64 = match call["rpc"].as_str() {
        Some(function) => {
            let query = "SELECT count(*) FROM pg_proc p WHERE p.proname = $1 AND p.proargnames @> $2::text[] \
                         AND has_function_privilege('service_role', p.oid, 'EXECUTE')";
            cluster.query(query, &[&function, &names("arguments")])[0].get(0)
        }
        None => {
            let query = "SELECT ($1::text[] <@ array_agg(attname::text))::int::bigint FROM pg_attribute \
                         WHERE attrelid = $2::text::regclass AND attnum > 0";
            cluster.query(query, &[&names("columns"), &call["table"].as_str().unwrap()])[0].get(0)
        }
    };
    assert_eq!(found, 1, "{call}");
}
