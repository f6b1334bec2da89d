//! Bookings paid while no trigger fired: found within a poll interval, sent once, and only if they became paid after the
//! table was attached.

use guestly_scenarios::{SOON, Site, host};
use serde_json::json;

fn site() -> Site {
    Site::open_with(|options| {
        options.setting("guestly_sync.poll_interval", "1s").setting("max_prepared_transactions", "4")
    })
}

/// Pays these bookings by a statement of the caller's session, after `before` and before `after`.
fn pay_between(site: &Site, before: &str, ids: &[String], after: &str) {
    let list = ids.join("','");
    let mut session = site.client();
    for part in [
        before,
        &format!("UPDATE bookings SET payment_status = 'completed', status = 'confirmed' WHERE id IN ('{list}')"),
        after,
    ] {
        session.batch_execute(part).unwrap_or_else(|error| panic!("{error}\nin: {part}"));
    }
}

#[test]
fn the_sweep_finds_payments_made_without_triggers() {
    let site = site();
    let ids = host::make_bookings(&site, 5);
    pay_between(&site, "ALTER TABLE bookings DISABLE TRIGGER ALL", &ids, "ALTER TABLE bookings ENABLE TRIGGER ALL");
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
}

#[test]
fn the_sweep_finds_payments_made_by_replication() {
    let site = site();
    let ids = host::make_bookings(&site, 5);
    pay_between(&site, "SET session_replication_role = replica", &ids, "RESET session_replication_role");
    site.wait_all_synced(SOON);
    let new = host::make_bookings(&site, 3);
    let list = new.join("','");
    site.sql(&format!(
        "CREATE TEMP TABLE loaded AS SELECT * FROM bookings WHERE id IN ('{list}'); DELETE FROM bookings WHERE id IN ('{list}'); \
         UPDATE loaded SET payment_status = 'completed', status = 'confirmed'; SET session_replication_role = replica; \
         INSERT INTO bookings SELECT * FROM loaded"
    ));
    site.wait_all_synced(SOON);
    site.assert_once_each(&[ids, new].concat());
}

#[test]
fn two_phase_commits_are_sent_after_the_second_phase() {
    let site = site();
    let ids = host::make_bookings(&site, 4);
    pay_between(&site, "BEGIN", &ids[..2], "PREPARE TRANSACTION 'payment'");
    pay_between(&site, "BEGIN", &ids[2..], "PREPARE TRANSACTION 'thought better of it'");
    let other = site.paid_booking();
    site.wait_synced(&other);
    assert_eq!(site.sim.calls("create"), 1, "sent before it was committed");
    site.sql("ROLLBACK PREPARED 'thought better of it'");
    site.sql("COMMIT PREPARED 'payment'");
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.state().len(), 3);
    site.assert_once_each(&ids[..2]);
}

#[test]
fn the_sweep_of_upcoming_stays_finds_changes() {
    let site = site();
    let ids = site.paid_bookings(4);
    site.wait_all_synced(SOON);
    let missed = format!(
        "SET session_replication_role = replica; UPDATE bookings SET adults = 4, children = 0 WHERE id = '{}'; \
         UPDATE bookings SET status = 'cancelled' WHERE id = '{}'; \
         UPDATE bookings SET guest_phone = '+49 30 555 0199', adults = adults WHERE id = '{}'",
        ids[0], ids[1], ids[2]
    );
    site.sql(&missed);
    // A new worker starts the comparison at once.
    site.restart();
    site.wait_for(
        "both changes",
        SOON,
        "SELECT count(*) = 2, string_agg(operation, ' ') FROM guestly.attempts \
         WHERE operation IN ('guests', 'status') AND outcome = 'changed'",
    );
    site.wait_drained();
    assert_eq!(
        (site.log_of(&ids[2]), site.log_of(&ids[3])),
        (vec!["create:created".to_owned()], vec!["create:created".to_owned()])
    );
    // It reads only the rows of its batch, not a hundred thousand.
    site.sql(
        "INSERT INTO guestly.reservations (booking_id, reservation_id, confirmation_code, verified, check_out) \
         SELECT 'old-' || i, 'r' || i, 'c', true, current_date - 10 FROM generate_series(1, 100000) AS i; ANALYZE guestly.reservations",
    );
    let query = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sql/queries/reservations/upcoming.sql"))
        .replace("$1", "current_date")
        .replace("$2", "''")
        .replace("$3", "200");
    let plan: Vec<String> = site.query_all(&format!("EXPLAIN {query}"));
    assert!(plan.iter().any(|line| line.contains("reservations_upcoming")), "{plan:#?}");
}

