//! Independence of alerts and bookings: hanging mail servers, unwritable tables, alerts of another version, unusable
//! settings, deleted bookings, copies.

use guestly_scenarios::{AT_ONCE, Mail, Mailbox, SOON, Site, StopMode, wait_until};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// A paid booking that fails without a call; gives its id and reference.
fn fail_one(site: &Site) -> (String, String) {
    let id = site.paid_booking();
    site.wait_failed(&id);
    let code = site.code(&id);
    (id, code)
}

fn wait_until_mailed(site: &Site) {
    let left =
        "SELECT bool_and(state = 'sent'), string_agg(concat_ws(' ', kind, state, answer), '; ') FROM guestly.alerts";
    site.wait_for("every alert to be mailed", LIMIT, left);
}

#[test]
fn a_hanging_mail_server_delays_no_booking() {
    let mailbox = Mailbox::open_with(&["--mute"]);
    let site = Site::open_with(|options| {
        mailbox.options(options).setting("guestly_sync.concurrency", "1").setting("guestly_sync.alert_digest", "1ms")
    });
    site.sql("DELETE FROM guestly.listings WHERE property = 'canal-loft'");
    let ids = site.paid_bookings(3);
    let failing = site.query_one::<String>(
        "SELECT b.id::text FROM bookings b JOIN properties p ON p.id = b.property_id WHERE p.slug = 'canal-loft'",
    );
    site.wait_failed(&failing);
    let _ = mailbox.wait_for(1, SOON);
    site.sql("INSERT INTO guestly.listings VALUES ('canal-loft', '64b1f0aa11bb22cc33dd4401')");
    let others: Vec<String> = ids.into_iter().filter(|id| *id != failing).chain(site.paid_bookings(6)).collect();
    site.wait_for_status(&others, "synced");
    // There is no answer and no time-out yet: the mail still occupies its thread.
    let hangs = "SELECT count(*) = 1 AND bool_and(state = 'waiting' AND mail_key IS NOT NULL AND answer IS NULL) FROM guestly.alerts";
    assert!(site.query_one::<bool>(hangs), "the mail was over before the bookings were");
    site.assert_once_each(&others);
}

#[test]
fn an_alert_of_an_unknown_kind_is_skipped() {
    let mailbox = Mailbox::open();
    let site = Site::open_with(|options| mailbox.options(options));
    site.sql(
        "DELETE FROM guestly.listings; ALTER TABLE guestly.alerts DROP CONSTRAINT alerts_kind_check; \
         INSERT INTO guestly.alerts (kind, cause, sentence) VALUES ('rain', ':', 'it rains')",
    );
    let (_, code) = fail_one(&site);
    let mail = mailbox.wait_for(1, SOON).remove(0);
    assert!(mail.subject.starts_with(&format!("[Guestly] 1 paid booking could not be placed: {code}")), "{mail:?}");
    assert!(!mail.text.contains("rain"), "{}", mail.text);
    wait_until("the report", SOON, || (site.log().contains("does not know are not mailed: rain"), String::new()));
    assert_eq!(site.query_one::<String>("SELECT state FROM guestly.alerts WHERE kind = 'rain'"), "waiting");
}

#[test]
fn unwritable_outage_alerts_are_raised_later() {
    let mailbox = Mailbox::open();
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = Site::open_with(|options| {
        mailbox.options(options).setting("guestly_sync.base_url", &format!("http://{nowhere}/v1"))
    });
    site.sql(
        "CREATE FUNCTION full_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room for alerts'; END $$; \
         CREATE TRIGGER full_up BEFORE INSERT ON guestly.alerts FOR EACH ROW EXECUTE FUNCTION full_up()",
    );
    let ids = site.paid_bookings(8);
    let refused = || (site.log().contains("no room for alerts"), "it was not refused".to_owned());
    wait_until("the alert to be refused", SOON, refused);
    site.sql("DROP TRIGGER full_up ON guestly.alerts");
    let mail = mailbox.wait_for(1, LIMIT).remove(0);
    assert!(mail.subject.contains("Guestly cannot be reached, 8 bookings waiting"), "{}", mail.subject);
    site.alter_system("guestly_sync.base_url", &format!("{}/v1", site.sim.url()));
    site.wait_all_synced(LIMIT);
    let _ = mailbox.wait_for(2, LIMIT);
    site.assert_once_each(&ids);
}

#[test]
fn the_doctor_reports_unusable_mail_settings() {
    let mailbox = Mailbox::open();
    let site = Site::open_with(|options| mailbox.options(options));
    let wait = |status: &str, words: &str| {
        let query = format!(
            "SELECT status = '{status}' AND detail LIKE '%{words}%', status || ' ' || detail FROM guestly_doctor() WHERE check_name = 'mail'"
        );
        site.wait_for(words, SOON, &query);
        site.doctor("mail")[2].clone()
    };
    assert_eq!(wait("ok", "owner@example.org"), "");
    for (setting, bad, good, words) in [
        ("smtp_url", "mail.example.org:587", mailbox.url().as_str(), "smtp_url"),
        ("smtp_url", "smtp://desk:hunter22/@mail.example.org", mailbox.url().as_str(), "smtp_url"),
        ("alert_from", "Flat alerts", "alerts@example.org", "alert_from is not an e-mail address"),
        ("admin_email", "owner@example.org, unknown", "owner@example.org", "admin_email is not a list"),
    ] {
        let name = format!("guestly_sync.{setting}");
        site.alter_system(&name, bad);
        let fix = wait("fail", words);
        assert!(fix.contains(&format!("ALTER SYSTEM SET {name} = ")), "{fix}");
        assert!(fix.contains("SELECT pg_reload_conf();") && fix.contains("SELECT guestly_test_alert();"), "{fix}");
        let said: String = site.query_one("SELECT guestly_test_alert()");
        assert!(said.starts_with("refused: ") && said.contains(setting) && !said.contains("hunter22"), "{said}");
        site.alter_system(&name, good);
        assert_eq!(wait("ok", "owner@example.org"), "");
    }
    for (url, words) in [
        ("ftp://mail.example.org/emails", "email_api_url"),
        ("https://mail.example.org/emails", "email_api_key is empty"),
    ] {
        site.alter_system("guestly_sync.smtp_url", "");
        site.alter_system("guestly_sync.email_api_url", url);
        assert!(wait("fail", words).contains("ALTER SYSTEM SET guestly_sync.email_api_"), "{words}");
    }
    // The server itself logs the values of changed settings.
    let (log, ours) = (site.log(), |line: &&str| line.contains("WARNING") && line.contains("hunter22"));
    assert_eq!(log.lines().find(ours), None);
}

