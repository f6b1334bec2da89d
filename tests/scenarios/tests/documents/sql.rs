//! Executes every SQL block of every document as a reader would, and compares its output with the one in the document.
//!
//! Each block is a separate session of `psql` in the database `site`, with variables for the values that a reader fills in
//! (`:'client_id'`). README.md comes first; sql/OPERATING.md, which ends with the removal, comes last. The example at the top
//! of README.md runs after its section on the installation. Of the `sh` blocks only those in the section on copies run,
//! because the others build and install the extension.

use super::markdown::{Block, documents};
use guestly_scenarios::{Cluster, Database, Mailbox, Sim, host};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
const LANGUAGES: [&str; 6] = ["sql", "text", "sh", "ini", "js", "rust"];
const FIRST: &str = "README.md";
const LAST: &str = "sql/OPERATING.md";

/// The part of Supabase Vault that the documents use.
const VAULT: &str = "CREATE SCHEMA vault;
    CREATE TABLE vault.secrets (name text UNIQUE, secret text);
    CREATE VIEW vault.decrypted_secrets AS SELECT name, secret AS decrypted_secret FROM vault.secrets;
    CREATE FUNCTION vault.create_secret(new_secret text, new_name text) RETURNS void
    LANGUAGE sql AS $$ INSERT INTO vault.secrets VALUES (new_name, new_secret) $$";

/// The sections of all documents, in the order in which they are executed: the blocks below one heading.
fn sections() -> Vec<Vec<Block>> {
    let mut documents = documents();
    documents.sort_by_key(|document| (document.path != FIRST, document.path == LAST, document.path.clone()));
    let mut sections: Vec<Vec<Block>> = Vec::new();
    for block in documents.iter().flat_map(|document| document.blocks()) {
        assert!(LANGUAGES.contains(&block.language.as_str()), "{}: a block of {:?}", block.document, block.language);
        match sections
            .last_mut()
            .filter(|section| (&section[0].document, &section[0].heading) == (&block.document, &block.heading))
        {
            Some(section) => section.push(block),
            None => sections.push(vec![block]),
        }
    }
    let example = sections.remove(0);
    let install =
        sections.iter().position(|section| section[0].heading == "## Install").expect("README.md: ## Install");
    sections.insert(install + 1, example);
    sections
}

/// A shell that finds PostgreSQL's programs and the server.
struct Shell<'a> {
    cluster: &'a Cluster,
    folder: PathBuf,
}

impl Shell<'_> {
    #[track_caller]
    fn run(&self, document: &str, program: &str, arguments: &[&str], input: &str) -> String {
        let programs = std::env::var("GUESTLY_PG_BIN").unwrap_or_else(|_| "/usr/lib/postgresql/15/bin".to_owned());
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(&self.folder)
            .env("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin"))
            .env("PGHOST", self.cluster.socket_folder())
            .envs([("PGUSER", "postgres"), ("PGDATABASE", "site")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !errors.contains("ERROR"), "{document}: {errors}\n{printed}");
        format!("{printed}{errors}")
    }

    #[track_caller]
    fn psql(&self, document: &str, text: &str) -> String {
        let values = ["client_id=sim-client", "client_secret=sim-secret"];
        let fixed = ["-X", "-v", "ON_ERROR_STOP=1", "-P", "pager=off", "-f", "-"];
        let arguments: Vec<&str> =
            fixed.into_iter().chain(values.into_iter().flat_map(|value| ["-v", value])).collect();
        self.run(document, "psql", &arguments, text)
    }

    /// Runs one section; what was printed.
    fn follow(&self, section: &[Block], site: &Database) -> String {
        let mut all = String::new();
        for block in section {
            let copies = block.document == LAST && block.heading == "## Copies and backups";
            let printed = match block.language.as_str() {
                "sql" if block.heading == "## Upgrading" => {
                    self.psql(&block.document, &format!("\\connect former\n{}", &block.text[1..]))
                }
                "sql" => self.psql(&block.document, &block.text),
                "sh" if copies => self.run(&block.document, "sh", &["-e", "-s"], &block.text),
                "sh" => self.run(&block.document, "sh", &["-n", "-s"], &block.text),
                _ => continue,
            };
            if let Some(output) = &block.output {
                let (shown, real) = (comparable(output), comparable(&printed));
                assert!(real.starts_with(&shown), "{} shows\n{output}\nreally\n{printed}", block.document);
            }
            wait_until_idle(site);
            all += &printed;
        }
        all
    }
}

/// Lines of words without lines of dashes; the id of a reservation is a placeholder.
fn comparable(text: &str) -> Vec<Vec<String>> {
    let is_id = |word: &str| word.len() == 24 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let word = |word: &str| if is_id(word) { "ID".to_owned() } else { word.to_owned() };
    let words = |line: &str| line.split_whitespace().map(word).collect();
    text.lines().filter(|line| line.contains(|c: char| c.is_alphanumeric())).map(words).collect()
}

/// Waits until nothing is queued but what failed; without the extension nothing is.
fn wait_until_idle(site: &Database) {
    if site.query_one::<bool>("SELECT to_regclass('guestly.queue') IS NOT NULL") {
        let busy = "SELECT count(*) = 0, string_agg(q::text, ' ') FROM guestly.queue q WHERE state <> 'failed'";
        site.wait_for("the queue to run empty", TIMEOUT, busy);
    }
}

