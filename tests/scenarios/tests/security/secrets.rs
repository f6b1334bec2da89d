//! Secrets: their order of precedence, and that neither they nor guest data appear anywhere. A canary is searched for in
//! every table and in the whole log of a server that logs all it can.

use guestly_scenarios::{Cluster, Options, SOON, Sim, Site, host, wait_until};
use serde_json::{Value, json};

const SECRET: &str = "canary-secret-b41c77";
/// The addresses of the sample's guests are `guest1@example.com` and so on.
const GUESTS: std::ops::RangeInclusive<u32> = 1..=15;

/// The settings of a simulator, its credentials left out.
fn without_credentials(sim: &Sim) -> Options {
    Options::default()
        .setting("guestly_sync.enabled", "on")
        .setting("guestly_sync.base_url", &format!("{}/v1", sim.url()))
        .setting("guestly_sync.token_url", &format!("{}/oauth2/token", sim.url()))
        .setting("guestly_sync.settle", "2s")
        .setting("guestly_sync.backoff_base", "100ms")
        .setting("guestly_sync.backoff_max", "1s")
}

fn credentials(site: &Site) -> String {
    site.query_one("SELECT status || ' ' || detail FROM guestly_doctor() WHERE check_name = 'credentials'")
}

/// The visible part of Supabase Vault.
fn make_vault(site: &Site, id: &str, secret: &str) {
    site.sql(&format!(
        "CREATE SCHEMA vault; CREATE TABLE vault.secrets (name text, secret text); \
         INSERT INTO vault.secrets VALUES ('other', 'x'), ('guestly_client_id', '{id}'), ('guestly_client_secret', '{secret}'); \
         CREATE VIEW vault.decrypted_secrets AS SELECT name, secret AS decrypted_secret FROM vault.secrets"
    ));
    site.sql("SELECT pg_reload_conf()");
}

#[test]
fn vault_takes_precedence_over_settings() {
    let sim = Sim::quick().without_limits();
    let site = Site::open_on(sim, |_| Options::default());
    assert!(credentials(&site).starts_with("fail none found"), "{}", credentials(&site));
    drop(site);

    let sim = Sim::quick().without_limits();
    let options = without_credentials(&sim).environment("GUESTY_CLIENT_ID", "sim-client");
    let site = Site::open_on(sim, |_| options.environment("GUESTY_CLIENT_SECRET", "sim-secret"));
    let works = |expected: &str| {
        assert_eq!(credentials(&site), expected);
        let id = site.paid_booking();
        site.wait_synced(&id);
    };
    works("ok from environment");
    // From now on the lower source is wrong, so its use would be noticed.
    make_vault(&site, "sim-client", "wrong");
    let online = "SELECT status FROM guestly_doctor(online => true) WHERE check_name = 'online'";
    assert_eq!(site.query_one::<String>(online), "fail", "the worker has not seen the Vault");
    let id = site.paid_booking();
    site.wait_for("a refusal", SOON, "SELECT credentials_error IS NOT NULL, 'no error' FROM guestly.status");
    assert_eq!(site.booking(&id).status, "pending", "the booking waits");
    // One after the other: in one transaction the worker would read before the change is visible.
    site.sql("UPDATE vault.secrets SET secret = 'sim-secret' WHERE name = 'guestly_client_secret'");
    site.sql("SELECT pg_reload_conf()");
    site.wait_synced(&id);
    site.alter_system("guestly_sync.client_id", "sim-client");
    site.alter_system("guestly_sync.client_secret", "wrong too");
    works("ok from vault");
    // An empty or unreadable Vault counts as none.
    site.sql("UPDATE vault.secrets SET secret = '' WHERE name = 'guestly_client_secret'");
    site.alter_system("guestly_sync.client_secret", "sim-secret");
    works("ok from settings");
    site.sql("DROP VIEW vault.decrypted_secrets; CREATE VIEW vault.decrypted_secrets AS SELECT 'guestly_client_id' AS name, (1 / 0)::text AS decrypted_secret");
    site.sql("SELECT pg_reload_conf()");
    works("ok from settings");
    let warned: String =
        site.query_one("SELECT status || ' ' || fix FROM guestly_doctor() WHERE check_name = 'secret in a setting'");
    assert_eq!(warned, "warn Keep the secret in Vault or in the server's environment");
}

#[test]
fn a_start_without_credentials_keeps_the_known_state() {
    let site = Site::open_with(|options| options.setting("guestly_sync.rate_per_hour", "60"));
    let ids = site.paid_bookings(3);
    site.wait_for_status(&ids, "synced");
    let known = "SELECT quota_hour FROM guestly.status";
    let left: f64 = site.query_one(known);
    site.alter_system("guestly_sync.client_secret", "");
    site.restart();
    let without = site.wait_for_worker(&site);
    assert!(credentials(&site).starts_with("fail none found"), "{}", credentials(&site));
    // This worker never had credentials.
    site.signal(without, "TERM");
    wait_until("the next worker", SOON, || {
        let worker = site.wait_for_worker(&site);
        (worker != without, worker.to_string())
    });
    let now: f64 = site.query_one(known);
    // One token is refilled per minute.
    assert!(now <= left + 1.5, "{left} calls were left, and now {now}");
    site.reset_system("guestly_sync.client_secret");
    site.restart();
    site.wait_for_worker(&site);
    assert!(credentials(&site).starts_with("ok"), "{}", credentials(&site));
}

