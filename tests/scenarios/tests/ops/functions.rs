//! Functions for administrators: their results, their errors, and the hint that each error carries.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use guestly_scenarios::{SOON, Site, host};
use serde_json::{Value, json};

#[test]
fn guestly_sync_queues_or_says_why_not() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 3);
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (call, code, words) in [
        (format!("guestly_sync('{unknown}'::uuid)"), "P0002", "does not exist"),
        (format!("guestly_sync('{unknown}')"), "P0002", "does not exist"),
        (format!("guestly_sync('{unknown}'::uuid, force => true)"), "P0002", "Use the primary key"),
        ("guestly_sync(NULL::uuid)".to_owned(), "P0002", "booking NULL does not exist"),
        ("guestly_sync('not a key')".to_owned(), "22P02", "'not a key' is not a booking id"),
        ("guestly_sync(42)".to_owned(), "22P02", "'42' is not a booking id"),
        ("guestly_sync('')".to_owned(), "22P02", "is not a booking id"),
        (format!("guestly_sync('{}'::uuid)", ids[0]), "55000", "is not paid: its payment status is 'pending'"),
        (format!("guestly_sync('{}'::uuid, NULL)", ids[0]), "55000", "force => true"),
        (format!("guestly_preview('{unknown}'::uuid)"), "P0002", "does not exist"),
        (format!("guestly_timeline('{unknown}'::uuid)"), "P0002", "does not exist"),
        ("guestly_retry_failed(max_rows => -1)".to_owned(), "22023", "negative"),
        ("guestly_retry_failed(max_rows => -1)".to_owned(), "22023", "detail: max_rows is -1."),
        (
            format!("guestly_sync('{}')", ids[0]),
            "55000",
            "detail: Payment statuses that mean paid: paid, completed, succeeded.",
        ),
        (
            "guestly_attach('properties')".to_owned(),
            "55000",
            "detail: Only one bookings table is supported; public.properties was not attached.",
        ),
        ("guestly_test_alert()".to_owned(), "55000", "detail: guestly_sync.admin_email is empty."),
    ] {
        let refused = site.try_sql(&format!("SELECT {call}")).unwrap_err();
        assert!(
            refused.starts_with(code)
                && refused.contains(words)
                && refused.contains("; detail: ")
                && refused.contains("; hint: "),
            "{call}: {refused}"
        );
    }
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.queue"), 0);
    let sync = |arguments: &str| site.query_one::<String>(&format!("SELECT guestly_sync({arguments})"));
    // `force` sends an unpaid booking. The id may be written in any equivalent form.
    assert_eq!(sync(&format!("'{}', force => true", ids[0].to_uppercase())), "queued");
    site.wait_synced(&ids[0]);
    assert_eq!(site.only_reservation(&ids[0])["status"], "inquiry", "its status is still pending");
    assert_eq!(sync(&format!("'{}'::uuid, true", ids[0])), "synced");
    host::pay(&site, &ids[1..2]);
    site.wait_synced(&ids[1]);
    assert_eq!(sync(&format!("'{}'::uuid", ids[1])), "synced");
    assert_eq!((site.sim.calls("create"), site.row(&ids[2])["guestly_sync_status"].clone()), (2, json!("pending")));
    site.sim.assert_no_violation();
}

#[test]
fn a_preview_equals_the_request() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 3);
    let preview = |id: &str| site.query_one::<Value>(&format!("SELECT guestly_preview('{id}'::uuid)"));
    site.sql("UPDATE bookings SET status = 'confirmed'");
    let before: Vec<Value> = ids.iter().map(|id| preview(id)).collect();
    assert_eq!(site.sim.call_log(None).len(), 0);
    assert_eq!(
        site.query_one::<i64>("SELECT (SELECT count(*) FROM guestly.queue) + (SELECT count(*) FROM guestly.attempts)"),
        0
    );
    host::pay(&site, &ids);
    site.wait_for_status(&ids, "synced");
    for (id, preview) in ids.iter().zip(&before) {
        let call = &site.calls_of(&site.code(id))[0];
        assert_eq!(
            (&preview["method"], format!("/v1{}", preview["path"].as_str().unwrap())),
            (&call["method"], call["path"].as_str().unwrap().to_owned())
        );
        assert_eq!(preview["body"], site.only_reservation(id)["received"]);
    }
    assert_eq!(preview(&ids[0]), before[0], "a synced booking's preview is the same");
}

