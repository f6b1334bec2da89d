//! The laws, each a function from one source file (or all of them) to its breaches, as `file:line: breach`.
//! Called by tests/architecture.rs only. They read nothing but their arguments, so that each law can be tested.

use std::collections::BTreeMap;

use super::paths::{Path, paths};
use super::tokens::{Placed, Token, block_end, tokens, without_tests};

/// The most lines of a file; the aim is 250.
pub const FILE_LINES: usize = 300;
/// The most lines of a function; the aim is 40.
pub const FUNCTION_LINES: usize = 60;
/// Fields of a part of the worker.
pub const PART_FIELDS: usize = 12;

/// Paths that `domain` must not use: clock, threads, randomness, files, network.
const IMPURE: [&[&str]; 13] = [
    &["pgrx"],
    &["ureq"],
    &["libc"],
    &["rand"],
    &["std", "thread"],
    &["std", "env"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "process"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
    &["std", "time", "*"],
    &["std", "*"],
];
/// Ends of paths that `domain` must not use, however the beginning was imported.
const IMPURE_ENDS: [&[&str]; 6] = [
    &["Utc", "now"],
    &["Local", "now"],
    &["time", "Instant"],
    &["time", "SystemTime"],
    &["SystemTime", "now"],
    &["RandomState"],
];

/// A source file under `src/`.
pub struct Source {
    /// Relative to the root of the project, with `/`.
    pub name: String,
    pub text: String,
}

impl Source {
    pub fn is_test(&self) -> bool {
        self.name.ends_with("_tests.rs") || self.name == "src/net/test_server.rs"
    }

    fn is_in(&self, folder: &str) -> bool {
        self.name == format!("src/{folder}.rs") || self.name.starts_with(&format!("src/{folder}/"))
    }

    /// The tokens without those of tests.
    pub fn product(&self) -> Vec<Placed> {
        if self.is_test() { Vec::new() } else { without_tests(&tokens(&self.text)) }
    }

    fn offence(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.name)
    }

    fn paths_that(&self, offend: impl Fn(&Path) -> bool, why: &str) -> Vec<String> {
        let all = paths(&self.product());
        let bad = all.iter().filter(|path| offend(path));
        bad.map(|path| self.offence(path.line, &format!("{} {why}", path.segments.join("::")))).collect()
    }
}

/// True if the path leads into this module of the crate.
fn is_ours(path: &Path, module: &str) -> bool {
    let inner = path.segments.iter().position(|segment| !matches!(segment.as_str(), "crate" | "super" | "self"));
    inner.is_some_and(|place| place > 0 && path.segments[place] == module)
}

fn begins(path: &Path, with: &[&str]) -> bool {
    path.segments.len() >= with.len() && path.segments.iter().zip(with).all(|(have, want)| have == want)
}

fn ends(path: &Path, with: &[&str]) -> bool {
    let skipped = path.segments.len().checked_sub(with.len());
    skipped.is_some_and(|skipped| path.segments[skipped..].iter().zip(with).all(|(have, want)| have == want))
}

/// `domain` is pure.
pub fn domain_is_pure(source: &Source) -> Vec<String> {
    if !source.is_in("domain") {
        return Vec::new();
    }
    let impure = |path: &Path| {
        IMPURE.iter().any(|bad| begins(path, bad))
            || IMPURE_ENDS.iter().any(|bad| ends(path, bad))
            || ["pg", "net", "sys"].iter().any(|module| is_ours(path, module))
    };
    source.paths_that(impure, "in domain, which is pure: time, jitter and facts are arguments")
}

/// `net` never names pgrx or `pg`: its threads must not touch Postgres.
pub fn net_knows_no_postgres(source: &Source) -> Vec<String> {
    if !source.is_in("net") {
        return Vec::new();
    }
    let postgres =
        |path: &Path| path.segments.iter().any(|name| name == "pgrx" || name == "pg_sys") || is_ours(path, "pg");
    source.paths_that(postgres, "in net, whose threads must not touch Postgres")
}

