//! Causes of alerts, each as a row, a mail and a notification: failures, taken dates, duplicate reservations, stale
//! bookings, outages and their end, refused credentials, the last token of the day.

use guestly_scenarios::{Mailbox, Options, SOON, Site, host};
use postgres::fallible_iterator::FallibleIterator;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

fn open(mailbox: &Mailbox, more: impl FnOnce(Options) -> Options) -> Site {
    Site::open_with(|options| more(mailbox.options(options).setting("guestly_sync.poll_interval", "300ms")))
}

/// A session that listens as the documented example does.
struct Listener(postgres::Client);

impl Listener {
    fn new(site: &Site) -> Self {
        let mut client = site.client();
        client.batch_execute("LISTEN guestly_sync").unwrap();
        Self(client)
    }

    /// The next `count` notifications, each with its booking, oldest first.
    #[track_caller]
    fn hear(&mut self, count: usize) -> Vec<Value> {
        let (mut heard, until) = (Vec::new(), Instant::now() + SOON);
        while heard.len() < count && Instant::now() < until {
            let mut notifications = self.0.notifications();
            let mut waiting = notifications.timeout_iter(Duration::from_millis(200));
            while let Some(notification) = waiting.next().unwrap() {
                assert_eq!(notification.channel(), "guestly_sync");
                heard.push(serde_json::from_str(notification.payload()).unwrap());
            }
        }
        assert_eq!(heard.len(), count, "{heard:?}");
        heard
    }
}

/// Makes a booking whose guest arrives tomorrow; gives id and reference.
fn arriving_tomorrow(site: &Site) -> (String, String) {
    let id = host::make_bookings(site, 1).remove(0);
    site.sql(&format!(
        "UPDATE bookings SET check_in_date = current_date + 1, check_out_date = current_date + 3 WHERE id = '{id}'"
    ));
    let code = site.code(&id);
    (id, code)
}

/// All alerts so far, with their states.
fn kinds(site: &Site) -> Vec<String> {
    site.query_all("SELECT kind FROM guestly.alerts ORDER BY id")
}

#[test]
fn each_failure_is_mailed_once() {
    let mailbox = Mailbox::open();
    let site = open(&mailbox, |options| {
        // The reservation in Guestly has another price.
        options.setting("guestly_sync.alert_digest", "4s").setting("guestly_sync.price_tolerance", "1000000")
    });
    let ids = host::make_bookings(&site, 3);
    let codes: Vec<String> = ids.iter().map(|id| site.code(id)).collect();
    site.sql("DELETE FROM guestly.listings WHERE property = 'roof-studio'");
    let slugs: Vec<Value> = ids.iter().map(|id| site.row(id)["slug"].clone()).collect();
    let of = |slug: &str| slugs.iter().position(|known| known == slug).unwrap();
    let (failing, taken, doubled) = (of("roof-studio"), of("canal-loft"), of("garden-flat"));
    site.sim.fault(json!({"match": {"operation": "create", "body_contains": codes[taken]}, "effect": {"kind": "calendar_conflict", "status": 409}}));
    site.sim.fault(json!({"match": {"operation": "create", "body_contains": codes[doubled]}, "effect": {"kind": "drop_before_accept"}}));
    let row = site.row(&ids[doubled]);
    for _ in 0..2 {
        site.sim.post(
            "foreign-reservation",
            &json!({
                "confirmationCode": codes[doubled], "originId": ids[doubled], "listingId": host::LISTINGS[1].1,
                "checkInDateLocalized": row["check_in_date"], "checkOutDateLocalized": row["check_out_date"],
            }),
        );
    }
    let mut listener = Listener::new(&site);
    host::pay(&site, &ids);
    let heard = listener.hear(3);
    let reported = |kind: &str| heard.iter().find(|note| note["kind"] == kind).unwrap_or_else(|| panic!("{heard:?}"));
    let about = |number: usize| (json!(ids[number]), json!(codes[number]));
    for (kind, class, number) in [("booking_failed", "unknown_listing", failing), ("dates_taken", "dates_taken", taken)]
    {
        assert_eq!(reported(kind)["class"], class);
        assert_eq!((reported(kind)["booking_id"].clone(), reported(kind)["reference"].clone()), about(number));
    }
    let note = reported("two_reservations");
    assert_eq!((note["booking_id"].clone(), note["reference"].clone()), about(doubled));
    let mail = mailbox.wait_for(1, LIMIT).remove(0);
    assert!(mail.subject.starts_with("[Guestly] 2 paid bookings could not be placed: "), "{}", mail.subject);
    assert!(mail.subject.ends_with(", and 1 more alert"), "{}", mail.subject);
    let page = mail.page();
    assert_eq!(
        page["headings"],
        json!(["Paid bookings could not be placed in Guestly", "Guestly has two reservations for one booking"])
    );
    for code in &codes {
        assert!(mail.text.contains(code) && page["bookings"].to_string().contains(code), "{code}");
    }
    for words in ["(dates_taken)", "(unknown_listing)", "2 reservations", "cancel the duplicate"] {
        assert!(mail.text.contains(words), "{words} in {}", mail.text);
    }
}

