//! The text of alert mails: every field of the booking in both parts, no active content from a guest, no secret.

use guestly_scenarios::{Mail, Mailbox, SOON, Site, host};
use serde_json::json;

const LOGIN: &str = "mail-canary-55";
/// The allowed elements of a mail's HTML; all are passive.
const ELEMENTS: [&str; 13] =
    ["body", "code", "h2", "h3", "head", "html", "meta", "p", "table", "td", "th", "title", "tr"];

fn open(mailbox: &Mailbox) -> Site {
    let url = mailbox.url().replace("://", &format!("://desk:{LOGIN}@"));
    Site::open_with(|options| mailbox.options(options).setting("guestly_sync.smtp_url", &url))
}

/// Only harmless elements, and nothing outside of the escaped text.
fn assert_harmless(mail: &Mail) {
    let page = mail.page();
    for element in page["elements"].as_array().unwrap() {
        assert!(ELEMENTS.contains(&element.as_str().unwrap()), "{element}");
    }
    assert_eq!(page["attributes"], json!(["cellpadding", "charset", "lang", "style"]));
    let known = ["from", "to", "subject", "message-id", "auto-submitted", "date", "mime-version", "content-type"];
    for header in &mail.headers {
        let name = header.to_ascii_lowercase();
        assert!(known.contains(&name.as_str()) || name.starts_with("content-"), "{header}");
    }
    assert_eq!(mail.recipients, ["owner@example.org"]);
}

#[test]
fn both_parts_of_a_mail_contain_every_field() {
    let mailbox = Mailbox::open_with(&["--login", "desk", LOGIN]);
    let site = open(&mailbox);
    let id = host::make_bookings(&site, 2).remove(1);
    site.sql(&format!(
        "UPDATE bookings SET adults = 2, children = 1, infants = 1, check_in_date = '2031-05-10', \
         check_out_date = '2031-05-14', total = 420 WHERE id = '{id}'"
    ));
    let row = site.row(&id);
    // The worst answer: it repeats the token of the request.
    let earlier = site.query_one::<String>("SELECT id::text FROM bookings ORDER BY booking_reference LIMIT 1");
    host::pay(&site, std::slice::from_ref(&earlier));
    site.wait_synced(&earlier);
    let token: String = site.query_one("SELECT access_token FROM guestly.token");
    let words = format!("unfit for Bearer {token}");
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": {"kind": "status", "code": 400, "body": json!({"message": words}).to_string()}}));
    host::pay(&site, std::slice::from_ref(&id));
    site.wait_failed(&id);
    let mail = mailbox.wait_for(1, SOON).remove(0);
    let code = site.code(&id);
    assert_eq!(mail.subject, format!("[Guestly] 1 paid booking could not be placed: {code}, arriving 10 May 2031"));
    let page = mail.page();
    assert_eq!((&page["title"], &page["bookings"]), (&json!(mail.subject), &json!([code])));
    assert!(mail.text.contains(&format!("\n{code}\n")), "{}", mail.text);
    let name = format!("{} {}", row["guest_first_name"].as_str().unwrap(), row["guest_last_name"].as_str().unwrap());
    let slug = row["slug"].as_str().unwrap();
    for (label, value) in [
        ("Guest", name.as_str()),
        ("Phone", row["guest_phone"].as_str().unwrap()),
        ("Arrival", "Saturday, 10 May 2031"),
        ("Departure", "Wednesday, 14 May 2031"),
        ("Nights", "4"),
        ("Flat", slug),
        ("Guests", "3 (2 adults, 1 child, 1 infant)"),
        ("Amount", "420.00"),
        ("Payment", row["stripe_payment_intent_id"].as_str().unwrap()),
        ("Attempts", "1"),
        ("Booking id", id.as_str()),
    ] {
        assert_eq!(mail.field(label), value, "{label}");
    }
    let problem = mail.field("Problem");
    assert!(problem.contains("unfit") && problem.ends_with(" (refused)"), "{problem}");
    assert!(mail.field("Since").ends_with(" UTC") && !mail.field("What to do").is_empty());
    let line = format!("SELECT guestly_sync('{id}');");
    assert_eq!(page["commands"], json!([line, "SELECT * FROM guestly_doctor();"]));
    assert!(mail.text.contains(&format!("\n    {line}\n")), "{}", mail.text);
    site.sim.clear_faults();
    site.sql(&line);
    site.wait_synced(&id);
    assert_harmless(&mail);
    assert!(token.len() > 10, "{token}");
    for secret in [token.as_str(), "sim-secret", LOGIN] {
        let shown = [&mail.text, &mail.html, &mail.raw, &mail.subject].map(|part| part.contains(secret));
        assert_eq!(shown, [false; 4], "a secret in {}", mail.raw);
    }
}

#[test]
fn a_guest_cannot_write_headers_or_html() {
    let mailbox = Mailbox::open_with(&["--login", "desk", LOGIN]);
    let site = open(&mailbox);
    site.sql("DELETE FROM guestly.listings");
    let ids = host::make_bookings(&site, 3);
    for (id, first, last, code) in [
        (&ids[0], r#""><script>alert(1)</script>"#, "&amp; <b>", r#""><script>"#),
        (&ids[1], "Eve\r\nBcc: x@y.example", "\r\n\r\n<img src=x>", "BK-1\r\nBcc: x@y.example"),
        (&ids[2], "\u{202e}Eve\u{0007}", "==?utf-8?B?QmNj?=", "=?utf-8?B?QmNjOiB4QHkuZXhhbXBsZQ==?="),
    ] {
        let query = "UPDATE bookings SET guest_first_name = $2, guest_last_name = $3, booking_reference = $4, \
                     guest_phone = $2 WHERE id = $1::text::uuid RETURNING 1";
        site.query(query, &[id, &first, &last, &code]);
    }
    // One by one: a subject names references only if there are few.
    for (number, id) in ids.iter().enumerate() {
        host::pay(&site, std::slice::from_ref(id));
        site.wait_failed(id);
        let mail = mailbox.wait_for(number + 1, SOON).remove(number);
        assert_harmless(&mail);
        assert!(!mail.subject.contains(['\r', '\n']), "{:?}", mail.subject);
        assert!(!mail.raw.to_lowercase().lines().any(|line| line.starts_with("bcc:")), "{}", mail.raw);
        assert!(!mail.html.contains("<script") && !mail.html.contains("<img"), "{}", mail.html);
        assert_eq!(mail.page()["commands"][0], format!("SELECT guestly_sync('{id}');"));
        let guest = mail.field("Guest");
        let expected = ["\"><script>alert(1)</script> &amp; <b>", "Eve Bcc: x@y.example <img src=x>"];
        assert!(expected.get(number).is_none_or(|expected| guest == *expected), "{guest}");
    }
}
