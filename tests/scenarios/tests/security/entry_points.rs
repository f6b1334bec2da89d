//! Every entry point of the extension, called by every role that may call it, on a site whose tables are hostile.

use super::findings::{assert_live, broken};
use super::leaks::findings;
use guestly_scenarios::{SOON, Site};

/// The callers: a superuser, a member of `guestly_admin`, the site's server, and the owner of the table, a member too.
const CALLERS: [&str; 5] = ["postgres", "ann", "service_role", "site_owner", DISGUISED];
/// A session of a superuser that has become the site's server: `RESET ROLE` would give everything back.
const DISGUISED: &str = "service_role of postgres";
/// Their calls. `{synced}` and `{failed}` are bookings.
const CALLS: [(&str, &str); 12] = [
    ("guestly_doctor", "SELECT * FROM guestly_doctor()"),
    ("guestly_doctor online", "SELECT * FROM guestly_doctor(online => true)"),
    ("guestly.status", "SELECT * FROM guestly.status"),
    ("guestly_preview", "SELECT guestly_preview('{synced}')"),
    ("guestly_preview uuid", "SELECT guestly_preview('{synced}'::uuid)"),
    ("guestly_timeline", "SELECT * FROM guestly_timeline('{synced}')"),
    ("guestly_backfill", "SELECT * FROM guestly_backfill()"),
    ("guestly_backfill for real", "SELECT * FROM guestly_backfill(dry_run => false)"),
    ("guestly_sync", "SELECT guestly_sync('{synced}'), guestly_sync('{failed}')"),
    ("guestly_sync uuid", "SELECT guestly_sync('{synced}'::uuid, force => true)"),
    ("guestly_retry_failed", "SELECT guestly_retry_failed()"),
    ("guestly_arm", "SELECT guestly_arm()"),
];
/// Calls that only the owner and superusers may make.
const OWNERS_CALLS: [(&str, &str); 3] = [
    ("guestly_attach again", "SELECT guestly_attach('public.bookings')"),
    ("guestly_detach", "SELECT guestly_detach()"),
    ("guestly_attach", "SELECT guestly_attach('public.bookings')"),
];
/// Functions that read and write none of the host's tables.
const WITHOUT_HOST_TABLES: [&str; 3] = ["guestly_pause", "guestly_resume", "guestly_test_alert"];

/// A run of all entry points on a hostile site.
pub struct AttackRun {
    site: Site,
    /// Calls that failed and should not have.
    failures: Vec<String>,
    /// Expressions for the mapping.
    mapping: Vec<(&'static str, &'static str)>,
    /// Statements of a role after the installation.
    later: Vec<(&'static str, &'static str)>,
    /// Parts of the bookings that belong to another role, except while the table is being attached.
    parts: &'static [&'static str],
    /// Bookings may fail.
    may_fail: bool,
    /// Counts the changes.
    changes: u32,
}

impl AttackRun {
    pub fn of(site: Site) -> Self {
        Self {
            site,
            failures: Vec::new(),
            mapping: Vec::new(),
            later: Vec::new(),
            parts: &[],
            may_fail: false,
            changes: 0,
        }
    }

    /// An expression that goes into the mapping at the beginning.
    pub fn mapping(mut self, field: &'static str, expression: &'static str) -> Self {
        self.mapping.push((field, expression));
        self
    }

