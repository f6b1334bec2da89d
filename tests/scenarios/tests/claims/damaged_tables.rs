//! Renamed, altered or emptied tables of the extension: sales continue, the worker logs it at most once a minute and
//! resumes after the repair.

use guestly_scenarios::{SOON, Site, host, wait_until};
use std::time::Instant;

/// The worker's log line for it.
const WORDS: &str = "guestly_sync: cannot ";

fn site() -> Site {
    Site::open_with(|options| options.setting("guestly_sync.poll_interval", "500ms"))
}

/// Damages a table, sells meanwhile, repairs it: everything is synced once, and few lines are logged.
fn assert_survives(site: &Site, broken: &str, repaired: &str) {
    let mut ids = vec![site.paid_booking()];
    site.wait_all_synced(SOON);
    let worker = site.wait_for_worker(site);
    site.sql(broken);
    ids.extend(site.paid_bookings(3));
    wait_until("the worker to say so", SOON, || {
        let said = site.log().matches(WORDS).count();
        (said > 0, format!("{said} times"))
    });
    // After more sales and attempts it is not logged again.
    let began = Instant::now();
    for _ in 0..3 {
        ids.extend(site.paid_bookings(1));
        site.worker_looked_again();
    }
    let said = site.log().matches(WORDS).count();
    // Once a minute, however long these attempts took.
    let most = 1 + usize::try_from(began.elapsed().as_secs() / 60).unwrap_or_default();
    assert!(said <= most, "{broken}: said {said} times in {:?}", began.elapsed());
    site.sql(repaired);
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    assert_eq!(site.wait_for_worker(site), worker, "{broken}: the worker crashed");
}

#[test]
fn a_renamed_queue_only_delays() {
    assert_survives(&site(), "ALTER TABLE guestly.queue RENAME TO q", "ALTER TABLE guestly.q RENAME TO queue");
}

#[test]
fn a_missing_queue_column_only_delays() {
    let repaired = "ALTER TABLE guestly.queue ADD COLUMN unconfirmed_creates integer NOT NULL DEFAULT 0";
    assert_survives(&site(), "ALTER TABLE guestly.queue DROP COLUMN unconfirmed_creates", repaired);
}

#[test]
fn a_renamed_reservations_table_only_delays() {
    let (broken, repaired) = ("guestly.reservations RENAME TO r", "guestly.r RENAME TO reservations");
    assert_survives(&site(), &format!("ALTER TABLE {broken}"), &format!("ALTER TABLE {repaired}"));
}

#[test]
fn a_renamed_attempts_table_only_delays() {
    let (broken, repaired) = ("guestly.attempts RENAME TO a", "guestly.a RENAME TO attempts");
    assert_survives(&site(), &format!("ALTER TABLE {broken}"), &format!("ALTER TABLE {repaired}"));
}

#[test]
fn a_broken_mapping_table_only_delays() {
    let (broken, repaired) = ("guestly.field_map RENAME TO f", "guestly.f RENAME TO field_map");
    assert_survives(&site(), &format!("ALTER TABLE {broken}"), &format!("ALTER TABLE {repaired}"));
}

#[test]
fn a_renamed_token_table_costs_no_token() {
    let site = site();
    let mut ids = vec![site.paid_booking()];
    site.wait_all_synced(SOON);
    site.sql("ALTER TABLE guestly.token RENAME TO t");
    // The running worker keeps its token in memory.
    ids.push(site.paid_booking());
    site.wait_all_synced(SOON);
    site.restart();
    ids.extend(site.paid_bookings(2));
    wait_until("the worker to say so", SOON, || {
        let said = site.log().matches(WORDS).count();
        (said > 0, format!("{said} times"))
    });
    site.sql("ALTER TABLE guestly.t RENAME TO token");
    site.wait_all_synced(SOON);
    assert!(site.sim.calls("token") <= 2, "{} tokens", site.sim.calls("token"));
    site.assert_once_each(&ids);
}

#[test]
fn an_outcome_is_written_after_tables_are_repaired() {
    let site = site();
    site.sim.hold("create", "before");
    let ids = site.paid_bookings(3);
    site.sim.wait_for_calls("create", 3, SOON);
    site.sql("ALTER TABLE guestly.reservations RENAME TO r");
    site.sim.release();
    wait_until("the answers", SOON, || (site.sim.call_log(Some("create")).len() == 3, String::new()));
    site.worker_looked_again();
    site.sql("ALTER TABLE guestly.r RENAME TO reservations");
    site.wait_all_synced(SOON);
    assert_eq!((site.sim.calls("create"), site.sim.calls("search")), (3, 0), "the outcomes were in memory");
    site.assert_once_each(&ids);
}

/// `guestly.reservations` was emptied, by a person or by a restore that lacks it: the bookings' rows name their reservations.
#[test]
fn an_emptied_reservations_table_creates_nothing_twice() {
    let site = Site::open();
    let ids = site.paid_bookings(3);
    site.wait_for_status(&ids, "synced");
    site.wait_drained();
    let creates = site.sim.calls("create");
    // One by one, so that no trigger refills it.
    site.sql("DELETE FROM guestly.reservations");
    for id in &ids {
        let answer: String = site.query_one(&format!("SELECT guestly_sync('{id}', force => true)"));
        assert_eq!(answer, "queued", "the emptied table knows nothing of it");
    }
    site.wait_for_status(&ids, "synced");
    site.wait_drained();
    assert_eq!(site.sim.calls("create"), creates, "a second create");
    site.assert_once_each(&ids);
}

#[test]
fn pending_changes_survive_a_truncate() {
    let site = Site::open();
    let ids = site.paid_bookings(2);
    site.wait_for_status(&ids, "synced");
    site.wait_drained();
    let creates = site.sim.calls("create");
    site.sql("TRUNCATE guestly.reservations");
    site.update(&ids[0], "adults = 4, children = 0, infants = 0");
    site.update(&ids[1], "status = 'cancelled'");
    let known = format!("SELECT adults = 4, adults::text FROM guestly.reservations WHERE booking_id = '{}'", ids[0]);
    site.wait_for("the change", SOON, &known);
    let code = site.code(&ids[1]);
    wait_until("the cancellation", SOON, || {
        let status = site.sim.reservations_of(&code)[0]["status"].as_str().unwrap_or_default().to_owned();
        (status == "canceled", status)
    });
    assert_eq!(site.sim.calls("create"), creates);
}

#[test]
fn an_unreadable_comment_does_not_stop_installation() {
    let site = Site::bare_with(|options| options);
    for comment in [
        "waiting: [garbage]",
        "guestly_sync: attached since 2026-02-31T25:61:00Z; waiting: [1,",
        "attached since 9999999-01-01T00:00:00Z; waiting: [1]x]",
    ] {
        host::create_extension(&site);
        site.sql("DROP EXTENSION guestly_sync");
        site.sql(&format!("COMMENT ON COLUMN bookings.guestly_sync_attempts IS '{comment}'"));
        host::create_extension(&site);
        assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.attachment"), 1, "{comment}");
        site.sql("DROP EXTENSION guestly_sync");
    }
    let deep = format!("waiting: {}{}", "[".repeat(50_000), "]".repeat(50_000));
    site.sql(&format!("COMMENT ON COLUMN bookings.guestly_sync_attempts IS '{deep}'"));
    host::create_extension(&site);
    host::map_listings(&site);
    host::without_notes(&site);
    let id = site.synced_booking();
    site.assert_once_each(&[id]);
}
