//! Diagnosis: `guestly.status` has one complete row, the doctor names a fix for each problem, and the timeline says why a
//! booking was never queued.

use guestly_scenarios::{SOON, Site, host, wait_until};
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn the_status_view_is_one_complete_row() {
    let site = Site::open();
    let ids = site.paid_bookings(2);
    site.wait_for_status(&ids, "synced");
    site.sim.fault(json!({"match": {"operation": "create", "count": 1}, "effect": {"kind": "calendar_conflict"}}));
    let bad = site.paid_booking();
    site.wait_failed(&bad);
    site.sql("SELECT guestly_pause('for the night')");
    site.paid_booking();
    let holds = |what: &str| {
        let found: Option<bool> = site.query_one(&format!("SELECT {what} FROM guestly.status"));
        let row: String = site.query_one("SELECT s::text FROM guestly.status s");
        assert_eq!(found, Some(true), "not so: {what}, in {row}");
    };
    holds("worker_pid IS NOT NULL AND worker_since < clock_timestamp() AND version <> ''");
    holds("enabled AND NOT test_mode AND armed AND paused AND pause_reason = 'for the night'");
    holds("breaker = 'closed' AND held_until IS NULL AND credentials_error IS NULL");
    holds("ready = 1 AND sending = 0 AND unknown = 0 AND waiting = 0 AND failed = 1");
    holds("oldest_waiting_since > clock_timestamp() - interval '1 min'");
    holds("last_success_at IS NOT NULL AND last_error LIKE 'booking % dates_taken: %' AND last_error_at IS NOT NULL");
    holds("tokens_24h = 1 AND token_expires_at > clock_timestamp() + interval '1 hour'");
    holds("quota_second > 0 AND quota_minute > 0 AND quota_hour > 0");
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.status"), 1);
    // Reported at once when there is no worker.
    let pid = site.wait_for_worker(&site);
    site.signal(pid, "KILL");
    wait_until("the status to be up to date", SOON, || {
        let now: Option<i32> = site
            .try_client()
            .ok()
            .and_then(|mut client| client.query_one("SELECT worker_pid FROM guestly.status", &[]).ok()?.get(0));
        (now != Some(pid), format!("{now:?}"))
    });
}

#[test]
fn the_doctor_names_a_fix_for_each_problem() {
    let site = Site::open();
    let id = site.paid_booking();
    site.wait_synced(&id);
    site.wait_drained();
    let rows = site.query("SELECT check_name, status, detail, fix FROM guestly_doctor()", &[]);
    for row in &rows {
        let (name, status, fix): (String, String, Option<String>) = (row.get(0), row.get(1), row.get(3));
        let healthy = !["secret in a setting", "mail"].contains(&name.as_str());
        assert!(!healthy || status == "ok", "{name}: {}", row.get::<_, String>(2));
        assert_eq!(status == "ok", fix.is_none(), "{name} is {status}, and to type: {fix:?}");
    }
    // Each problem, its detail and its fix, which is then executed.
    for (check, broken, said, fix) in [
        ("paused", "SELECT guestly_pause('x')", "warn: paused: x", "SELECT guestly_resume();"),
        (
            "triggers",
            "ALTER TABLE bookings DISABLE TRIGGER guestly_update",
            "fail: missing or disabled: guestly_update",
            "SELECT guestly_attach('",
        ),
        (
            "triggers",
            "DROP TRIGGER guestly_insert ON bookings",
            "fail: missing or disabled: guestly_insert",
            "SELECT guestly_attach('",
        ),
        (
            "armed",
            "UPDATE guestly.installations SET system_identifier = '1'",
            "fail: sending is disabled on this server",
            "SELECT guestly_arm();",
        ),
        (
            "attached",
            "SELECT guestly_detach()",
            "fail: no bookings table is attached",
            "SELECT guestly_attach('bookings');",
        ),
    ] {
        site.sql(broken);
        let row = site.doctor_line(check);
        // A fix that may do harm begins with a comment on what to consider.
        let (_, rest) = row.1.split_once(fix).unwrap_or_else(|| panic!("{broken}: {row:?}"));
        assert!(row.0.starts_with(said), "{broken}: {row:?}");
        site.sql(&format!("{fix}{rest}"));
        assert!(site.doctor_line(check).0.starts_with("ok"), "the fix of {check} does not help");
    }
    for (check, broken, said, repair) in [
        (
            "listings",
            "DELETE FROM guestly.listings WHERE property = 'roof-studio'",
            "'roof-studio'",
            "INSERT INTO guestly.listings VALUES ('roof-studio', '64b1f0aa11bb22cc33dd4403')",
        ),
        (
            "statuses",
            "DELETE FROM guestly.status_map WHERE booking_status = 'confirmed'",
            "'confirmed'",
            "INSERT INTO guestly.status_map VALUES ('confirmed', 'confirmed')",
        ),
        (
            "statuses",
            "UPDATE guestly.field_map SET expression = '(1 / (length(b.status) - length(b.status)))::text' WHERE field = 'status'",
            "division by zero",
            "UPDATE guestly.field_map SET expression = 'b.status' WHERE field = 'status'",
        ),
        (
            "row security",
            "ALTER TABLE bookings FORCE ROW LEVEL SECURITY",
            "FORCE ROW LEVEL SECURITY",
            "ALTER TABLE bookings NO FORCE ROW LEVEL SECURITY",
        ),
        (
            "owner",
            "ALTER TABLE bookings OWNER TO postgres",
            "postgres is a superuser",
            "ALTER TABLE bookings OWNER TO site_owner",
        ),
        (
            "clock",
            "UPDATE guestly.worker SET clock_skew_ms = 120000",
            "120 s",
            "UPDATE guestly.worker SET clock_skew_ms = 0",
        ),
        (
            "tokens",
            "INSERT INTO guestly.token_requests SELECT clock_timestamp(), '' FROM generate_series(1, 5)",
            "requested in 24 hours",
            "DELETE FROM guestly.token_requests",
        ),
        (
            "stale bookings",
            "INSERT INTO guestly.queue (booking_id, queued_at, due_at, state) VALUES ('x', now() - interval '1 day', 'infinity', 'waiting')",
            "1 waiting longer",
            "DELETE FROM guestly.queue",
        ),
        (
            "failed bookings",
            "INSERT INTO guestly.queue (booking_id, state, error_class) VALUES ('x', 'failed', 'refused')",
            "1",
            "DELETE FROM guestly.queue",
        ),
    ] {
        site.sql(broken);
        let row = site.doctor_line(check);
        assert!(!row.0.starts_with("ok") && row.0.contains(said) && !row.1.is_empty(), "{broken}: {row:?}");
        site.sql(repair);
        assert!(site.doctor_line(check).0.starts_with("ok"), "{check} is not repaired");
    }
    for (name, value, check) in [("enabled", "off", "enabled"), ("test_mode", "on", "test mode")] {
        site.alter_system(&format!("guestly_sync.{name}"), value);
        wait_until("the doctor to see it", SOON, || {
            let row = site.doctor_line(check);
            (row.0.starts_with("warn") && row.1.starts_with("ALTER SYSTEM SET guestly_sync."), format!("{row:?}"))
        });
        site.reset_system(&format!("guestly_sync.{name}"));
    }
}