#[test]
fn failed_bookings_are_retried_by_class() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 6);
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "status", "code": 422}}));
    site.sql(&format!("UPDATE bookings SET adults = 0 WHERE id IN ('{}', '{}')", ids[0], ids[1]));
    host::pay(&site, &ids);
    site.wait_for_status(&ids, "failed");
    let retry = |arguments: &str| site.query_one::<i64>(&format!("SELECT guestly_retry_failed({arguments})"));
    assert_eq!((retry("'dates_taken'"), retry("max_rows => 0"), retry("error_class => 'no such class'")), (0, 0, 0));
    site.sql("SELECT guestly_pause()");
    assert_eq!(retry("error_class => 'refused', max_rows => 3"), 3);
    let fresh = "SELECT count(*) FROM guestly.queue q JOIN bookings b ON b.id::text = q.booking_id WHERE q.state = 'ready' \
                 AND q.attempts = 0 AND q.error IS NULL AND b.guestly_sync_status = 'pending' \
                 AND b.guestly_sync_error IS NULL AND b.guestly_sync_attempts = 0";
    assert_eq!(site.query_one::<i64>(fresh), 3);
    site.sim.clear_faults();
    site.sql("SELECT guestly_resume()");
    site.wait_for(
        "three synced",
        SOON,
        "SELECT count(guestly_reservation_id) = 3, count(guestly_reservation_id)::text FROM bookings",
    );
    site.sql("UPDATE bookings SET adults = 1 WHERE adults = 0");
    // Only rows that are still failed: a corrected one may already be in flight.
    assert!(retry("") >= 1);
    site.wait_for_status(&ids, "synced");
    for id in &ids[2..] {
        assert_eq!(site.row(id)["guestly_sync_attempts"], 1, "attempts start over");
        let log = site.log_of(id);
        assert_eq!((log[0].as_str(), log.last().unwrap().as_str()), ("create:refused", "create:created"), "{log:?}");
        assert_eq!(
            site.operations_of(&site.code(id)),
            ["create", "search", "create"],
            "a lookup comes before the create"
        );
    }
    assert_eq!(retry(""), 0);
    assert_eq!(site.sim.state().len(), 6);
    site.sim.assert_no_violation();
}

#[test]
fn a_raising_trigger_does_not_stop_guestly_sync_of_others() {
    let site = Site::open();
    site.sql("ALTER TABLE bookings DISABLE TRIGGER ALL");
    let ids = host::make_bookings(&site, 6);
    host::pay(&site, &ids[3..]);
    site.sql("ALTER TABLE bookings ENABLE TRIGGER ALL");
    site.sql("INSERT INTO guestly.old_bookings SELECT id::text FROM bookings WHERE payment_status = 'completed'");
    site.sql(&format!("UPDATE bookings SET adults = 0 WHERE id IN ('{}')", ids[..3].join("','")));
    host::pay(&site, &ids[..3]);
    site.wait_for_status(&ids[..3], "failed");
    site.sql("SELECT guestly_pause()");
    let stubborn = format!("'{}', '{}'", ids[1], ids[4]);
    site.sql(&format!(
        "CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the books are closed'; END $$; \
         CREATE TRIGGER closed BEFORE UPDATE ON bookings FOR EACH ROW \
         WHEN (NEW.guestly_sync_status = 'pending' AND NEW.id IN ({stubborn})) EXECUTE FUNCTION closed(); \
         UPDATE bookings SET adults = 1 WHERE id IN ('{}')",
        ids[..3].join("','")
    ));
    assert_eq!(site.query_one::<i64>("SELECT guestly_retry_failed()"), 3);
    let queued = "SELECT count(*) FILTER (WHERE action = 'queued') FROM guestly_backfill(dry_run => false)";
    assert_eq!(site.query_one::<i64>(queued), 3);
    let ready = "SELECT count(*) FROM guestly.queue WHERE state = 'ready'";
    assert_eq!(site.query_one::<i64>(ready), 6);
    let rows = "SELECT string_agg(guestly_sync_status, ' ' ORDER BY length(stripe_payment_intent_id), stripe_payment_intent_id) FROM bookings";
    assert_eq!(site.query_one::<String>(rows), "pending failed pending pending pending pending");
    site.sql("DROP TRIGGER closed ON bookings; SELECT guestly_resume()");
    site.wait_for_status(&ids, "synced");
    site.assert_once_each(&ids);
}

