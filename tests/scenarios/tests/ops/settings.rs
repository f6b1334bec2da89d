//! Settings changed by ALTER SYSTEM and a reload take effect in the running worker, without a restart.

use guestly_scenarios::{Cluster, Options, SOON, Sim, Site, host, wait_until};

/// Waits until a new session sees the setting, so all processes have been signalled.
fn set(site: &Site, name: &str, value: &str) {
    site.alter_system(&format!("guestly_sync.{name}"), value);
    let shown = format!("SELECT s = '{value}', s FROM current_setting('guestly_sync.{name}') s");
    site.wait_for(&format!("{name} to be {value}"), SOON, &shown);
}

#[test]
fn settings_take_effect_in_the_running_worker() {
    let site = Site::open_with(|options| options.setting("guestly_sync.enabled", "off"));
    let pid = site.wait_for_worker(&site);
    let first = site.paid_booking();
    site.worker_took_a_turn();
    assert_eq!((site.sim.calls("create"), site.booking(&first).status.as_str()), (0, "pending"), "sent while disabled");
    let status = "SELECT enabled::text || ready || coalesce(oldest_waiting_since::text, 'null') FROM guestly.status";
    assert!(site.query_one::<String>(status).starts_with("false12"), "off, one ready, waiting since a time");
    set(&site, "enabled", "on");
    site.wait_synced(&first);
    assert_eq!(site.only_reservation(&first)["source"], "website");

    set(&site, "source", "Direct – „Berlin“");
    let second = site.paid_booking();
    site.wait_synced(&second);
    assert_eq!(site.only_reservation(&second)["source"], "Direct – „Berlin“");

    set(&site, "enabled", "off");
    // The worker receives the reload as a signal, and handles it before its next cycle.
    site.worker_took_a_turn();
    let calls = site.sim.calls("create");
    let waiting = site.paid_bookings(5);
    assert!(!site.query_one::<bool>("SELECT enabled FROM guestly.status"));
    site.worker_took_a_turn();
    assert_eq!(site.sim.calls("create"), calls, "sent after it was disabled");
    set(&site, "enabled", "on");
    site.wait_for_status(&waiting, "synced");
    site.wait_drained();
    assert_eq!(site.wait_for_worker(&site), pid, "no restart was needed");
    site.sim.assert_no_violation();
}

#[test]
fn a_disabled_worker_makes_no_call() {
    let site = Site::open_with(|options| {
        options.setting("guestly_sync.enabled", "off").setting("guestly_sync.poll_interval", "200ms")
    });
    let id = site.paid_booking();
    site.worker_looked_again();
    assert_eq!(site.sim.call_log(None).len(), 0);
    assert_eq!(site.query_one::<String>("SELECT booking_id || state FROM guestly.queue"), format!("{id}ready"));
}

#[test]
fn a_changed_base_url_takes_effect() {
    let site = Site::open();
    let pid = site.wait_for_worker(&site);
    let before = site.paid_booking();
    site.wait_synced(&before);
    site.sql("ALTER TABLE bookings DROP CONSTRAINT bookings_payment_status_check");
    let ids = host::make_bookings(&site, 3);
    let pay = |id: &str, status: &str| {
        site.sql(&format!("UPDATE bookings SET payment_status = '{status}', status = 'confirmed' WHERE id = '{id}'"));
    };
    pay(&ids[0], "settled");
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.queue"), 0, "no status counts as paid yet");
    set(&site, "paid_statuses", "settled,  Captured");
    pay(&ids[0], "settled");
    pay(&ids[1], "captured");
    pay(&ids[2], "completed");
    site.wait_synced(&ids[1]);
    // A repeated `settled` is no change of the payment, and `completed` no longer counts.
    assert_eq!(site.row(&ids[2])["guestly_sync_status"], "pending");
    let word: String = site.query_one(&format!("SELECT guestly_sync('{}'::uuid)", ids[0]));
    assert_eq!(word, "queued");
    site.wait_synced(&ids[0]);
    let refused = site.try_sql(&format!("SELECT guestly_sync('{}'::uuid)", ids[2])).unwrap_err();
    assert!(refused.contains("is not paid") && refused.contains("guestly_sync.paid_statuses"), "{refused}");

    let other = Sim::quick().without_limits();
    // Another account with the same ids: what is known of the first account does not apply.
    site.sql("DELETE FROM guestly.reservations");
    // Both in one reload: a token is only sent to the address that issued it.
    site.sql(&format!("ALTER SYSTEM SET guestly_sync.base_url = '{}/v1'", other.url()));
    set(&site, "token_url", &format!("{}/oauth2/token", other.url()));
    pay(&ids[2], "settled");
    site.wait_synced(&ids[2]);
    wait_until("the new address", SOON, || {
        let id = host::make_bookings(&site, 1).remove(0);
        pay(&id, "settled");
        site.wait_synced(&id);
        (other.reservations_of(&site.code(&id)).len() == 1, format!("{} there", other.state().len()))
    });
    assert_eq!(site.wait_for_worker(&site), pid);
    let moved = site.sim.call_log(None).len();
    // An address that must not be called: nothing is sent, and the log says why.
    set(&site, "base_url", "http://example.com/v1");
    let stuck = site.paid_booking();
    pay(&stuck, "settled");
    wait_until("a log line about the address", SOON, || (site.log().contains("example.com"), "nothing".to_owned()));
    assert_eq!(site.row(&stuck)["guestly_sync_attempts"], 0);
    set(&site, "base_url", &format!("{}/v1", other.url()));
    site.wait_synced(&stuck);
    assert_eq!(site.sim.call_log(None).len(), moved, "the former address was called again");
    site.sim.assert_no_violation();
    other.assert_no_violation();
}