#[test]
fn a_secret_in_a_setting_is_for_superusers_only() {
    let site = Site::open_with(|options| options.setting("guestly_sync.client_secret", SECRET));
    site.sql("CREATE ROLE stranger LOGIN; CREATE ROLE ann LOGIN IN ROLE guestly_admin");
    for role in ["stranger", "ann", "site_owner"] {
        let user = site.as_user(role);
        let seen: String = user.query_one("SELECT coalesce(string_agg(name || coalesce(setting, '') || coalesce(reset_val, ''), ';'), '') FROM pg_settings WHERE name ~ 'client_|smtp|api_key'");
        assert!(!seen.contains(SECRET), "{role}: {seen}");
        for name in ["client_id", "client_secret", "smtp_url", "email_api_url", "email_api_key"] {
            let refused = user.try_sql(&format!("SHOW guestly_sync.{name}")).unwrap_err();
            assert!(refused.starts_with("42501"), "{role}: {refused}");
            user.try_sql(&format!("SELECT current_setting('guestly_sync.{name}')")).unwrap_err();
        }
        user.try_sql("SELECT pg_show_all_file_settings()").unwrap_err();
    }
}

/// A server that logs all it can, with credentials in its environment.
fn talkative() -> Site {
    let sim = Sim::quick().without_limits();
    sim.knobs(json!({"client_secret": SECRET}));
    let options = without_credentials(&sim)
        .setting("log_min_messages", "debug5")
        .setting("log_min_error_statement", "debug5")
        .setting("log_error_verbosity", "verbose")
        .setting("log_statement", "all")
        .setting("log_duration", "on")
        .setting("log_parameter_max_length_on_error", "-1")
        .setting("guestly_sync.max_attempts", "2")
        .setting("guestly_sync.request_timeout", "1s")
        .environment("GUESTY_CLIENT_ID", "sim-client")
        .environment("GUESTY_CLIENT_SECRET", SECRET);
    Site::open_on(sim, |_| options)
}

/// Every failure of a call, with the guest's address or the secret in the answer.
fn misbehave(site: &Site) {
    let echo = format!("guest1@example.com and {SECRET} are not valid; phone +49 30 23125001");
    let reported = "guest1@example.com (+49 30 23125000) is not one of our guests";
    let nth = |nth: u32, effect: Value| json!({"match": {"operation": "create", "nth": nth}, "effect": effect});
    site.sim.fault(json!([
        {"match": {"operation": "token", "nth": 1}, "effect": {"kind": "status", "code": 500, "body": echo}},
        nth(1, json!({"kind": "status", "code": 400, "body": reported})),
        nth(2, json!({"kind": "status", "code": 500, "body": reported})),
        nth(3, json!({"kind": "drop_after_accept", "how": "half_body"})),
        nth(4, json!({"kind": "garbage", "shape": "no_id"})),
        nth(5, json!({"kind": "status", "code": 401, "body": reported})),
        nth(6, json!({"kind": "redirect", "to": format!("http://127.0.0.1:1/trap?guest2@example.com")})),
        nth(7, json!({"kind": "hang", "ms": 1500, "when": "before"}))
    ]));
    let ids = site.paid_bookings(12);
    let settled = "SELECT count(*) FILTER (WHERE q.state <> 'failed') = 0, string_agg(q.state || ' ' || coalesce(q.error, ''), '; ') FROM guestly.queue q";
    site.wait_for("all to be done", SOON, settled);
    site.sim.clear_faults();
    // Errors of the host's own code quote its data.
    site.sql("UPDATE guestly.field_map SET expression = 'b.guest_email::integer' WHERE field = 'adults'");
    let id = site.paid_booking();
    site.wait_failed(&id);
    for call in ["guestly_sync", "guestly_preview", "guestly_timeline"] {
        let refused = site.try_sql(&format!("SELECT {call}('{id}')")).unwrap_err();
        assert!(refused.contains("field_map") && !refused.contains("not a booking id"), "{call}: {refused}");
        let refused = site.try_sql(&format!("SELECT {call}('12')")).unwrap_err();
        assert!(refused.contains("'12' is not a booking id"), "{call}: {refused}");
    }
    site.sql("UPDATE guestly.field_map SET expression = 'b.adults' WHERE field = 'adults'");
    site.sql(
        "CREATE FUNCTION sample.tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.guestly_sync_status = 'synced' THEN \
         RAISE 'no place for %', NEW.guest_email; END IF; RETURN NEW; END $$; \
         CREATE FUNCTION sample.tell_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE 'no place for %', NEW.guest_email; END $$; \
         CREATE TRIGGER tell BEFORE UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION sample.tell()",
    );
    let id = site.paid_booking();
    site.wait_for_state(&id, "failed", SOON);
    site.sql(
        "CREATE TRIGGER tell_all BEFORE UPDATE ON bookings FOR EACH ROW WHEN (NEW.guestly_sync_status = 'pending') \
              EXECUTE FUNCTION sample.tell_all()",
    );
    // Its WARNING is logged, and the log is searched at the end.
    site.sql(&format!("SELECT guestly_sync('{id}')"));
    site.sql("DROP TRIGGER tell ON bookings; DROP TRIGGER tell_all ON bookings");
    site.sql(&format!("SELECT * FROM guestly_doctor(online => true); SELECT * FROM guestly_timeline('{}')", ids[0]));
    site.alter_system("guestly_sync.test_mode", "on");
    let id = site.paid_booking();
    site.wait_synced(&id);
    site.alter_system("guestly_sync.test_mode", "off");
}