#[test]
fn the_doctor_reports_unreadable_certificates() {
    let site = Site::open_with(|options| options.environment("SSL_CERT_FILE", "/nonexistent"));
    site.wait_for(
        "the worker to look for them",
        SOON,
        "SELECT bool_or(status = 'fail'), string_agg(detail, '') FROM guestly_doctor() WHERE check_name = 'tls'",
    );
    let row = site.doctor_line("tls");
    assert!(row.0.contains("SSL_CERT_FILE") && row.1.contains("the server's environment"), "{row:?}");
}

#[test]
fn forced_row_security_passed_by_the_owner_is_accepted() {
    let site = Site::open();
    site.sql("ALTER TABLE bookings FORCE ROW LEVEL SECURITY; ALTER ROLE site_owner BYPASSRLS");
    assert_eq!(site.doctor_line("row security").0, "ok: the owner sees every row");
    let id = site.paid_booking();
    site.wait_synced(&id);
}

#[test]
fn the_doctor_online_tries_the_credentials() {
    let site = Site::open_with(|options| options.setting("guestly_sync.connect_timeout", "2s"));
    let ask = || -> String {
        site.query_one(
            "SELECT status || ': ' || detail FROM guestly_doctor(online => true) WHERE check_name = 'online'",
        )
    };
    assert_eq!(ask(), "ok: Guestly accepted the credentials and answered a look-up");
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly_doctor() WHERE check_name = 'online'"), 0);
    let logged = "SELECT string_agg(concat_ws(' ', operation, outcome, http_status, booking_id, error), '; ' ORDER BY started_at) FROM guestly.attempts";
    assert_eq!(site.query_one::<String>(logged), "token token 200; look_up not_found 200", "one row a call");
    let becomes = |what: &str, status: &str, words: &str| {
        wait_until(what, SOON, || {
            let said = ask();
            (said.starts_with(status) && said.contains(words), said)
        })
    };
    site.alter_system("guestly_sync.client_secret", "wrong");
    becomes("the wrong credentials to be refused", "fail: ", "API keys");
    let row = site.doctor_line("credentials");
    assert!(row.0.starts_with("fail: rejected: ") && row.1.contains("SELECT pg_reload_conf();"), "{row:?}");
    site.reset_system("guestly_sync.client_secret");
    becomes("the right ones to be taken", "ok: ", "");
    site.alter_system("guestly_sync.base_url", "http://127.0.0.1:1/v1");
    becomes("the wrong address to be noticed", "fail: ", "Nothing was sent");
    site.reset_system("guestly_sync.base_url");
    becomes("the right address to be taken", "ok: ", "");
    // A missing token is not a backlog: a warning would mean that it ends by itself.
    site.alter_system("guestly_sync.token_url", "http://127.0.0.1:1/oauth2/token");
    becomes("the wrong address of tokens to be noticed", "fail: ", "Nothing was sent");
    assert!(ask().starts_with("fail: "), "still a failure while token requests are paused");
    assert_eq!(site.sim.calls("create"), 0, "the doctor has created something");
}