#[test]
fn a_deleted_queue_row_is_swept_with_a_lookup() {
    let site = site();
    site.sql("SELECT guestly_pause('for the test')");
    let ids = site.paid_bookings(3);
    // Once the worker is older than settle, no earlier call has an unknown outcome.
    let old = "SELECT worker_since < clock_timestamp() - interval '3 s', worker_since::text FROM guestly.status";
    site.wait_for("the worker to have run for a while", SOON, old);
    site.sql("DELETE FROM guestly.queue");
    site.sql("SELECT guestly_resume()");
    site.wait_all_synced(SOON);
    for id in &ids {
        assert_eq!(site.operations_of(&site.code(id)), ["search", "create"]);
    }
    site.assert_once_each(&ids);
}

#[test]
fn a_deleted_row_of_a_dead_worker_is_not_created_again() {
    let site = site();
    // It took effect, but the first lookup does not show it yet.
    site.sim.hold("create", "after");
    let nothing = json!({"kind": "status", "code": 200, "body": "{\"results\": []}"});
    site.sim.fault(json!({"match": {"operation": "search", "nth": 1}, "effect": nothing}));
    let id = site.paid_booking();
    site.sim.wait_for_calls("create", 1, SOON);
    site.sql("DELETE FROM guestly.queue");
    site.kill_worker(&site, "KILL");
    site.sim.wait_for_calls("search", 1, SOON);
    site.sim.release();
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.calls("create"), 1, "{:?}", site.operations_of(&site.code(&id)));
    site.assert_once_each(&[id]);
}

#[test]
fn the_sweep_ignores_payments_before_attach() {
    let site = Site::bare_with(|options| options.setting("guestly_sync.poll_interval", "500ms"));
    let old = host::make_bookings(&site, 4);
    host::pay(&site, &old);
    host::create_extension(&site);
    host::map_listings(&site);
    let new = host::make_bookings(&site, 2);
    pay_between(&site, "SET session_replication_role = replica", &new, "RESET session_replication_role");
    site.wait_for_status(&new, "synced");
    // A repeated webhook changes nothing either.
    site.sql("UPDATE bookings SET payment_status = 'processing'; UPDATE bookings SET payment_status = 'completed'");
    let third = host::make_bookings(&site, 1);
    pay_between(&site, "SET session_replication_role = replica", &third, "RESET session_replication_role");
    site.wait_for_status(&third, "synced");
    let mut expected: Vec<String> = [new, third].concat().iter().map(|id| site.code(id)).collect();
    let mut held: Vec<String> =
        site.sim.state().iter().filter_map(|row| row["confirmationCode"].as_str().map(str::to_owned)).collect();
    expected.sort();
    held.sort();
    assert_eq!(held, expected, "an old booking was sent");
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM bookings WHERE guestly_sync_status = 'synced'"), 3);
    site.sim.assert_no_violation();
}

