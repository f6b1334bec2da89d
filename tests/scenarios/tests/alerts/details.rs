//! Details that a mail adds to the booking: the conflicting reservation, arrivals during an outage, bookings that failed in
//! one, and credentials that fail again.

use guestly_scenarios::{Mail, Mailbox, Options, SOON, Site, host};
use std::net::TcpListener;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn open(mailbox: &Mailbox, more: impl FnOnce(Options) -> Options) -> Site {
    Site::open_with(|options| more(mailbox.options(options).setting("guestly_sync.poll_interval", "300ms")))
}

fn last(mailbox: &Mailbox, count: usize) -> Mail {
    mailbox.wait_for(count, LIMIT).remove(count - 1)
}

fn set_stay(site: &Site, id: &str, first: &str, last: &str) {
    site.sql(&format!("UPDATE bookings SET check_in_date = {first}, check_out_date = {last} WHERE id = '{id}'"));
}

#[test]
fn a_taken_dates_mail_names_the_conflicting_reservation() {
    let mailbox = Mailbox::open();
    let site = open(&mailbox, |options| options);
    // Three consecutive bookings are for three flats.
    let ids = host::make_bookings(&site, 4);
    let (earlier, later, alone) = (&ids[0], &ids[3], &ids[1]);
    assert_eq!(site.row(earlier)["slug"], site.row(later)["slug"]);
    set_stay(&site, earlier, "'2031-05-08'", "'2031-05-12'");
    set_stay(&site, later, "'2031-05-10'", "'2031-05-14'");
    host::pay(&site, std::slice::from_ref(earlier));
    site.wait_synced(earlier);
    let conflict =
        serde_json::json!({"match": {"operation": "create"}, "effect": {"kind": "calendar_conflict", "status": 409}});
    site.sim.fault(conflict);
    host::pay(&site, std::slice::from_ref(later));
    let error = site.wait_failed(later);
    assert!(error.starts_with("dates_taken: "), "{error}");
    let mail = last(&mailbox, 1);
    let (id, code) = (site.booking(earlier).reservation.unwrap(), site.code(earlier));
    assert_eq!(mail.field("Conflict"), format!("reservation {id}, code {code}, 8 May 2031 to 12 May 2031"));
    assert!(mail.field("What to do").contains("calendar in Guestly"), "{}", mail.text);
    host::pay(&site, std::slice::from_ref(alone));
    site.wait_failed(alone);
    let mail = last(&mailbox, 2);
    assert!(mail.field("Conflict").contains("no reservation that was sent from here"), "{}", mail.text);
}

#[test]
fn an_outage_mail_lists_arrivals_of_the_next_48_hours() {
    let mailbox = Mailbox::open();
    let site = open(&mailbox, |options| options);
    let ids = host::make_bookings(&site, 12);
    let (held, canceled, past) = (&ids[0], &ids[1], &ids[2]);
    set_stay(&site, held, "current_date + 1", "current_date + 3");
    set_stay(&site, canceled, "current_date + 1", "current_date + 3");
    host::pay(&site, &ids[..3]);
    site.wait_for_status(&ids[..3], "synced");
    set_stay(&site, past, "current_date - 9", "current_date - 5");
    site.sql(&format!("UPDATE bookings SET status = 'cancelled' WHERE id = '{canceled}'"));
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    site.alter_system("guestly_sync.base_url", &format!("http://{nowhere}/v1"));
    set_stay(&site, &ids[3], "current_date", "current_date + 2");
    host::pay(&site, &ids[3..]);
    site.wait_for(
        "the outage",
        LIMIT,
        "SELECT count(*) = 1, '' FROM guestly.alerts WHERE kind = 'outage' AND state = 'sent'",
    );
    let mail = mailbox.mails().into_iter().find(|mail| mail.text.contains("cannot be reached")).unwrap();
    let page = mail.page();
    let rows: Vec<String> = page["rows"].as_array().unwrap().iter().skip(1).map(ToString::to_string).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].contains(&site.code(&ids[3])) && rows[0].ends_with("\"no\"]"), "{rows:?}");
    assert!(rows[1].contains(&site.code(held)) && rows[1].ends_with("\"yes\"]"), "{rows:?}");
    // A listing is removed during the outage.
    let slug = site.row(&ids[3])["slug"].as_str().unwrap().to_owned();
    site.sql(&format!("DELETE FROM guestly.listings WHERE property = '{slug}'"));
    site.alter_system("guestly_sync.base_url", &format!("{}/v1", site.sim.url()));
    site.wait_for(
        "its end",
        LIMIT,
        "SELECT count(*) = 1, '' FROM guestly.alerts WHERE kind = 'recovered' AND state = 'sent'",
    );
    let failed: i64 = site.query_one("SELECT failed FROM guestly.status");
    assert!(failed > 0, "those of the flat without a listing");
    let back = mailbox.mails().into_iter().find(|mail| mail.text.contains("Guestly is back")).unwrap();
    let (bookings, page) = (format!("{failed} booking{}", if failed == 1 { "" } else { "s" }), back.page());
    let reported = page["fields"].as_array().unwrap().iter().any(|row| row[0] == "Not placed" && row[1] == bookings);
    assert!(reported && back.text.contains(&format!("Not placed:  {bookings}\n")), "{}", back.text);
}

#[test]
fn credentials_that_fail_again_are_mailed_again() {
    let mailbox = Mailbox::open();
    let site = open(&mailbox, |options| options.setting("guestly_sync.client_secret", "mistyped"));
    let raised = |count: i64| {
        let query = format!(
            "SELECT count(*) FILTER (WHERE state = 'sent') = {count}, count(*)::text FROM guestly.alerts WHERE kind = 'credentials'"
        );
        site.wait_for("the alert to be mailed", LIMIT, &query);
    };
    let first = site.paid_booking();
    raised(1);
    // A new worker knows that it was mailed.
    site.kill_worker(&site, "TERM");
    site.wait_for_worker(&site);
    let second = site.paid_booking();
    site.wait_for("both to wait", SOON, "SELECT ready = 2, ready::text FROM guestly.status");
    site.alter_system("guestly_sync.client_secret", "sim-secret");
    site.wait_for_status(&[first, second], "synced");
    assert_eq!(mailbox.mails().len(), 1, "mailed once");
    site.alter_system("guestly_sync.client_secret", "mistyped again");
    site.paid_booking();
    raised(2);
    let mail = last(&mailbox, 2);
    assert!(mail.subject.contains("does not accept the credentials") && !mail.raw.contains("mistyped"), "{}", mail.raw);
}