/// The only mail.
fn only(mailbox: &Mailbox) -> Mail {
    mailbox.wait_for(1, LIMIT).remove(0)
}

#[test]
fn a_booking_deleted_while_uncertain_is_named_in_a_mail() {
    let mailbox = Mailbox::open();
    let site = Site::open_with(|options| mailbox.options(options));
    let (gone, sentence) =
        ("7b1f0aa1-0000-4000-8000-00000000000d", "the booking was deleted while its outcome at Guestly was unknown");
    site.sql(&format!(
        "INSERT INTO guestly.alerts (kind, booking_id, reference, arrival, cause, sentence) \
         VALUES ('deleted', '{gone}', 'FLAT-000077', '2031-05-10', 'unknown_outcome:', '{sentence}')"
    ));
    // A new worker looks for waiting alerts.
    site.kill_worker(&site, "TERM");
    let mail = only(&mailbox);
    assert_eq!(
        mail.subject,
        "[Guestly] 1 booking deleted that Guestly has or may have: FLAT-000077, arriving 10 May 2031"
    );
    assert_eq!((mail.field("Problem").as_str(), mail.field("Booking id").as_str()), (sentence, gone));
    assert!(mail.field("What to do").contains("Look for it in Guestly under this reference"), "{}", mail.text);
    assert_eq!(mail.page()["commands"][0], format!("SELECT * FROM guestly_timeline('{gone}');"));
}

#[test]
fn a_copy_mails_nothing_before_it_is_armed() {
    let mailbox = Mailbox::open();
    let site = Site::open_with(|options| mailbox.options(options).setting("guestly_sync.poll_interval", "300ms"));
    site.sql("DELETE FROM guestly.listings; UPDATE guestly.installations SET system_identifier = 'another'");
    site.sql("INSERT INTO guestly.alerts (kind, cause, sentence) VALUES ('credentials', ':', 'of the original')");
    site.kill_worker(&site, "TERM");
    let looked = "SELECT status = 'warn' AND detail LIKE '%the database looks like a copy%' AND fix LIKE '%guestly_arm%', detail FROM guestly_doctor() WHERE check_name = 'alerts'";
    site.wait_for("the doctor to say so", SOON, looked);
    let said = || (site.log().contains("the database looks like a copy"), "nothing is said".to_owned());
    site.paid_booking();
    wait_until("the worker to sweep", SOON, said);
    assert!(
        mailbox.mails().is_empty() && site.query_one::<bool>("SELECT bool_and(mail_key IS NULL) FROM guestly.alerts")
    );
    site.sql("SELECT guestly_arm()");
    wait_until_mailed(&site);
    assert!(mailbox.mails().iter().any(|mail| mail.text.contains("of the original")));
}

#[test]
fn only_finished_alerts_are_pruned() {
    let site = Site::open_with(|options| options.setting("guestly_sync.log_retention", "3d"));
    site.sql(
        "INSERT INTO guestly.alerts (kind, cause, sentence, state, raised_at) \
         SELECT 'stale', ':', state || ' ' || days, state, now() - days * interval '1 day' \
         FROM unnest(ARRAY['sent', 'repeated', 'waiting']) AS state, unnest(ARRAY[2, 4]) AS days",
    );
    site.kill_worker(&site, "TERM");
    let left = "SELECT string_agg(sentence, ', ' ORDER BY sentence) = 'repeated 2, sent 2, waiting 2, waiting 4', \
                string_agg(sentence, ', ' ORDER BY sentence) FROM guestly.alerts";
    site.wait_for("the old rows to be pruned", SOON, left);
}

#[test]
fn a_hanging_mail_server_does_not_delay_a_stop() {
    for way_out in ["stop", "DROP EXTENSION guestly_sync", "DROP DATABASE neighbour"] {
        let mailbox = Mailbox::open_with(&["--mute"]);
        let site = Site::open_with(|options| mailbox.options(options).setting("guestly_sync.alert_digest", "1ms"));
        site.sql("CREATE DATABASE neighbour");
        site.sql("DELETE FROM guestly.listings");
        fail_one(&site);
        let _ = mailbox.wait_for(1, SOON);
        assert!(site.query_one::<bool>("SELECT bool_and(state = 'waiting' AND answer IS NULL) FROM guestly.alerts"));
        let began = Instant::now();
        if way_out == "stop" {
            site.stop(StopMode::Fast);
        } else {
            site.sql(way_out);
        }
        let took = began.elapsed();
        assert!(took < AT_ONCE, "{way_out} took {took:?}");
    }
}