#[test]
fn a_shorter_poll_interval_takes_effect_at_once() {
    let site = Site::open_with(|options| options.setting("guestly_sync.poll_interval", "1h"));
    let ids = host::make_bookings(&site, 2);
    let unseen = |id: &str| {
        site.sql(&format!(
            "SET session_replication_role = replica; \
             UPDATE bookings SET payment_status = 'completed', status = 'confirmed' WHERE id = '{id}'"
        ));
    };
    // A new worker sweeps within a second; the next sweep is an hour later.
    let settled = "SELECT worker_since < clock_timestamp() - interval '2 s', worker_since::text FROM guestly.status";
    site.wait_for("the worker to have swept", SOON, settled);
    site.worker_took_a_turn();
    site.alter_system("guestly_sync.poll_interval", "500ms");
    for id in &ids {
        unseen(id);
        site.wait_synced(id);
    }
    site.assert_once_each(&ids);
}

#[test]
fn test_mode_does_everything_but_the_calls() {
    let site = Site::open_with(|options| options.setting("guestly_sync.test_mode", "on"));
    let pid = site.wait_for_worker(&site);
    let ids = site.paid_bookings(3);
    site.wait_for_status(&ids, "synced");
    for id in &ids {
        let row = site.row(id);
        assert!(row["guestly_reservation_id"].as_str().unwrap().starts_with("test-"), "{row}");
        assert_eq!(row["guestly_sync_attempts"], 1);
    }
    // The sweep of a new worker may have written the first ones; nothing else wakes it within the next minute.
    site.wait_synced(&site.paid_booking());
    assert_eq!(site.sim.call_log(None).len(), 0, "test mode calls nothing, not even for a token");
    let (log, row) = (site.log(), site.row(&ids[0]));
    assert!(
        log.contains("test mode: POST /reservations-v3") && log.contains(row["booking_reference"].as_str().unwrap())
    );
    for private in ["guest_email", "guest_first_name", "guest_last_name"] {
        assert!(!log.contains(row[private].as_str().unwrap()), "the log shows {private}");
    }
    let sync = |id: &str| site.query_one::<String>(&format!("SELECT guestly_sync('{id}'::uuid)"));
    assert_eq!(sync(&ids[0]), "synced");
    set(&site, "test_mode", "off");
    wait_until("the worker to read the setting", SOON, || {
        let id = site.paid_booking();
        site.wait_synced(&id);
        let made = site.row(&id)["guestly_reservation_id"].to_string();
        (!made.contains("test-"), made)
    });
    // A test id never counts as a real one.
    let real = site.sim.state().len();
    assert_eq!(sync(&ids[0]), "queued");
    site.wait_for(
        "the real id",
        SOON,
        &format!(
            "SELECT guestly_reservation_id NOT LIKE 'test-%', guestly_reservation_id FROM bookings WHERE id = '{}'",
            ids[0]
        ),
    );
    let _ = site.only_reservation(&ids[0]);
    assert_eq!(site.sim.state().len(), real + 1);
    assert_eq!(site.wait_for_worker(&site), pid);
    site.sim.assert_no_violation();
}

#[test]
fn a_pause_survives_a_restart() {
    let site = Site::open();
    let first = site.paid_booking();
    site.wait_synced(&first);
    site.sql("SELECT guestly_pause('the owner''s stocktaking')");
    let ids = site.paid_bookings(3);
    site.restart();
    site.wait_for_worker(&site);
    let later = site.paid_booking();
    site.worker_took_a_turn();
    let reported: String = site.query_one("SELECT paused::text || pause_reason || ready FROM guestly.status");
    assert_eq!(reported, "truethe owner's stocktaking4");
    let doctor = "SELECT detail || ' ' || fix FROM guestly_doctor() WHERE check_name = 'paused' AND status = 'warn'";
    assert!(site.query_one::<String>(doctor).contains("stocktaking SELECT guestly_resume();"));
    assert_eq!(site.sim.calls("create"), 1);
    // A resume wakes the worker; nothing else would within a minute.
    site.sql("SELECT guestly_resume()");
    site.wait_for_status(&ids, "synced");
    site.wait_synced(&later);
    assert_eq!(site.query_one::<String>("SELECT paused::text FROM guestly.status"), "false");
    assert_eq!(site.sim.calls("create"), 5);
}