/// The tables in which a word stands, as `table: word`; `bookings` of the host left out, where the guests' data belong.
fn found_in_tables(site: &Cluster, words: &[String]) -> Vec<String> {
    let mut client = site.client();
    let tables = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'm', 'v') AND n.nspname NOT IN ('information_schema', 'pg_toast') \
         AND c.relname NOT IN ('bookings', 'pg_stats', 'pg_statistic', 'pg_stats_ext_exprs', 'pg_stat_activity') ORDER BY 1";
    let mut found = Vec::new();
    for row in client.query(tables, &[]).unwrap() {
        let table: String = row.get(0);
        let query = format!(
            "SELECT w FROM (SELECT string_agg(x::text, ' ') AS all_of_it FROM {table} x) t, unnest($1::text[]) AS w \
             WHERE strpos(t.all_of_it, w) > 0"
        );
        found.extend(
            client.query(&query, &[&words]).unwrap().iter().map(|hit| format!("{table}: {}", hit.get::<_, String>(0))),
        );
    }
    found
}

#[test]
fn no_secret_appears_in_a_log_or_table() {
    let site = talkative();
    misbehave(&site);
    let token: String = site.query_one("SELECT access_token FROM guestly.token");
    // At debug3 and beyond the server itself lists its environment when it starts, before any extension is loaded.
    let log: Vec<String> =
        site.log().lines().filter(|line| !line.contains("\tGUESTY_CLIENT_SECRET=")).map(str::to_owned).collect();
    let talks = |word: &str| log.iter().any(|line| line.contains(word));
    assert!(talks("DEBUG:") && talks("guestly_sync test mode: POST"), "the log says too little");
    let guests = GUESTS.flat_map(|n| {
        let phone = format!("{:03}", n - 1);
        [format!("guest{n}@"), format!("30 23125{phone}"), format!("493023125{phone}")]
    });
    let words: Vec<String> = [SECRET.to_owned(), token.clone()].into_iter().chain(guests).collect();
    for word in &words {
        let lines: Vec<&String> = log.iter().filter(|line| line.contains(word)).take(3).collect();
        assert!(lines.is_empty(), "{word} is in the log: {lines:?}");
    }
    assert_eq!(found_in_tables(&site, &words), [format!("guestly.token: {token}")]);
    let elsewhere = "SELECT w FROM unnest($1::text[]) AS w WHERE EXISTS (SELECT FROM bookings WHERE \
                     strpos(concat(guestly_reservation_id, guestly_sync_error), w) > 0) OR EXISTS (SELECT FROM \
                     pg_stat_activity WHERE pid <> pg_backend_pid() AND strpos(concat(query, application_name), w) > 0)";
    assert_eq!(site.query(elsewhere, &[&words]).len(), 0, "guestly_sync_error or pg_stat_activity shows a secret");
    // The visible text is useful all the same.
    let errors: i64 = site.query_one("SELECT count(*) FROM guestly.attempts WHERE error <> ''");
    assert!(errors >= 6, "{errors} errors");
    site.sql("SELECT guestly_retry_failed()");
    site.wait_for("an empty queue", SOON, "SELECT count(*) = 0, string_agg(error, '; ') FROM guestly.queue");
    host::make_bookings(&site, 1);
}

#[test]
fn pg_stat_activity_shows_no_secret_during_calls() {
    let site = talkative();
    // True if a word is visible in any other session.
    let tells = |word: &str| -> bool {
        let found =
            "SELECT count(*) > 0 FROM pg_stat_activity a WHERE pid <> pg_backend_pid() AND strpos(a::text, $1) > 0";
        site.query(found, &[&word])[0].get(0)
    };
    assert!(tells("guestly_sync worker"), "nothing is visible");
    for operation in ["token", "create"] {
        site.sim.hold(operation, "before");
        let calls = site.sim.calls(operation);
        site.paid_booking();
        site.sim.wait_for_calls(operation, calls + 1, SOON);
        assert!(!tells(SECRET) && !GUESTS.into_iter().any(|n| tells(&format!("guest{n}@"))), "during a {operation}");
        site.sim.release();
        site.wait_drained();
    }
    let token: String = site.query_one("SELECT access_token FROM guestly.token");
    site.sim.hold("create", "before");
    let calls = site.sim.calls("create");
    site.paid_booking();
    site.sim.wait_for_calls("create", calls + 1, SOON);
    assert!(!tells(&token));
    site.sim.release();
}