#[test]
fn every_sql_block_prints_the_shown_result() {
    let sim = Sim::quick().without_limits();
    let mailbox = Mailbox::open();
    // A mail server on this machine in place of the documents'; a reload may be slower than the reader.
    let options = sim.options().setting("guestly_sync.enabled", "off").environment("GUESTLY_SMTP_URL", &mailbox.url());
    let cluster = Cluster::start(options.environment("ADMIN_ALERT_EMAIL", "owner@example.org"));
    cluster.sql("CREATE DATABASE site");
    let site = cluster.database("site");
    host::load(&site);
    site.sql(VAULT);
    let ids = host::make_bookings(&site, 3);
    // Paid before the installation; the first booking is the one that README.md pays.
    host::pay(&site, &ids[2..]);
    let folder = std::env::temp_dir().join(format!("guestly-documents-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let shell = Shell { cluster: &cluster, folder };
    let (mut seen, mut blocks, mut outputs) = (BTreeSet::new(), 0, 0);
    for section in sections() {
        let (document, heading) = (section[0].document.as_str(), section[0].heading.as_str());
        before(heading, &cluster);
        let printed = shell.follow(&section, &site);
        after(document, heading, &printed, &site, &sim);
        blocks += section.iter().filter(|block| block.language == "sql").count();
        outputs += section.iter().filter(|block| block.output.is_some()).count();
        seen.insert(format!("{document} {heading}"));
    }
    std::fs::remove_dir_all(&shell.folder).unwrap();
    for section in CHECKED {
        assert!(seen.contains(section), "the documents have no section {section}");
    }
    assert!(blocks >= 25 && outputs > 0, "only {blocks} blocks with {outputs} outputs");
    sim.assert_no_violation();
}

/// The sections that `before` and `after` know.
const CHECKED: [&str; 10] = [
    "README.md # guestly_sync",
    "README.md ## Install",
    "README.md ## Is it working?",
    "sql/README.md ## Functions",
    "sql/OPERATING.md ## Alerts",
    "sql/OPERATING.md ## Pausing",
    "sql/OPERATING.md ## Old bookings",
    "sql/OPERATING.md ## Copies and backups",
    "sql/OPERATING.md ## Upgrading",
    "sql/OPERATING.md ## Removing",
];

/// Sets up what a section needs.
fn before(heading: &str, cluster: &Cluster) {
    match heading {
        "## Upgrading" => {
            cluster.sql("CREATE DATABASE former");
            let former = cluster.database("former");
            host::load(&former);
            former.sql("CREATE EXTENSION guestly_sync VERSION '0.1.0'");
        }
        // The grants in the copy would keep the roles.
        "## Removing" => cluster.sql("DROP DATABASE site_copy WITH (FORCE)"),
        _ => {}
    }
}

/// Checks the result of a section, beyond that nothing failed.
fn after(document: &str, heading: &str, printed: &str, site: &Database, sim: &Sim) {
    let synced =
        "SELECT count(*) FROM bookings WHERE guestly_sync_status = 'synced' AND guestly_reservation_id IS NOT NULL";
    match (document, heading) {
        ("README.md", "## Install") => {
            let doctor = "SELECT bool_and(status <> 'fail'), string_agg(check_name || ': ' || detail, '; ') FILTER (WHERE status = 'fail') FROM guestly_doctor()";
            site.wait_for("a doctor without complaints", TIMEOUT, doctor);
            let key = "SELECT detail FROM guestly_doctor() WHERE check_name = 'credentials'";
            assert_eq!(site.query_one::<String>(key), "from vault");
            assert!(sim.state().is_empty(), "a booking that was paid before must not be sent");
        }
        ("README.md", "# guestly_sync") => {
            let codes: Vec<_> = sim.state().iter().map(|row| row["confirmationCode"].clone()).collect();
            assert_eq!(codes, ["FLAT-000001"]);
        }
        ("README.md", "## Is it working?") => {
            let online = "SELECT status FROM guestly_doctor(online => true) WHERE check_name = 'online'";
            assert_eq!(site.query_one::<String>(online), "ok");
        }
        ("sql/README.md", "## Functions") => {
            assert!(printed.contains("\"confirmationCode\": \"FLAT-000001\""), "{printed}");
            assert_eq!((site.query_one::<i64>(synced), sim.reservations_of("FLAT-000001").len()), (1, 1));
        }
        (LAST, "## Alerts") => assert!(printed.contains("accepted: 250 2.0.0 Taken as "), "{printed}"),
        (LAST, "## Pausing") => assert!(printed.contains("Guestly maintenance tonight"), "{printed}"),
        (LAST, "## Old bookings") => assert_eq!((site.query_one::<i64>(synced), sim.state().len()), (2, 2)),
        (LAST, "## Copies and backups") => {
            let (copy, armed) = (site.database("site_copy"), "SELECT armed FROM guestly.status");
            assert!(printed.contains("guestly_arm();"), "the copy does not say that it is one: {printed}");
            assert!(copy.query_one::<bool>(armed) && site.query_one::<bool>(armed));
            assert_eq!(copy.query_one::<i64>(synced), 2);
            assert_eq!(sim.state().len(), 2, "the copy sent something");
        }
        (LAST, "## Upgrading") => {
            let former = site.database("former");
            let version: String =
                former.query_one("SELECT extversion FROM pg_extension WHERE extname = 'guestly_sync'");
            assert_eq!(version, former.query_one::<String>("SELECT guestly.library_version()"));
            site.sql("DROP DATABASE former WITH (FORCE)");
        }
        (LAST, "## Removing") => {
            let rest = "SELECT (SELECT count(*) FROM pg_extension WHERE extname = 'guestly_sync') + (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'guestly%') \
                        + (SELECT count(*) FROM pg_attribute WHERE attrelid = 'bookings'::regclass AND attname LIKE 'guestly%')";
            assert_eq!(site.query_one::<i64>(rest), 0);
        }
        _ => {}
    }
}
