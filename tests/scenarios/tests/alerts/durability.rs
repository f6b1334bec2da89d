//! Alerts survive an unavailable mail server, a crash before or during delivery, and a server without mail settings.

use guestly_scenarios::{Mail, Mailbox, SOON, Site, StopMode, wait_until};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A site on which every booking fails without a call.
fn open(mailbox: &Mailbox, digest: &str) -> Site {
    let site = Site::open_with(|options| mailbox.options(options).setting("guestly_sync.alert_digest", digest));
    site.sql("DELETE FROM guestly.listings");
    site
}

/// Bookings that failed; gives their references.
fn fail(site: &Site, how_many: u32) -> Vec<String> {
    let ids = site.paid_bookings(how_many);
    site.wait_for_status(&ids, "failed");
    ids.iter().map(|id| site.code(id)).collect()
}

fn wait_until_mailed(site: &Site) {
    let left = "SELECT bool_and(state = 'sent'), string_agg(concat_ws(' ', state, mail_key, answer), '; ') FROM guestly.alerts";
    site.wait_for("every alert to be mailed", LIMIT, left);
}

/// The number of mails that mention this booking.
fn mails_about(mails: &[Mail], code: &str) -> usize {
    mails.iter().filter(|mail| mail.text.contains(code)).count()
}

#[test]
fn alerts_survive_an_outage_of_the_mail_server() {
    let mailbox = Mailbox::open();
    mailbox.close();
    let site = open(&mailbox, "300ms");
    let mut codes = fail(&site, 2);
    let tried =
        "SELECT bool_and(answer IS NOT NULL), string_agg(coalesce(answer, 'not tried'), '; ') FROM guestly.alerts";
    site.wait_for("a failed attempt", SOON, tried);
    codes.extend(fail(&site, 3));
    let doctor = site.query("SELECT status, detail FROM guestly_doctor() WHERE check_name = 'alerts'", &[]);
    let (status, detail): (String, String) = (doctor[0].get(0), doctor[0].get(1));
    assert!(status == "fail" && detail.starts_with("5 waiting to be mailed") && detail.contains("refused"), "{detail}");
    assert_eq!(site.query_one::<i64>("SELECT failed FROM guestly.status"), 5, "the worker continued");
    mailbox.open_again(&["--busy", "1"]);
    wait_until_mailed(&site);
    let mails = mailbox.mails();
    for code in &codes {
        assert_eq!(mails_about(&mails, code), 1, "{code}");
    }
    let answers: Vec<String> = site.query_all("SELECT DISTINCT answer FROM guestly.alerts");
    assert!(answers.iter().all(|answer| answer.starts_with("250 ")), "{answers:?}");
}

#[test]
fn an_alert_survives_a_crash_before_its_mail() {
    let mailbox = Mailbox::open();
    let site = open(&mailbox, "6s");
    let code = fail(&site, 1).remove(0);
    site.stop(StopMode::Immediate);
    assert!(mailbox.mails().is_empty(), "it was to wait for the digest");
    site.start_again();
    wait_until_mailed(&site);
    assert!(mailbox.wait_for(1, SOON)[0].subject.contains(&code));
}

#[test]
fn a_crash_during_delivery_repeats_a_mail_at_most_once() {
    let mailbox = Mailbox::open_with(&["--mute"]);
    let site = open(&mailbox, "300ms");
    let code = fail(&site, 1).remove(0);
    let first = mailbox.wait_for(1, SOON).remove(0);
    site.stop(StopMode::Immediate);
    mailbox.open_again(&[]);
    site.start_again();
    // A second alert must not change a mail that may have been delivered.
    let other = fail(&site, 1).remove(0);
    wait_until_mailed(&site);
    let mails = mailbox.mails();
    assert_eq!((mails_about(&mails, &code), mails_about(&mails, &other)), (2, 1));
    assert_eq!(mails[1].id, first.id, "a mail program must see that it is the same");
    assert!(!mails[1].text.contains(&other), "{}", mails[1].text);
}

#[test]
fn without_mail_alerts_are_logged() {
    let site = Site::open();
    site.sql("DELETE FROM guestly.listings");
    let code = fail(&site, 1).remove(0);
    wait_until("the line of the log", SOON, || (site.log().contains("GUESTLY-ALERT"), "no such line".to_owned()));
    let row: String = site.query_one("SELECT kind || ' ' || state || ' ' || booking_id FROM guestly.alerts");
    let id: String = site.query_one("SELECT id::text FROM bookings");
    assert_eq!(row, format!("booking_failed waiting {id}"));
    let doctor = site.query("SELECT status, detail, fix FROM guestly_doctor() WHERE check_name = 'mail'", &[]);
    let (status, detail, fix): (String, String, String) = (doctor[0].get(0), doctor[0].get(1), doctor[0].get(2));
    assert!(status == "warn" && detail.contains("not configured") && detail.contains("guestly.alerts"), "{detail}");
    assert!(fix.contains("guestly_sync.admin_email") && fix.contains("guestly_test_alert"), "{fix}");
    let refused = site.try_sql("SELECT guestly_test_alert()").unwrap_err();
    assert!(refused.starts_with("55000: alert mail is not configured") && refused.contains("smtp_url"), "{refused}");
    // Once mail is configured, waiting alerts are sent.
    let mailbox = Mailbox::open();
    for (name, value) in [("alert_digest", "300ms"), ("smtp_url", &mailbox.url()), ("admin_email", "owner@example.org")]
    {
        site.alter_system(&format!("guestly_sync.{name}"), value);
    }
    wait_until_mailed(&site);
    let mail = mailbox.wait_for(1, SOON).remove(0);
    assert!(mail.subject.contains(&code), "{}", mail.subject);
    assert_eq!(mail.sender, "owner@example.org", "without alert_from the sender is the recipient");
}