#[test]
fn a_new_paid_status_applies_only_from_now_on() {
    let site = Site::bare_with(|options| options.setting("guestly_sync.poll_interval", "500ms"));
    site.sql("ALTER TABLE bookings DROP CONSTRAINT bookings_payment_status_check");
    let ids = host::make_bookings(&site, 8);
    let pay = |ids: &[String], before: &str| {
        host::update_all(&site, ids, before, "payment_status = 'captured', status = 'confirmed'")
    };
    pay(&ids[..5], "SELECT");
    host::create_extension(&site);
    host::map_listings(&site);
    host::without_notes(&site);
    site.wait_for_worker(&site);
    // Paid through a trigger that has read the new setting before the worker.
    site.alter_system("guestly_sync.paid_statuses", "completed, Captured");
    site.wait_for(
        "the word",
        SOON,
        "SELECT s LIKE '%Captured', s FROM current_setting('guestly_sync.paid_statuses') s",
    );
    pay(&ids[5..6], "SELECT");
    site.wait_synced(&ids[5]);
    site.wait_for("the baseline", SOON, "SELECT count(*) = 5, count(*)::text FROM guestly.old_bookings");
    pay(&ids[6..7], "SET session_replication_role = replica");
    site.wait_synced(&ids[6]);
    // The old status still counts for bookings paid under it; the new one counts when it is set again.
    site.alter_system("guestly_sync.paid_statuses", "completed");
    site.alter_system("guestly_sync.paid_statuses", "captured");
    pay(&ids[7..], "SET session_replication_role = replica");
    site.wait_synced(&ids[7]);
    assert_eq!(site.sim.state().len(), 3, "an old booking was sent");
    site.assert_once_each(&ids[5..]);
}

/// Statuses of other hosts: an enum, or free text.
const WORDS: [(&str, &str); 2] = [
    (
        "CREATE TYPE payment AS ENUM ('Pending', 'Processing', 'Completed'); \
         ALTER TABLE bookings ALTER payment_status TYPE payment USING initcap(payment_status)::payment",
        "Completed",
    ),
    ("SELECT", " COMPLETED "),
];

#[test]
fn the_sweep_ignores_case_of_payment_statuses() {
    for (change, word) in WORDS {
        let site = Site::bare_with(|options| options.setting("guestly_sync.poll_interval", "500ms"));
        site.sql(
            "DROP POLICY bookings_from_visitors ON bookings; ALTER TABLE bookings ALTER payment_status DROP DEFAULT, \
             DROP CONSTRAINT bookings_payment_status_check, DROP CONSTRAINT bookings_status_check",
        );
        site.sql(change);
        site.sql("ALTER TABLE bookings ALTER payment_status SET DEFAULT 'Pending'");
        let ids = host::make_bookings(&site, 5);
        let pay = |ids: &[String], before: &str| {
            host::update_all(&site, ids, before, &format!("payment_status = '{word}', status = 'Confirmed'"))
        };
        pay(&ids[..2], "SELECT");
        host::create_extension(&site);
        host::map_listings(&site);
        host::without_notes(&site);
        pay(&ids[2..3], "SET session_replication_role = replica");
        site.wait_synced(&ids[2]);
        // A repeated webhook.
        site.sql("UPDATE bookings SET payment_status = 'Processing' WHERE payment_status::text <> 'Pending'");
        pay(&ids[..3], "SELECT");
        pay(&ids[3..4], "SET session_replication_role = replica");
        site.wait_synced(&ids[3]);
        pay(&ids[4..], "SELECT");
        site.wait_synced(&ids[4]);
        site.wait_drained();
        assert_eq!(site.sim.state().len(), 3, "'{word}': an old booking was sent");
        for id in &ids[2..] {
            assert_eq!(site.only_reservation(id)["status"], "confirmed", "'{word}'");
        }
        site.sim.assert_no_violation();
    }
}

#[test]
fn the_sweep_works_after_a_change_of_owner() {
    let site = site();
    let ids = host::make_bookings(&site, 2);
    site.sql("CREATE ROLE heir; GRANT SELECT ON properties TO heir; ALTER TABLE bookings OWNER TO heir");
    pay_between(&site, "SET session_replication_role = replica", &ids, "RESET session_replication_role");
    site.wait_for_status(&ids, "synced");
    site.assert_once_each(&ids);
    assert!(!site.log().contains("cannot work"), "{}", site.log());
}
