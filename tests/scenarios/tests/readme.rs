//! README.md tells the truth: its SQL is executed from top to bottom, as a reader would type it, and its tables are
//! compared with the server.
//!
//! Conventions. Blocks of `sql` run in `psql`, with variables for what a reader has to fill in (`CLIENT_ID` and so on); each
//! heading begins a new session in the database `site`. Blocks of `sh` run only in the section on copies: the others
//! build and install, which has been done. Python is only parsed. A block that must not run would be `sql no-run`; there is none.

use guestly_scenarios::{Cluster, Database, Mailbox, Sim, host};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const README: &str = include_str!("../../../README.md");
const PATIENCE: Duration = Duration::from_secs(30);

/// Packages that a reader has may be missing here; what can be seen is whether it is Python.
const PARSE: &str = "import ast, sys; ast.parse(sys.stdin.read())";

/// As much of Supabase Vault as the README uses.
const VAULT: &str = "CREATE SCHEMA vault;
    CREATE TABLE vault.secrets (name text UNIQUE, secret text);
    CREATE VIEW vault.decrypted_secrets AS SELECT name, secret AS decrypted_secret FROM vault.secrets;
    CREATE FUNCTION vault.create_secret(new_secret text, new_name text) RETURNS void
    LANGUAGE sql AS $$ INSERT INTO vault.secrets VALUES (new_name, new_secret) $$";

/// What stands between two headings.
#[derive(Default)]
struct Part {
    heading: String,
    /// Language and text, each as long as the README up to its end, so that `psql` names the README's lines.
    blocks: Vec<(String, String)>,
}

fn parts() -> Vec<Part> {
    let mut parts = vec![Part::default()];
    let mut open: Option<(String, String)> = None;
    for (number, line) in README.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some((_, text)), None) => text.push_str(&format!("{line}\n")),
            (Some(_), Some(_)) => parts.last_mut().unwrap().blocks.extend(open.take()),
            (None, Some(language)) => open = Some((language.to_owned(), "\n".repeat(number + 1))),
            (None, None) if line.starts_with("##") => parts.push(Part { heading: line.to_owned(), ..Part::default() }),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block without an end");
    parts
}

/// Where the reader sits: a shell that finds PostgreSQL's programs and the server.
struct Desk<'a> {
    cluster: &'a Cluster,
    folder: PathBuf,
}

impl Desk<'_> {
    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str], input: &str) -> String {
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
        let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !complaint.contains("ERROR"), "README.md: {complaint}\n{said}");
        format!("{said}{complaint}")
    }

    fn psql(&self, text: &str) -> String {
        let values = ["client_id=sim-client", "client_secret=sim-secret", "charge=ch_sample_1"];
        let intents = ["payment_intent=pi_sample_1", "refunded_intent=pi_sample_2"];
        let variables = values.into_iter().chain(intents).flat_map(|variable| ["-v", variable]);
        let arguments: Vec<&str> =
            ["-X", "-v", "ON_ERROR_STOP=1", "-P", "pager=off", "-f", "-"].into_iter().chain(variables).collect();
        self.run("psql", &arguments, text)
    }

    /// Runs one part; gives what was printed.
    fn follow(&self, part: &Part) -> String {
        let (mut session, mut printed) = (String::new(), String::new());
        for (language, text) in &part.blocks {
            match language.as_str() {
                "sql" => session = lay_over(&session, text),
                "sh" if part.heading.starts_with("## Copies") => {
                    printed += &self.psql(&std::mem::take(&mut session));
                    printed += &self.run("sh", &["-e", "-s"], text);
                }
                "python" => drop(self.run("/usr/bin/python3", &["-c", PARSE], text)),
                "sql no-run" => {
                    panic!("{}: a block that is not run needs a reason, here and in the README", part.heading)
                }
                _ => {}
            }
        }
        printed + &self.psql(&session)
    }
}

/// A later block after an earlier one, both at their own lines.
fn lay_over(earlier: &str, later: &str) -> String {
    earlier.lines().chain(later.lines().skip(earlier.lines().count())).map(|line| format!("{line}\n")).collect()
}

/// Nothing waits any more; without the extension nothing can.
fn wait_until_idle(site: &Database) {
    if site.query_one::<bool>("SELECT to_regclass('guestly.queue') IS NOT NULL") {
        let busy = "SELECT count(*) = 0, string_agg(q::text, ' ') FROM guestly.queue q WHERE state <> 'failed'";
        site.wait_for("the queue to run empty", PATIENCE, busy);
    }
}