/// Of `pg`, only the worker names `net`.
pub fn only_the_worker_knows_net(source: &Source) -> Vec<String> {
    if !source.is_in("pg") || source.is_in("pg/worker") {
        return Vec::new();
    }
    let net = |path: &Path| is_ours(path, "net") || begins(path, &["ureq"]);
    source.paths_that(net, "in pg: only pg/worker knows the network")
}

/// The parts of the worker get the parts that they need as arguments, never the whole worker.
pub fn only_the_worker_names_worker(source: &Source) -> Vec<String> {
    if ["src/pg/worker.rs", "src/pg/worker/shutdown.rs"].contains(&source.name.as_str()) {
        return Vec::new();
    }
    let worker = |path: &Path| path.segments.iter().any(|name| name == "Worker");
    source
        .paths_that(worker, "outside of src/pg/worker.rs and src/pg/worker/shutdown.rs: pass the parts that are needed")
}

/// `unsafe` is allowed in a few files. `#[unsafe(no_mangle)]` is an attribute and does not count.
pub fn unsafe_has_its_places(source: &Source) -> Vec<String> {
    if source.name == "src/sys.rs" || source.is_in("pg/sys") || source.is_in("pg/shm") {
        return Vec::new();
    }
    let tokens = tokens(&source.text);
    let is_attribute = |at: usize| at > 1 && tokens[at - 1].is('[') && tokens[at - 2].is('#');
    let bad = (0..tokens.len()).filter(|at| tokens[*at].word() == Some("unsafe") && !is_attribute(*at));
    bad.map(|at| source.offence(tokens[at].line, "unsafe belongs into src/sys.rs, src/pg/sys or src/pg/shm")).collect()
}

/// Statements are files under `sql/`; only `pg/host` builds some, from the host's names.
pub fn statements_are_files(source: &Source) -> Vec<String> {
    if source.is_in("pg/host") {
        return Vec::new();
    }
    let is_statement = |text: &str| {
        let plain = text.replace("\\n", " ").replace("\\\n", " ");
        let verb: String = plain.trim_start().chars().take_while(|char| char.is_alphanumeric()).collect();
        ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&verb.as_str())
            || ["select ", "insert into ", "delete from "].iter().any(|begin| plain.trim_start().starts_with(begin))
    };
    let texts = source.product().into_iter().filter_map(|placed| match placed.token {
        Token::Text(text) if is_statement(&text) => {
            Some(source.offence(placed.line, "SQL text belongs into sql/queries"))
        }
        _ => None,
    });
    texts.collect()
}

/// Keywords that precede the name of a table.
const BEFORE_A_TABLE: [&str; 9] = ["FROM", "JOIN", "UPDATE", "INTO", "TABLE", "ONLY", "ON", "COLUMN", "TRUNCATE"];

/// Only `pg/host` builds statements with the name of a table; it runs them as the table's owner.
pub fn only_the_host_module_names_host_tables(source: &Source) -> Vec<String> {
    if source.is_in("pg/host") {
        return Vec::new();
    }
    let names_a_table = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        words.windows(2).any(|pair| BEFORE_A_TABLE.contains(&pair[0]) && pair[1].starts_with('{'))
    };
    let texts = source.product().into_iter().filter_map(|placed| match placed.token {
        Token::Text(text) if names_a_table(&text.replace("\\n", " ")) => {
            Some(source.offence(placed.line, "a statement on a host's table belongs into src/pg/host"))
        }
        _ => None,
    });
    texts.collect()
}

/// SQL files build no statements except about privileges and owners. `name` is the file, as in `sql/schema/2_attach.sql`.
pub fn sql_builds_no_statements(name: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let code = line.split("--").next().unwrap_or_default();
        let Some((_, built)) = code.split_once("EXECUTE ") else { continue };
        if built.starts_with("FUNCTION ") || built.starts_with("ON ") {
            continue;
        }
        let built = built.trim_start_matches("pg_catalog.").trim_start_matches("format(").trim_start_matches('\'');
        let allowed = ["GRANT ", "REVOKE ", "ALTER FUNCTION ", "ALTER %s %s OWNER TO guestly_owner"];
        if !allowed.iter().any(|begin| built.starts_with(begin)) {
            wrong.push(format!("{name}:{}: builds a statement that is not about rights: {}", at + 1, built.trim()));
        }
    }
    wrong
}