#[test]
fn an_empty_setting_overrides_the_environment() {
    let options = Options::default()
        .environment("GUESTLY_BASE_URL", "")
        .environment("GUESTY_CLIENT_ID", "another-client")
        .environment("GUESTY_CLIENT_SECRET", "hush")
        .environment("ADMIN_ALERT_EMAIL", "owner@example.org")
        .environment("GUESTLY_SMTP_URL", "smtp://localhost:1");
    let cluster = Cluster::start(options);
    host::set_up(&cluster);
    assert_eq!(cluster.query_one::<String>("SHOW guestly_sync.base_url"), "https://open-api.guesty.com/v1");
    let doctor = |check: &str| -> String {
        cluster.query_one(&format!("SELECT detail FROM guestly_doctor() WHERE check_name = '{check}'"))
    };
    assert_eq!(
        (doctor("credentials").as_str(), doctor("mail").as_str()),
        ("from environment", "alerts are mailed to owner@example.org")
    );
    for (name, check, none, from) in [
        ("client_secret", "credentials", "none found", "from environment"),
        ("client_id", "credentials", "none found", "from environment"),
        ("smtp_url", "mail", "not configured: alerts stay in guestly.alerts", "alerts are mailed to owner@example.org"),
    ] {
        let said = |words: &str| {
            wait_until(words, SOON, || {
                let said = doctor(check);
                (said.contains(words), said)
            });
        };
        cluster.alter_system(&format!("guestly_sync.{name}"), "");
        said(none);
        cluster.reset_system(&format!("guestly_sync.{name}"));
        said(from);
    }
}

#[test]
fn a_setting_overrides_the_environment() {
    let sim = Sim::quick();
    let options = Options::default()
        .environment("GUESTLY_SYNC_ENABLED", "true")
        .environment("GUESTLY_TEST_MODE", "1")
        .environment("GUESTLY_BASE_URL", &format!("{}/v1", sim.url()))
        .environment("GUESTLY_TOKEN_URL", &format!("{}/oauth2/token", sim.url()))
        .environment("GUESTY_CLIENT_ID", "sim-client")
        .environment("GUESTY_CLIENT_SECRET", "sim-secret");
    let cluster = Cluster::start(options);
    host::set_up(&cluster);
    let first = host::make_bookings(&cluster, 1);
    host::pay(&cluster, &first);
    let synced = |id: &str, made: &str| {
        let query = format!(
            "SELECT guestly_reservation_id {made} 'test-%', guestly_reservation_id FROM bookings WHERE id = '{id}'"
        );
        cluster.wait_for("a reservation", SOON, &query);
    };
    synced(&first[0], "LIKE");
    // `off` overrides the environment, which applies again once the setting is reset.
    cluster.alter_system("guestly_sync.test_mode", "off");
    cluster.wait_for("test mode off", SOON, "SELECT NOT test_mode, 'on' FROM guestly.status");
    wait_until("a real reservation", SOON, || {
        let id = host::make_bookings(&cluster, 1);
        host::pay(&cluster, &id);
        cluster.wait_for(
            "it",
            SOON,
            &format!("SELECT guestly_sync_status = 'synced', guestly_sync_error FROM bookings WHERE id = '{}'", id[0]),
        );
        (sim.state().len() == 1, format!("{} in Guestly", sim.state().len()))
    });
    let shown = "SELECT count(*) FROM pg_settings WHERE setting LIKE '%sim-secret%' OR boot_val LIKE '%sim-secret%' OR reset_val LIKE '%sim-secret%'";
    assert_eq!(cluster.query_one::<i64>(shown), 0, "the secret of the environment must not appear in pg_settings");
    let source: String = cluster.query_one("SELECT detail FROM guestly_doctor() WHERE check_name = 'credentials'");
    assert!(source.contains("environment"), "{source}");
    cluster.alter_system("guestly_sync.enabled", "off");
    cluster.wait_for("off", SOON, "SELECT NOT enabled, 'on' FROM guestly.status");
    cluster.reset_system("guestly_sync.enabled");
    cluster.reset_system("guestly_sync.test_mode");
    cluster.wait_for("both on again", SOON, "SELECT enabled AND test_mode, 'off' FROM guestly.status");
    assert!(!cluster.log().contains("sim-secret"), "the secret is in the log");
    sim.assert_no_violation();
}