#[test]
fn every_sql_block_of_the_readme_runs_in_order() {
    let sim = Sim::quick().without_limits();
    let mailbox = Mailbox::open();
    // A mail server on this machine in place of the README's; a reload may be slower than the reader.
    let options = sim.options().setting("guestly_sync.enabled", "off").environment("GUESTLY_SMTP_URL", &mailbox.url());
    let cluster = Cluster::start(options.environment("ADMIN_ALERT_EMAIL", "owner@example.org"));
    cluster.sql("CREATE DATABASE site");
    let site = cluster.database("site");
    host::load(&site);
    site.sql(VAULT);
    let ids = host::make_bookings(&site, 3);
    // One that is paid already: the first one is the README's own.
    host::pay(&site, &ids[2..]);
    let folder = std::env::temp_dir().join(format!("guestly-readme-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let desk = Desk { cluster: &cluster, folder };
    let mut seen = BTreeSet::new();
    for part in parts() {
        if part.heading == "## Upgrading" {
            upgrade(&desk, &part);
        }
        if part.heading == "## Removing" {
            // The copy's grants would keep the role.
            cluster.sql("DROP DATABASE site_copy WITH (FORCE)");
        }
        let printed = desk.follow(&part);
        wait_until_idle(&site);
        seen.insert(part.heading.clone());
        after(&part.heading, &printed, &site, &sim);
    }
    std::fs::remove_dir_all(&desk.folder).unwrap();
    for heading in [
        "## Install it into a database",
        "## With Stripe",
        "### Old bookings",
        "### Where to look",
        "### Alerts",
        "## Security",
        "## Copies, backups and restores",
        "## Upgrading",
        "## Removing",
    ] {
        assert!(seen.contains(heading), "the README has no section {heading}");
    }
    sim.assert_no_violation();
}

/// The section on upgrading, in a database that has something to be brought up to date.
fn upgrade(desk: &Desk, part: &Part) {
    desk.cluster.sql("CREATE DATABASE former");
    let former = desk.cluster.database("former");
    host::load(&former);
    former.sql("CREATE EXTENSION guestly_sync VERSION '0.1.0'");
    let typed: Vec<&String> =
        part.blocks.iter().filter(|(language, _)| language == "sql").map(|(_, text)| text).collect();
    let [text] = typed.as_slice() else { panic!("{} blocks of SQL on upgrading", typed.len()) };
    let printed = desk.psql(&format!("\\connect former\n{text}"));
    assert!(printed.contains("| ok "), "{printed}");
    let version: String = former.query_one("SELECT extversion FROM pg_extension WHERE extname = 'guestly_sync'");
    assert_eq!(version, former.query_one::<String>("SELECT guestly.library_version()"));
    desk.cluster.sql("DROP DATABASE former WITH (FORCE)");
}

/// What must be so after a section, beyond that nothing failed.
fn after(heading: &str, printed: &str, site: &Database, sim: &Sim) {
    let synced =
        "SELECT count(*) FROM bookings WHERE guestly_sync_status = 'synced' AND guestly_reservation_id IS NOT NULL";
    match heading {
        "## Install it into a database" => {
            let doctor = "SELECT bool_and(status <> 'fail'), string_agg(check_name || ': ' || detail, '; ') FILTER (WHERE status = 'fail') FROM guestly_doctor()";
            site.wait_for("a doctor without complaints", PATIENCE, doctor);
            let key = "SELECT detail FROM guestly_doctor() WHERE check_name = 'credentials'";
            assert_eq!(site.query_one::<String>(key), "from vault");
            assert!(sim.state().is_empty(), "a booking that was paid before must not be sent");
        }
        "## With Stripe" => {
            let held: Vec<_> = sim.state().iter().map(|row| row["confirmationCode"].clone()).collect();
            assert_eq!(held, ["FLAT-000001"], "the paid one, and not the one that was refunded unpaid");
        }
        "### Old bookings" => assert!(printed.contains(" backfill_left | backfill_total "), "{printed}"),
        "## SQL reference" => {
            assert!(printed.contains("\"confirmationCode\": \"FLAT-000001\""), "{printed}");
            assert_eq!((site.query_one::<i64>(synced), sim.reservations_of("FLAT-000001").len()), (1, 1));
        }
        "### Where to look" => assert!(printed.contains("Guestly accepted the credentials"), "{printed}"),
        "### Error classes" => assert_eq!((site.query_one::<i64>(synced), sim.state().len()), (2, 2)),
        "### Alerts" => assert!(printed.contains("accepted: 250 2.0.0 Taken as "), "{printed}"),
        "### Pausing" => assert!(printed.contains("Guestly maintenance tonight"), "{printed}"),
        "## Copies, backups and restores" => {
            let (copy, armed) = (site.database("site_copy"), "SELECT armed FROM guestly.status");
            assert!(printed.contains("the database looks like a copy"), "{printed}");
            assert!(copy.query_one::<bool>(armed) && site.query_one::<bool>(armed));
            assert_eq!(copy.query_one::<i64>(synced), 2);
            assert_eq!(sim.state().len(), 2, "the copy sent something");
        }
        "## Removing" => {
            let rest = "SELECT (SELECT count(*) FROM pg_extension WHERE extname = 'guestly_sync') + (SELECT count(*) FROM pg_roles WHERE rolname = 'guestly_admin') \
                        + (SELECT count(*) FROM pg_attribute WHERE attrelid = 'bookings'::regclass AND attname LIKE 'guestly%')";
            assert_eq!(site.query_one::<i64>(rest), 0);
        }
        _ => {}
    }
}
