//! Unit tests of `alert::digest`: every field of a mail in both parts, and escaping of a guest's text.

use chrono::NaiveDate;
use proptest::prelude::*;

use super::*;
use crate::domain::alert::Outage;
use crate::domain::error::ErrorClass;

fn now() -> DateTime<Utc> {
    "2027-05-07T10:00:00Z".parse().unwrap()
}

fn day(text: &str) -> Option<NaiveDate> {
    Some(text.parse().unwrap())
}

fn known() -> AlertBooking {
    AlertBooking {
        booking_id: "3b1f0aa1-0000-4000-8000-000000000001".to_owned(),
        reference: Some("BK-0000123".to_owned()),
        guest: Some("Ada Muster".to_owned()),
        phone: Some("+49 30 5550123".to_owned()),
        check_in: day("2027-05-10"),
        check_out: day("2027-05-14"),
        flat: Some("mitte-loft".to_owned()),
        adults: Some(2),
        children: 1,
        infants: 1,
        amount: Some("420.00 EUR".to_owned()),
        payment_reference: Some("pi_test_123".to_owned()),
        class: Some(ErrorClass::DatesTaken),
        problem: Some("Guestly refused the dates: not available".to_owned()),
        since: Some("2027-05-07T09:30:00Z".parse().unwrap()),
        attempts: 2,
        conflict: Some("reservation GY-77, 9 May to 12 May".to_owned()),
        ..AlertBooking::default()
    }
}

fn alert(id: i64, kind: AlertKind, booking: Option<AlertBooking>) -> Alert {
    let sentence = "Something is wrong".to_owned();
    Alert { id, kind, created_at: now(), booking, sentence, outage: None, arrivals: Vec::new() }
}

fn mail(alerts: &[Alert]) -> Mail {
    digest(alerts, now(), None).unwrap()
}

/// The text of the HTML. Fails if it is not well-formed: an unclosed tag, a bare `<` or `&`.
fn shown(html: &str) -> String {
    let mut open: Vec<&str> = Vec::new();
    let mut text = String::new();
    let mut rest = html.strip_prefix("<!DOCTYPE html>").unwrap();
    while let Some((before, from)) = rest.split_once('<') {
        text.push_str(before);
        let (tag, after) = from.split_once('>').unwrap();
        rest = after;
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        assert!(
            ["html", "head", "meta", "title", "body", "h2", "h3", "p", "table", "tr", "th", "td", "code"]
                .contains(&name),
            "<{tag}>"
        );
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name)),
            (false, true) => {}
            (false, false) => open.push(name),
        }
        text.push(' ');
    }
    text.push_str(rest);
    assert!(open.is_empty() && !text.contains('>'), "{open:?}");
    for entity in text.split('&').skip(1) {
        assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|name| entity.starts_with(name)), "&{entity}");
    }
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

#[test]
fn one_failed_booking_with_everything_in_both_parts() {
    let mail = mail(&[alert(1, AlertKind::DatesTaken, Some(known()))]);
    assert_eq!(mail.subject, "[Guestly] 1 paid booking could not be placed: BK-0000123, arriving 10 May");
    for part in [mail.text.clone(), shown(&mail.html)] {
        for field in [
            "BK-0000123",
            "Ada Muster",
            "+49 30 5550123",
            "Monday, 10 May 2027",
            "Friday, 14 May 2027",
            "mitte-loft",
            "3 (2 adults, 1 child, 1 infant)",
            "420.00 EUR",
            "pi_test_123",
            "Guestly refused the dates: not available (dates_taken)",
            "reservation GY-77, 9 May to 12 May",
            "7 May 2027 09:30 UTC",
            "3b1f0aa1-0000-4000-8000-000000000001",
            "SELECT guestly_sync('3b1f0aa1-0000-4000-8000-000000000001');",
            "Look at the calendar in Guestly",
        ] {
            assert!(part.contains(field), "{field} in {part}");
        }
    }
    assert!(mail.text.contains("  Nights:      4\n") && mail.text.contains("  Attempts:    2\n"), "{}", mail.text);
    assert!(mail.text.contains("\n    SELECT guestly_sync('"), "on a line of its own: {}", mail.text);
}