#[test]
fn a_stale_booking_raises_an_alert_while_paused() {
    let mailbox = Mailbox::open();
    let site = open(&mailbox, |options| options.setting("guestly_sync.stale_after", "1s"));
    site.sql("SELECT guestly_pause('maintenance')");
    let mut listener = Listener::new(&site);
    let (id, code) = (site.paid_booking(), "FLAT-000001");
    let note = listener.hear(1).remove(0);
    assert_eq!((&note["kind"], &note["booking_id"], &note["reference"]), (&json!("stale"), &json!(id), &json!(code)));
    let mail = mailbox.wait_for(1, LIMIT).remove(0);
    assert!(
        mail.subject.starts_with(&format!("[Guestly] 1 paid booking not placed yet: {code}, arriving")),
        "{}",
        mail.subject
    );
    assert!(mail.field("Problem").contains("still queued"), "{}", mail.text);
    site.sql("SELECT guestly_resume()");
    site.wait_synced(&id);
    assert_eq!(kinds(&site), ["stale"], "mailed once");
}

#[test]
fn a_stale_booking_arriving_tomorrow_is_mailed_at_once() {
    let mailbox = Mailbox::open();
    let settings =
        |options: Options| options.setting("guestly_sync.stale_after", "1s").setting("guestly_sync.alert_digest", "1h");
    let site = open(&mailbox, settings);
    site.sql("SELECT guestly_pause('maintenance')");
    let ids = host::make_bookings(&site, 2);
    host::pay(&site, &ids[..1]);
    site.wait_for("the first alert", SOON, "SELECT count(*) = 1, count(*)::text FROM guestly.alerts");
    assert!(mailbox.mails().is_empty(), "no guest arrives soon");
    site.update(&ids[1], "check_in_date = current_date + 1, check_out_date = current_date + 3");
    host::pay(&site, &ids[1..]);
    let mail = mailbox.wait_for(1, LIMIT).remove(0);
    let start = "[Guestly] URGENT: 2 paid bookings not placed yet: FLAT-000002, FLAT-000001";
    assert!(mail.subject.starts_with(start), "{}", mail.subject);
}

