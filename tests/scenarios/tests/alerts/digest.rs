//! Digests: alerts that come together make one mail, hundreds make at most three, urgent ones are not delayed, and an
//! unchanged cause is not repeated.

use guestly_scenarios::{Mailbox, SOON, Site, host, wait_until};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(90);

/// A site on which every booking fails without a call.
fn open(mailbox: &Mailbox, digest: &str) -> Site {
    let site = Site::open_with(|options| mailbox.options(options).setting("guestly_sync.alert_digest", digest));
    site.sql("DELETE FROM guestly.listings");
    site
}

fn wait_until_mailed(site: &Site) {
    let left = "SELECT count(*) FILTER (WHERE state = 'waiting') = 0, count(*) FILTER (WHERE state = 'waiting') || ' left' FROM guestly.alerts";
    site.wait_for("every alert to be mailed", LIMIT, left);
}

#[test]
fn five_hundred_failures_make_at_most_three_mails() {
    let mailbox = Mailbox::open();
    let site = open(&mailbox, "1s");
    let began = Instant::now();
    // In batches, so that there is always something new to mail.
    let ids: Vec<String> = (0..10).flat_map(|_| site.paid_bookings(50)).collect();
    let failed = "SELECT failed = 500, failed::text FROM guestly.status";
    site.wait_for("all to fail", LIMIT, failed);
    wait_until_mailed(&site);
    let mails = mailbox.mails();
    let minutes = 1 + began.elapsed().as_secs() / 60;
    assert!(mails.len() as u64 <= 3 * minutes, "{} mails in {minutes} minutes", mails.len());
    let codes: Vec<String> = site.query_all("SELECT booking_reference FROM bookings");
    assert_eq!((codes.len(), ids.len()), (500, 500));
    let pages: Vec<String> = mails.iter().map(|mail| mail.page().to_string()).collect();
    for code in &codes {
        let reported = mails.iter().filter(|mail| mail.text.contains(code.as_str())).count();
        assert_eq!(reported, 1, "{code} in the plain parts");
        assert!(pages.iter().any(|page| page.contains(code.as_str())), "{code} on a page");
    }
    let longest = mails.iter().max_by_key(|mail| mail.text.len()).unwrap();
    assert!(longest.subject.contains(" paid bookings could not be placed: "), "{}", longest.subject);
    assert!(longest.text.contains("SELECT guestly_retry_failed();"), "the way to retry them all is missing");
}

#[test]
fn an_imminent_arrival_sends_the_digest_at_once() {
    let mailbox = Mailbox::open();
    let site = open(&mailbox, "1h");
    let ids = host::make_bookings(&site, 3);
    host::pay(&site, &ids[..1]);
    site.wait_failed(&ids[0]);
    host::pay(&site, &ids[1..2]);
    site.wait_failed(&ids[1]);
    assert!(mailbox.mails().is_empty(), "no guest arrives soon");
    site.sql(&format!(
        "UPDATE bookings SET check_in_date = current_date + 1, check_out_date = current_date + 3 WHERE id = '{}'",
        ids[2]
    ));
    host::pay(&site, &ids[2..]);
    let mail = mailbox.wait_for(1, SOON).remove(0);
    let start = "[Guestly] URGENT: 3 paid bookings could not be placed: FLAT-000003, FLAT-000001 and 1 more";
    assert!(mail.subject.starts_with(start), "{}", mail.subject);
    let page = mail.page();
    assert_eq!(page["bookings"][0], "URGENT FLAT-000003", "{}", page["bookings"]);
    assert_eq!(page["bookings"].as_array().unwrap().len(), 3);
}

#[test]
fn an_unchanged_cause_is_not_mailed_again() {
    let mailbox = Mailbox::open();
    let site = open(&mailbox, "300ms");
    let id = site.paid_booking();
    site.wait_failed(&id);
    let _ = mailbox.wait_for(1, SOON);
    wait_until_mailed(&site);
    let tries = "SELECT count(*) FROM guestly.attempts WHERE outcome = 'refused'";
    let mut before: i64 = site.query_one(tries);
    for _ in 0..3 {
        assert_eq!(site.query_one::<i64>("SELECT guestly_retry_failed()"), 1);
        wait_until("another failure", SOON, || {
            let now: i64 = site.query_one(tries);
            let done = now > before;
            before = now.max(before);
            (done, now.to_string())
        });
        site.wait_for_state(&id, "failed", SOON);
    }
    let reported = "SELECT count(*) FROM guestly.alerts";
    assert_eq!((site.query_one::<i64>(reported), mailbox.mails().len()), (1, 1), "the same again");
    // A listing unknown to Guestly is another cause.
    site.sql("INSERT INTO guestly.listings SELECT slug, 'ffffffffffffffffffffffff' FROM properties");
    assert_eq!(site.query_one::<i64>("SELECT guestly_retry_failed()"), 1);
    let mails = mailbox.wait_for(2, SOON);
    assert!(mails[1].field("Problem") != mails[0].field("Problem"), "{}", mails[1].text);
    // After a day it is mailed again, though unchanged.
    wait_until_mailed(&site);
    site.sql("UPDATE guestly.alerts SET raised_at = raised_at - interval '25 hours', closed_at = closed_at - interval '25 hours'");
    assert_eq!(site.query_one::<i64>("SELECT guestly_retry_failed()"), 1);
    let _ = mailbox.wait_for(3, SOON);
}