#[test]
fn a_subject_summarises_the_bookings() {
    let named = |id: i64, name: &str, first: &str| {
        let booking = AlertBooking { reference: Some(name.to_owned()), check_in: day(first), ..known() };
        alert(id, AlertKind::BookingFailed, Some(booking))
    };
    let subject = |alerts: &[Alert], site| digest(alerts, now(), site).unwrap().subject;
    let three = [named(1, "BK-3", "2028-01-02"), named(2, "BK-1", "2027-05-20"), named(3, "BK-2", "2027-05-21")];
    assert_eq!(
        subject(&three, None),
        "[Guestly] 3 paid bookings could not be placed: BK-1, BK-2 and 1 more, first arrival 20 May"
    );
    assert_eq!(
        subject(&three[..1], Some("staging")),
        "[Guestly staging] 1 paid booking could not be placed: BK-3, arriving 2 Jan 2028"
    );
    let urgent = [named(1, "BK-1", "2027-05-08"), alert(2, AlertKind::Credentials, None)];
    assert_eq!(
        subject(&urgent, None),
        "[Guestly] URGENT: 1 paid booking could not be placed: BK-1, arriving 8 May, and 1 more alert"
    );
    let unnamed = AlertBooking { reference: None, check_in: None, ..known() };
    assert_eq!(
        subject(&[alert(1, AlertKind::Stale, Some(unnamed))], None),
        "[Guestly] 1 paid booking not placed yet: 3b1f0aa1-0000-4000-8000-000000000001"
    );
    assert_eq!(
        subject(&[alert(1, AlertKind::BookingFailed, None)], None),
        "[Guestly] 1 paid booking could not be placed: see the mail"
    );
}

#[test]
fn an_outage_lists_the_arrivals() {
    let since = "2027-05-07T08:15:00Z".parse().unwrap();
    let mut outage = alert(1, AlertKind::Outage, None);
    outage.outage = Some(Outage { since, until: None, waiting: 12 });
    outage.arrivals = vec![AlertBooking { check_in: day("2027-05-08"), ..known() }];
    let mail = mail(&[outage]);
    assert_eq!(mail.subject, "[Guestly] Guestly cannot be reached, 12 bookings waiting, since 7 May 2027 08:15 UTC");
    for part in [mail.text, shown(&mail.html)] {
        for field in
            ["12 bookings", "8 May 2027 to 14 May 2027", "BK-0000123", "Ada Muster", "+49 30 5550123", "mitte-loft"]
        {
            assert!(part.contains(field), "{field} in {part}");
        }
    }
    let mut back = alert(2, AlertKind::Recovered, None);
    for (waiting, end) in [(0, "all bookings are placed"), (1, "1 booking could not be placed")] {
        back.outage = Some(Outage { since, until: Some(now()), waiting });
        let mail = digest(std::slice::from_ref(&back), now(), None).unwrap();
        assert_eq!(mail.subject, format!("[Guestly] Guestly is back, {end}"));
        assert!(mail.text.contains("7 May 2027 10:00 UTC"), "{}", mail.text);
    }
}

#[test]
fn arrivals_show_if_guestly_has_them() {
    let booking = |name: &str, placed| AlertBooking { reference: Some(name.to_owned()), placed, ..known() };
    let mut outage = alert(1, AlertKind::Outage, None);
    outage.arrivals = vec![booking("BK-1", true), booking("BK-2", false)];
    let text = mail(&[outage]).text;
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("BK-1").ends_with(" | yes") && line("BK-2").ends_with(" | no"), "{text}");
}

#[test]
fn a_deleted_booking_is_not_offered_to_be_sent() {
    let booking = AlertBooking {
        booking_id: "17".to_owned(),
        reference: Some("BK-9".to_owned()),
        check_in: day("2027-05-20"),
        gone: true,
        ..AlertBooking::default()
    };
    let deleted = mail(&[alert(1, AlertKind::Deleted, Some(booking.clone()))]);
    assert_eq!(deleted.subject, "[Guestly] 1 booking deleted that Guestly has or may have: BK-9, arriving 20 May");
    for part in [deleted.text.clone(), shown(&deleted.html)] {
        for words in
            ["was deleted that Guestly has", "BK-9", "Something is wrong", "SELECT * FROM guestly_timeline('17');"]
        {
            assert!(part.contains(words), "{words} in {part}");
        }
    }
    let failed = mail(&[alert(1, AlertKind::BookingFailed, Some(booking))]).text;
    assert!(!deleted.text.contains("guestly_sync('") && !failed.contains("guestly_sync('"), "{failed}");
    assert!(failed.contains("has been deleted"), "{failed}");
}