    /// Parts of the bookings that are given away once the table is attached.
    pub fn parts(mut self, parts: &'static [&'static str]) -> Self {
        self.parts = parts;
        self
    }

    fn parts_belong_to(&self, role: &str) {
        for part in self.parts {
            self.site.sql(&format!("ALTER TABLE {part} OWNER TO {role}"));
        }
    }

    /// Adds statements of this role after the installation.
    pub fn later(mut self, role: &'static str, statements: &'static str) -> Self {
        self.later.push((role, statements));
        self
    }

    /// Bookings may fail, for the reason that makes the site hostile.
    pub fn may_fail(mut self) -> Self {
        self.may_fail = true;
        self
    }

    #[track_caller]
    fn as_site(&self, role: &str, statements: &str) {
        self.site.as_user(role).sql(statements);
    }

    /// A call under its name.
    pub fn call(&self, caller: &str, name: &str, statement: &str) -> Result<(), String> {
        let (login, before) = if caller == DISGUISED { ("postgres", "SET ROLE service_role;") } else { (caller, "") };
        self.site.as_user(login).try_sql(&format!("SET attack.entry = '{name} as {caller}'; {before} {statement}"))
    }

    fn must(&mut self, caller: &str, name: &str, statement: &str) {
        if let Err(error) = self.call(caller, name, statement)
            && !self.may_fail
        {
            self.failures.push(format!("{name} as {caller} failed: {error}"));
        }
    }

    /// `CREATE EXTENSION`, the listings, and who calls later.
    fn install(&mut self) {
        self.parts_belong_to("site_owner");
        // An updated installation has it already.
        if !self.site.query_one::<bool>("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'guestly_sync')") {
            self.must("postgres", "CREATE EXTENSION", "CREATE EXTENSION guestly_sync");
        }
        if self.site.query_one::<i64>("SELECT count(*) FROM guestly.attachment") == 0 {
            self.must("postgres", "guestly_attach first", "SELECT guestly_attach('public.bookings')");
        }
        guestly_scenarios::host::map_listings(&self.site);
        self.must(
            "postgres",
            "DELETE field_map",
            "DELETE FROM guestly.field_map WHERE field IN ('special_requests', 'purpose', 'company', 'country')",
        );
        for (field, expression) in self.mapping.clone() {
            let quoted = expression.replace('\'', "''");
            let edit = format!(
                "INSERT INTO guestly.field_map VALUES ('{field}', '{quoted}') ON CONFLICT (field) DO UPDATE SET expression = excluded.expression"
            );
            self.must("postgres", &format!("field_map {field}"), &edit);
        }
        self.site.sql(
            "CREATE ROLE ann LOGIN IN ROLE guestly_admin; GRANT guestly_admin TO site_owner; CREATE ROLE editor LOGIN; \
             GRANT USAGE ON SCHEMA guestly TO editor; GRANT SELECT, INSERT, UPDATE, DELETE ON guestly.field_map TO editor",
        );
        self.parts_belong_to("mallory");
        for (role, statements) in &self.later {
            self.as_site(role, statements);
        }
    }

    /// Unpaid bookings, made by the site.
    fn bookings(&self, how_many: u32) -> Vec<String> {
        let made = format!("SELECT id::text FROM sample.make_bookings({how_many}) AS id");
        self.site.as_user("site_owner").query_all(&made)
    }

    /// The site changes a booking. The table is altered before, so that no session
    /// remembers what it evaluated.
    #[track_caller]
    fn change(&mut self, owner: &str, id: &str, changes: &str, watched: bool) {
        self.changes += 1;
        let (before, after) = match watched {
            true => (String::new(), String::new()),
            false => ["DISABLE", "ENABLE"].map(|word| format!("ALTER TABLE bookings {word} TRIGGER USER;")).into(),
        };
        let touch = format!("CREATE INDEX touch_{0} ON bookings (created_at, id); DROP INDEX touch_{0}", self.changes);
        self.as_site(owner, &format!("{touch}; {before} UPDATE bookings SET {changes} WHERE id = '{id}'; {after}"));
    }

    /// Waits until the worker has made more than `calls` calls for this booking, or failed it, and is idle.
    #[track_caller]
    fn wait_rest(&mut self, id: &str, calls: i64) {
        if self.may_fail {
            // With the second answer the cycle of the first has ended.
            for _ in 0..2 {
                self.must("postgres", "guestly_doctor online", "SELECT * FROM guestly_doctor(online => true)");
            }
            return;
        }
        let query = format!(
            "SELECT ((SELECT count(*) FROM guestly.attempts WHERE booking_id = '{id}') > {calls} \
                     OR EXISTS (SELECT FROM guestly.queue WHERE booking_id = '{id}' AND state = 'failed')) \
                 AND NOT EXISTS (SELECT FROM guestly.queue WHERE state <> 'failed') AND NOT EXISTS (SELECT FROM guestly.changes), \
             concat_ws('; ', (SELECT string_agg(concat_ws(' ', operation, outcome, error), ', ') FROM guestly.attempts WHERE booking_id = '{id}'), \
                 (SELECT string_agg(concat_ws(' ', booking_id, state, error_class, error), ', ') FROM guestly.queue))"
        );
        self.site.wait_for(&format!("the worker to have done with {id}"), SOON, &query);
    }

    fn calls_for(&self, id: &str) -> i64 {
        self.site.query_one(&format!("SELECT count(*) FROM guestly.attempts WHERE booking_id = '{id}'"))
    }

    #[track_caller]
    fn change_and_wait(&mut self, id: &str, changes: &str, watched: bool) {
        let calls = self.calls_for(id);
        self.change("site_owner", id, changes, watched);
        self.wait_rest(id, calls);
    }

    /// The worker's ways to the tables: a sale, a change, a cancellation, a failure, the sweep and the daily comparison.
    #[track_caller]
    fn work(&mut self, ids: &[String]) {
        const PAID: &str = "payment_status = 'completed', status = 'confirmed'";
        const MOVED: &str = "check_in_date = check_in_date + 200, check_out_date = check_out_date + 200";
        self.change_and_wait(&ids[0], PAID, true);
        self.change_and_wait(&ids[0], MOVED, true);
        self.change_and_wait(&ids[1], PAID, true);
        self.change_and_wait(&ids[1], "status = 'cancelled'", true);
        self.change_and_wait(&ids[2], &format!("property_id = NULL, {PAID}"), true);
        self.change_and_wait(&ids[3], PAID, false);
        // A new worker starts the daily comparison.
        let calls = self.calls_for(&ids[3]);
        self.change("site_owner", &ids[3], MOVED, false);
        self.site.restart();
        self.wait_rest(&ids[3], calls);
    }

    /// No function of the extension is missing from the lists above.
    #[track_caller]
    fn assert_lists_are_complete(&self) {
        let query = "SELECT DISTINCT p.proname::text FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e' \
                     AND d.classid = 'pg_proc'::regclass JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'guestly_sync' WHERE p.pronamespace = 'public'::regnamespace AND p.prorettype <> 'trigger'::regtype";
        let mut functions: Vec<String> = self.site.query_all(query);
        let called: String = CALLS.iter().chain(&OWNERS_CALLS).map(|(_, call)| *call).collect();
        functions.retain(|name| !called.contains(&format!("{name}(")) && !WITHOUT_HOST_TABLES.contains(&name.as_str()));
        assert!(functions.is_empty(), "functions that no attack calls: {functions:?}");
    }

    /// Every function, by every caller.
    #[track_caller]
    fn call_all(&mut self, ids: &[String]) {
        self.assert_lists_are_complete();
        for caller in CALLERS {
            for (name, call) in CALLS {
                let call = call.replace("{synced}", &ids[0]).replace("{failed}", &ids[2]);
                self.must(caller, name, &call);
                self.wait_rest(&ids[0], 0);
            }
            self.parts_belong_to("site_owner");
            for (name, call) in OWNERS_CALLS {
                match self.call(caller, name, call) {
                    Err(_) if self.may_fail => {}
                    Err(error) if ["postgres", "site_owner"].contains(&caller) || !error.starts_with("42501") => {
                        self.failures.push(format!("{name} as {caller} failed: {error}"));
                    }
                    _ => {}
                }
            }
            self.must("postgres", "guestly_attach at last", "SELECT guestly_attach('public.bookings')");
            self.parts_belong_to("mallory");
        }
        self.parts_belong_to("site_owner");
        for caller in ["postgres", "editor"] {
            for (name, edit) in [
                ("UPDATE field_map", "UPDATE guestly.field_map SET expression = 'b.adults + 0' WHERE field = 'adults'"),
                ("DELETE field_map", "DELETE FROM guestly.field_map WHERE field = 'infants'"),
                ("INSERT field_map", "INSERT INTO guestly.field_map VALUES ('infants', 'b.infants + 0')"),
            ] {
                self.must(caller, name, edit);
            }
        }
    }

    /// The table gets another owner, the worker continues, and the extension is dropped.
    #[track_caller]
    fn bequeath_and_drop(&mut self, id: &str) {
        self.must("postgres", "OWNER TO", "ALTER TABLE bookings OWNER TO heir");
        let calls = self.calls_for(id);
        self.change("heir", id, "payment_status = 'completed', status = 'confirmed'", true);
        self.wait_rest(id, calls);
        self.must("postgres", "DROP EXTENSION", "DROP EXTENSION guestly_sync");
    }

    /// All entry points of a site whose tables are hostile already.
    #[track_caller]
    pub fn run(self) -> Self {
        let attack = self.run_calls(true);
        let met = findings(&attack.site).iter().any(|find| find.entry == "worker");
        assert!(met || attack.may_fail, "the worker ran no foreign code");
        attack
    }

    /// The same; in the end the table may get another owner and the extension may go, which are statements of a superuser.
    #[track_caller]
    pub fn run_calls(mut self, and_drop: bool) -> Self {
        let old = self.bookings(1).remove(0);
        self.as_site("site_owner", &format!("UPDATE bookings SET payment_status = 'completed' WHERE id = '{old}'"));
        self.install();
        let ids = self.bookings(5);
        self.work(&ids);
        self.call_all(&ids);
        if and_drop {
            self.bequeath_and_drop(&ids[4]);
        }
        self
    }

    /// The vectors work (see [`assert_live`]), no code gained privileges, and no call failed unexpectedly.
    #[track_caller]
    pub fn assert_contained(self, allowed: &[&str], places: &[&str], control: &str) {
        self.assert_contained_except(allowed, places, control, |_| false);
    }

    /// The same, but for these findings.
    #[track_caller]
    pub fn assert_contained_except(
        self,
        allowed: &[&str],
        places: &[&str],
        control: &str,
        except: impl Fn(&str) -> bool,
    ) {
        assert_live(&self.site, places, control);
        let mut wrong = broken(&self.site, allowed);
        wrong.retain(|line| !except(line));
        wrong.extend(self.failures.iter().cloned());
        assert!(wrong.is_empty(), "{} breaches:\n{}", wrong.len(), wrong.join("\n"));
        assert_eq!(self.site.query_all::<String>("SELECT rolname::text FROM pg_roles WHERE rolsuper"), ["postgres"]);
    }
}
