//! Content of a mail, read back with another library from what a mail server received. Run by cargo test.

use mail_parser::{MessageParser, MimeHeaders};

use super::fake_smtp::FakeSmtp;
use super::smtp_tests::{mail, send, to};
use crate::domain::alert::Mail;

/// The mail as the server received it, after one mail was sent.
fn received(sent: &Mail, key: &str) -> String {
    let server = FakeSmtp::start(|_| None);
    send(&to(&server, ""), sent, key);
    server.mails().remove(0)
}

#[test]
fn mail_is_sent_in_short_ascii_lines() {
    let raw = received(&mail(), "k");
    assert!(raw.is_ascii() && raw.lines().all(|line| line.len() <= 998));
}

#[test]
fn headers_of_a_mail_are_complete() {
    let raw = received(&mail(), "guestly-1-2");
    let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();
    assert_eq!(parsed.subject(), Some(mail().subject.as_str()));
    assert_eq!(parsed.message_id(), Some("guestly-1-2@example.org"));
    assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some("Guestly alerts"));
    let recipients: Vec<_> = parsed.to().unwrap().iter().map(|to| (to.name(), to.address().unwrap())).collect();
    assert_eq!(recipients, [(None, "owner@example.com"), (Some("Désk"), "desk@example.com")]);
    assert_eq!(parsed.header("Auto-Submitted").unwrap().as_text(), Some("auto-generated"));
    assert!(parsed.date().is_some());
    assert_eq!(parsed.content_type().unwrap().subtype(), Some("alternative"));
}

#[test]
fn body_of_a_mail_arrives_unchanged() {
    let raw = received(&mail(), "k");
    let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();
    let sent = mail();
    assert_eq!((parsed.text_body_count(), parsed.html_body_count()), (1, 1));
    assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n").trim_end(), sent.text.trim_end());
    assert_eq!(parsed.body_html(0).unwrap().replace("\r\n", "\n").trim_end(), sent.html.trim_end());
}

#[test]
fn subject_cannot_inject_a_header() {
    let evil = Mail { subject: "x\r\nBcc: spy@example.net\r\n\r\nbody".to_owned(), ..mail() };
    let raw = received(&evil, "k");
    let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();
    assert!(parsed.bcc().is_none() && parsed.to().unwrap().iter().count() == 2);
    assert_eq!(parsed.subject(), Some("x Bcc: spy@example.net body"));
}

#[test]
fn key_cannot_inject_a_header() {
    let raw = received(&mail(), "k>\r\nBcc: spy@example.net");
    let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();
    assert!(parsed.bcc().is_none() && parsed.to().unwrap().iter().count() == 2);
}