#[test]
fn a_mail_about_500_bookings_names_them_all() {
    let start: NaiveDate = "2027-05-09".parse().unwrap();
    let alerts: Vec<Alert> = (0..500_u32)
        .map(|n| {
            let check_in = start.checked_add_days(chrono::Days::new(u64::from(500 - n)));
            let reference = Some(format!("BK-{n:04}"));
            alert(n.into(), AlertKind::BookingFailed, Some(AlertBooking { reference, check_in, ..known() }))
        })
        .collect();
    let mail = mail(&alerts);
    let page = shown(&mail.html);
    for n in 0..500 {
        let name = format!("BK-{n:04}");
        assert!(mail.text.contains(&name) && page.contains(&name), "{name}");
    }
    assert!(mail.text.find("BK-0499") < mail.text.find("BK-0498"));
    assert!(mail.text.contains("And 450 more") && mail.text.contains("SELECT guestly_retry_failed();"));
    assert!(mail.text.len() < 200_000 && mail.html.len() < 400_000, "{} {}", mail.text.len(), mail.html.len());
}

#[test]
fn a_guest_cannot_inject_anything() {
    let evil = "\"><script>alert(1)</script>\r\nBcc: x@y\u{0}\u{202e}\n.\r\nURGENT: none";
    let text = || Some(evil.to_owned());
    let booking = AlertBooking {
        booking_id: "x'); DROP TABLE bookings; --".to_owned(),
        reference: text(),
        guest: text(),
        phone: text(),
        flat: text(),
        amount: text(),
        payment_reference: text(),
        problem: text(),
        conflict: text(),
        ..known()
    };
    let mut outage = alert(2, AlertKind::Outage, None);
    outage.arrivals = vec![booking.clone()];
    outage.sentence = evil.to_owned();
    let mail = digest(&[alert(1, AlertKind::BookingFailed, Some(booking)), outage], now(), Some(evil)).unwrap();
    assert!(!mail.subject.contains(['\r', '\n', '\0', '\u{202e}']), "{:?}", mail.subject);
    assert!(!mail.html.contains("<script"));
    assert!(shown(&mail.html).contains("\"><script>alert(1)</script> Bcc: x@y . URGENT: none"));
    assert!(mail.text.lines().all(|line| !line.trim_start().starts_with("Bcc:") && line != "."), "{}", mail.text);
    assert!(mail.text.contains("SELECT guestly_sync('x''); DROP TABLE bookings; --');"));
}

#[test]
fn a_key_that_cannot_be_typed_is_not_offered_for_typing() {
    let booking = AlertBooking { booking_id: "a\nb".to_owned(), ..known() };
    let mail = mail(&[alert(1, AlertKind::BookingFailed, Some(booking))]);
    assert!(!mail.text.contains("guestly_sync('a") && mail.text.contains("SELECT * FROM guestly.queue"));
}

#[test]
fn a_digest_needs_an_alert() {
    let test = test_mail(now(), Some("prod"));
    assert_eq!(test.subject, "[Guestly] Test: alerts of prod arrive");
    assert!(shown(&test.html).contains("Nothing is wrong"));
    assert_eq!(digest(&[], now(), None), None);
}

proptest! {
    #[test]
    fn any_text_gives_a_well_formed_mail(
        texts in proptest::collection::vec("\\PC*|[<>&\"'\\r\\n\\x00;a]*", 6),
        kind in 0..AlertKind::ALL.len(),
        site in proptest::option::of("\\PC*"),
    ) {
        let mut booking = known();
        booking.booking_id = texts[0].clone();
        booking.reference = Some(texts[1].clone());
        booking.guest = Some(texts[2].clone());
        booking.problem = Some(texts[3].clone());
        booking.conflict = Some(texts[4].clone());
        let mut alert = alert(1, AlertKind::ALL[kind], Some(booking.clone()));
        alert.sentence = texts[5].clone();
        alert.arrivals = vec![booking];
        let mail = digest(&[alert], now(), site.as_deref()).unwrap();
        shown(&mail.html);
        prop_assert!(!mail.subject.contains(char::is_control) && mail.subject.chars().count() <= 160);
        prop_assert!(mail.subject.starts_with("[Guestly"));
        prop_assert!(!mail.text.contains(['\r', '\0']));
    }
}

#[test]
fn a_failed_change_is_not_reported_as_a_missing_booking() {
    let placed = || Some(AlertBooking { placed: true, ..known() });
    let change = mail(&[alert(1, AlertKind::BookingFailed, placed())]);
    assert_eq!(change.subject, "[Guestly] 1 booking could not be changed: BK-0000123, arriving 10 May");
    assert!(change.text.contains("A booking could not be changed in Guestly"), "{}", change.text);
    let both = mail(&[alert(1, AlertKind::BookingFailed, placed()), alert(2, AlertKind::DatesTaken, Some(known()))]);
    assert!(both.subject.contains("2 bookings could not be placed or changed: "), "{}", both.subject);
    assert!(both.text.contains("Bookings could not be placed or changed in Guestly"), "{}", both.text);
}