#[test]
fn the_timeline_lists_every_event() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 3);
    let story = |id: &str| -> Vec<(String, String)> {
        let rows = format!("SELECT event, coalesce(detail, '') FROM guestly_timeline('{id}'::uuid)");
        site.query(&rows, &[]).iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    let unpaid = story(&ids[0]);
    assert_eq!(unpaid.len(), 1);
    assert!(
        unpaid[0].1.contains("not paid: the payment status is 'pending'")
            && unpaid[0].1.contains("paid, completed, succeeded"),
        "{unpaid:?}"
    );
    site.sim.fault(json!({"match": {"operation": "create", "count": 1}, "effect": {"kind": "status", "code": 503}}));
    host::pay(&site, &ids[1..2]);
    site.wait_synced(&ids[1]);
    let reported = story(&ids[1]);
    let events: Vec<&str> = reported.iter().map(|(event, _)| event.as_str()).collect();
    let (first, last) = (events.iter().position(|e| *e == "create"), events.iter().rposition(|e| *e == "create"));
    assert!(first < last && events[first.unwrap()..last.unwrap()].contains(&"looked up"), "{reported:?}");
    assert!(
        reported.iter().any(|(_, detail)| detail.contains("server error") && detail.contains("503")),
        "{reported:?}"
    );
    let code = site.code(&ids[1]);
    assert!(reported.iter().any(|(event, detail)| event == "synced" && detail.contains(&code)), "{reported:?}");
    site.sql("ALTER TABLE bookings DISABLE TRIGGER ALL");
    host::pay(&site, &ids[2..]);
    assert!(
        story(&ids[2])[0].1.contains("triggers on the bookings table are missing or disabled"),
        "{:?}",
        story(&ids[2])
    );
    let private = "SELECT count(*) FROM guestly_timeline($$X$$) t WHERE t.detail ~ '@'".replace('X', &ids[1]);
    assert_eq!(site.query_one::<i64>(&private), 0);
}

#[test]
fn the_doctor_agrees_with_the_status() {
    let site = Site::open();
    let id = site.paid_booking();
    site.wait_synced(&id);
    let sick = || -> Vec<String> {
        site.query_all("SELECT check_name || ' ' || status || ': ' || concat_ws(' -> ', detail, fix) FROM guestly_doctor() WHERE status <> 'ok'")
    };
    // The simulator's credentials are no secret, and this site has no mail settings.
    let known = |row: &String| row.starts_with("secret in a setting warn") || row.starts_with("mail warn");
    assert!(sick().iter().all(known), "{:?}", sick());
    let status = "SELECT to_jsonb(s) FROM guestly.status s";
    let now: Value = site.query_one(status);
    for (name, value) in [
        ("enabled", json!(true)),
        ("test_mode", json!(false)),
        ("armed", json!(true)),
        ("paused", json!(false)),
        ("breaker", json!("closed")),
        ("ready", json!(0)),
        ("sending", json!(0)),
        ("unknown", json!(0)),
        ("waiting", json!(0)),
        ("failed", json!(0)),
        ("oldest_waiting_since", Value::Null),
        ("tokens_24h", json!(1)),
        ("last_error", Value::Null),
    ] {
        assert_eq!(now[name], value, "{name} in {now}");
    }
    assert!(
        now["last_success_at"].is_string() && now["token_expires_at"].is_string() && now["worker_pid"].is_number(),
        "{now}"
    );
    let unseen =
        site.try_sql("BEGIN; ALTER TABLE bookings FORCE ROW LEVEL SECURITY; SELECT guestly_attach()").unwrap_err();
    assert!(unseen.starts_with("42501") && unseen.contains("NO FORCE ROW LEVEL SECURITY"), "{unseen}");
    site.sql(
        "DELETE FROM guestly.listings WHERE property = 'garden-flat'; ALTER TABLE bookings FORCE ROW LEVEL SECURITY; \
         ALTER TABLE bookings DISABLE TRIGGER guestly_update",
    );
    for (name, word) in [
        ("listings warn", "'garden-flat'"),
        ("row security warn", "NO FORCE ROW LEVEL SECURITY"),
        ("triggers fail", "guestly_update -> SELECT guestly_attach("),
    ] {
        assert!(sick().iter().any(|row| row.starts_with(name) && row.contains(word)), "{name}: {:?}", sick());
    }
    // Its fix works as written.
    // In this order: a table whose owner does not see every row cannot be attached.
    for name in ["row security", "triggers"] {
        let fix: String = site.query_one(&format!("SELECT fix FROM guestly_doctor() WHERE check_name = '{name}'"));
        site.sql(&fix);
    }
    give_back(&site, "garden-flat");
    assert!(sick().iter().all(known), "{:?}", sick());
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "status", "code": 422}}));
    let bad = site.paid_booking();
    site.wait_failed(&bad);
    let row = sick().into_iter().find(|row| row.starts_with("failed bookings warn: 1")).unwrap();
    assert!(row.contains("guestly_retry_failed()"), "{row}");
    let now: Value = site.query_one(status);
    assert!(now["failed"] == 1 && now["last_error"].as_str().unwrap().contains(&bad), "{now}");
    site.sql("SELECT guestly_detach()");
    assert!(sick().iter().any(|row| row.starts_with("attached fail") && row.contains("guestly_attach('bookings')")));
}

/// Restores the removed listing.
fn give_back(site: &Site, property: &str) {
    let listing = host::LISTINGS.iter().find(|(slug, _)| *slug == property).unwrap().1;
    site.sql(&format!("INSERT INTO guestly.listings VALUES ('{property}', '{listing}')"));
}