/// Every file of `sql/queries` is included once.
pub fn queries_are_used_once(sources: &[Source], queries: &[String]) -> Vec<String> {
    let mut uses: BTreeMap<&str, Vec<String>> = queries.iter().map(|name| (name.as_str(), Vec::new())).collect();
    for source in sources {
        for placed in source.product() {
            let Token::Text(text) = &placed.token else { continue };
            let Some((_, name)) = text.rsplit_once("sql/queries/") else { continue };
            if let Some(places) = uses.get_mut(name) {
                places.push(format!("{}:{}", source.name, placed.line));
            }
        }
    }
    let wrong = uses.into_iter().filter(|(_, places)| places.len() != 1);
    wrong
        .map(|(name, places)| format!("sql/queries/{name}:1: used {} times: {}", places.len(), places.join(", ")))
        .collect()
}

/// Files have at most `FILE_LINES` lines.
pub fn files_are_short(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if source.is_test() || lines <= FILE_LINES {
        return Vec::new();
    }
    vec![source.offence(lines, &format!("{lines} lines, the limit is {FILE_LINES}"))]
}

/// Functions have at most `FUNCTION_LINES` lines.
pub fn functions_are_short(source: &Source) -> Vec<String> {
    let tokens = source.product();
    let named = |at: usize| tokens[at].word() == Some("fn") && tokens.get(at + 1).is_some_and(|t| t.word().is_some());
    let long = (0..tokens.len()).filter(|at| named(*at)).filter_map(|at| {
        let lines = body_end(&tokens, at)? - tokens[at].line + 1;
        let name = tokens[at + 1].word().unwrap_or_default();
        let what = || format!("the function {name} has {lines} lines, the limit is {FUNCTION_LINES}");
        (lines > FUNCTION_LINES).then(|| source.offence(tokens[at].line, &what()))
    });
    long.collect()
}

/// A part of the worker has at most `PART_FIELDS` fields.
pub fn parts_have_few_fields(source: &Source) -> Vec<String> {
    if !source.is_in("pg/worker") {
        return Vec::new();
    }
    let tokens = source.product();
    let is_struct = |at: usize| tokens[at].word() == Some("struct") && tokens.get(at + 2).is_some_and(|t| t.is('{'));
    let large = (0..tokens.len()).filter(|at| is_struct(*at)).filter_map(|at| {
        let fields = count_fields(&tokens, at + 2);
        let name = tokens[at + 1].word().unwrap_or_default();
        let what = || format!("the part {name} has {fields} fields, the limit is {PART_FIELDS}");
        (fields > PART_FIELDS).then(|| source.offence(tokens[at].line, &what()))
    });
    large.collect()
}

/// The fields of the struct whose block opens at `open`: names that a single colon follows.
fn count_fields(tokens: &[Placed], open: usize) -> usize {
    let (mut at, end, mut fields) = (open + 1, block_end(tokens, open), 0);
    while at + 1 < end {
        match tokens[at].token {
            Token::Mark('(' | '[' | '{') => at = block_end(tokens, at),
            _ => {
                let is_name = tokens[at].word().is_some() && !tokens[at - 1].is(':');
                fields += usize::from(is_name && tokens[at + 1].is(':') && !tokens[at + 2].is(':'));
                at += 1;
            }
        }
    }
    fields
}

/// The last line of the function at `at`; none without a body.
fn body_end(tokens: &[Placed], mut at: usize) -> Option<usize> {
    loop {
        match tokens.get(at)?.token {
            Token::Mark('{') => return tokens.get(block_end(tokens, at) - 1).map(|last| last.line),
            Token::Mark(';') => return None,
            Token::Mark('(' | '[') => at = block_end(tokens, at),
            _ => at += 1,
        }
    }
}