#[test]
fn the_online_doctor_waits_as_long_as_a_call_may_take() {
    let site = Site::open_with(|options| options.setting("guestly_sync.request_timeout", "200ms"));
    site.worker_took_a_turn();
    site.kill_worker(&site, "STOP");
    let began = Instant::now();
    let said: String = site.query_one("SELECT detail FROM guestly_doctor(online => true) WHERE check_name = 'online'");
    let took = began.elapsed();
    site.kill_worker(&site, "CONT");
    assert_eq!(said, "the worker did not respond");
    assert!(took < Duration::from_secs(20), "it waited {took:?} for two calls of 200 ms");
}

#[test]
fn the_timeline_of_an_unqueued_booking_says_why() {
    let site = Site::bare_with(|options| options.setting("guestly_sync.enabled", "off"));
    let old = site.paid_booking();
    host::create_extension(&site);
    host::map_listings(&site);
    let ids = host::make_bookings(&site, 4);
    let last = |id: &str| -> String {
        site.query_one(&format!(
            "SELECT string_agg(event || ': ' || detail, '; ' ORDER BY at) FROM guestly_timeline('{id}')"
        ))
    };
    assert!(last(&ids[0]).starts_with("not queued: not paid: the payment status is 'pending'"), "{}", last(&ids[0]));
    assert!(last(&old).starts_with("not queued: paid before the table was attached"), "{}", last(&old));
    assert!(last(&old).contains(&format!("SELECT guestly_sync('{old}')")), "{}", last(&old));
    let pay = |before: &str, id: &str| {
        site.sql(&format!("{before}; UPDATE bookings SET payment_status = 'completed' WHERE id = '{id}'"))
    };
    pay("SET session_replication_role = replica", &ids[1]);
    assert!(
        last(&ids[1]).contains(
            "(session_replication_role = replica); the worker searches for such bookings once guestly_sync.enabled is on"
        ),
        "{}",
        last(&ids[1])
    );
    pay("ALTER TABLE bookings DISABLE TRIGGER guestly_update", &ids[2]);
    assert!(
        last(&ids[2])
            .starts_with("not queued: triggers on the bookings table are missing or disabled (guestly_update)"),
        "{}",
        last(&ids[2])
    );
    pay("DROP TRIGGER guestly_update ON bookings", &ids[3]);
    assert!(last(&ids[3]).contains("are missing or disabled (guestly_update)"), "{}", last(&ids[3]));
    site.sql("SELECT guestly_attach(); UPDATE guestly.installations SET environment = 'elsewhere'");
    assert!(
        last(&ids[1]).contains("paid while no trigger fired, or before the database was copied"),
        "{}",
        last(&ids[1])
    );
    // Queued, with the reason why it waits.
    let queued = site.paid_booking();
    assert!(
        last(&queued).contains("now: queued; sending is disabled on this server: the database looks like a copy"),
        "{}",
        last(&queued)
    );
    site.sql("SELECT guestly_arm()");
    assert!(last(&queued).contains("now: queued; guestly_sync.enabled is off"), "{}", last(&queued));
    site.sql("SELECT guestly_pause('for the night')");
    assert!(
        last(&queued).contains("now: queued; sending is paused: for the night; to resume: SELECT guestly_resume();"),
        "{}",
        last(&queued)
    );
    site.sql("SELECT guestly_resume()");
    // Once enabled, the sweep finds what no trigger queued. The timeline of a synced booking is in order.
    site.alter_system("guestly_sync.enabled", "on");
    site.kill_worker(&site, "TERM");
    site.wait_for_status(&ids[1..], "synced");
    let story = last(&ids[1]);
    assert!(
        story.contains("create: Guestly confirmed the reservation (attempt 1, ")
            && story.contains("synced: reservation "),
        "{story}"
    );
    assert!(last(&old).starts_with("not queued: paid before"), "{}", last(&old));
    let refused = site.try_sql("SELECT * FROM guestly_timeline('0')").unwrap_err();
    assert!(refused.contains("hint: "), "{refused}");
}