#[test]
fn an_outage_is_one_mail_at_each_end() {
    let mailbox = Mailbox::open();
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = open(&mailbox, |options| options.setting("guestly_sync.base_url", &format!("http://{nowhere}/v1")));
    let (soon, code) = arriving_tomorrow(&site);
    let mut ids = host::make_bookings(&site, 8);
    ids.push(soon);
    host::pay(&site, &ids);
    let mail = mailbox.wait_for(1, LIMIT).remove(0);
    let subject = &mail.subject;
    assert!(subject.contains("Guestly cannot be reached, 9 bookings waiting, since "), "{subject}");
    assert_eq!((mail.field("Waiting").as_str(), mail.field("Since").is_empty()), ("9 bookings", false));
    let page = mail.page();
    assert_eq!(page["rows"].as_array().unwrap().len(), 2, "a header and one arrival: {}", page["rows"]);
    for guest in ["Ada Example", "+49 30 23125000", code.as_str()] {
        assert!(page["rows"][1].to_string().contains(guest) && mail.text.contains(guest), "{guest} in {}", mail.text);
    }
    // The outage continues without another mail.
    let tries = "SELECT count(*) FROM guestly.attempts WHERE outcome = 'not_sent'";
    let before: i64 = site.query_one(tries);
    site.wait_for("another probe", SOON, &format!("SELECT ({tries}) > {before}, ''"));
    site.alter_system("guestly_sync.base_url", &format!("{}/v1", site.sim.url()));
    site.wait_all_synced(LIMIT);
    let mail = mailbox.wait_for(2, LIMIT).remove(1);
    assert_eq!(mail.subject, "[Guestly] Guestly is back, all bookings are placed");
    assert!(!mail.field("Until").is_empty() && mail.text.contains("answers again"), "{}", mail.text);
    assert_eq!(kinds(&site), ["outage", "recovered"]);
    site.assert_once_each(&ids);
}

#[test]
fn an_outage_across_a_crash_is_mailed_once() {
    let mailbox = Mailbox::open();
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = open(&mailbox, |options| options.setting("guestly_sync.base_url", &format!("http://{nowhere}/v1")));
    site.paid_bookings(8);
    let _ = mailbox.wait_for(1, LIMIT);
    site.wait_for(
        "the answer to be recorded",
        SOON,
        "SELECT bool_and(state = 'sent'), string_agg(state, ' ') FROM guestly.alerts",
    );
    site.stop(guestly_scenarios::StopMode::Immediate);
    site.start_again();
    let tries = "SELECT count(*) FROM guestly.attempts WHERE outcome = 'not_sent'";
    let before: i64 = site.query_one(tries);
    site.wait_for("another attempt", LIMIT, &format!("SELECT ({tries}) > {before}, ''"));
    site.alter_system("guestly_sync.base_url", &format!("{}/v1", site.sim.url()));
    site.wait_all_synced(LIMIT);
    let _ = mailbox.wait_for(2, LIMIT);
    assert_eq!(kinds(&site), ["outage", "recovered"]);
}

#[test]
fn refused_or_missing_credentials_are_mailed_once() {
    for (secret, sentence) in [("mistyped", "Guestly rejected the API keys"), ("", "no API credentials were found")] {
        let mailbox = Mailbox::open();
        let site = open(&mailbox, |options| options.setting("guestly_sync.client_secret", secret));
        let (soon, code) = arriving_tomorrow(&site);
        host::pay(&site, std::slice::from_ref(&soon));
        let mail = mailbox.wait_for(1, LIMIT).remove(0);
        assert!(mail.subject.contains("Guestly does not accept the credentials, bookings wait"), "{}", mail.subject);
        assert!(mail.text.contains(sentence) && mail.text.contains(&code), "{}", mail.text);
        assert!(!mail.raw.contains("mistyped"));
        let others = site.paid_bookings(2);
        site.wait_for("them to wait", SOON, "SELECT ready = 3, ready::text FROM guestly.status");
        assert_eq!(kinds(&site), ["credentials"]);
        site.alter_system("guestly_sync.client_secret", "sim-secret");
        site.wait_for_status(&[vec![soon], others].concat(), "synced");
        assert_eq!(kinds(&site)[0], "credentials");
    }
}

#[test]
fn the_last_token_of_the_day_raises_an_alert() {
    let mailbox = Mailbox::open();
    let site = open(&mailbox, |options| options);
    site.sim.fault(json!({"match": {"operation": "token"}, "effect": {"kind": "rate_limit", "retry_after": "1800"}}));
    site.paid_bookings(1);
    let mail = mailbox.wait_for(1, LIMIT).remove(0);
    assert!(mail.subject.contains("Guestly gives no more tokens today, bookings wait"), "{}", mail.subject);
    assert!(mail.text.contains("No guest arrives within the next 48 hours"), "{}", mail.text);
    assert_eq!(kinds(&site), ["token_cap"]);
}
