//! Mails over SMTP, read back as a mail program reads them, and every way in which a conversation can end.
//! STARTTLS that succeeds needs a real server: that is a scenario test.

use std::time::Instant;

use mail_parser::{MessageParser, MimeHeaders};

use super::fake_smtp::{FakeSmtp, Say};
use super::*;
use crate::net::test_server::AT_ONCE;

pub(super) fn settings() -> MailSettings {
    MailSettings {
        from: "Guestly alerts <alerts@example.org>".to_owned(),
        to: "owner@example.com, Désk <desk@example.com>".to_owned(),
        timeout: Duration::from_secs(20),
        ..MailSettings::default()
    }
}

pub(super) fn mail() -> Mail {
    let text = format!(".\nÄrger: \"><script> & {}\n.\n..\nend\n", "long ".repeat(300));
    let html = format!("<p>Ärger: &lt;script&gt;</p>\n{}\n", "<td>x</td>".repeat(300));
    Mail {
        subject: "[Guestly] Ünplaced: BK-0000123, arriving 10 May – a rather long subject line for a phone".to_owned(),
        text,
        html,
    }
}

/// The same for what never comes.
pub(super) fn impatient(settings: MailSettings) -> MailSettings {
    MailSettings { timeout: Duration::from_millis(800), ..settings }
}

/// Nobody hangs up.
pub(super) fn send(settings: &MailSettings, mail: &Mail, key: &str) -> MailOutcome {
    super::send(settings, mail, key, &Hangup::default())
}

fn to(server: &FakeSmtp, login: &str) -> MailSettings {
    MailSettings { smtp_url: Secret::new(server.url(login)), ..settings() }
}

fn refused(outcome: MailOutcome) -> (bool, String) {
    match outcome {
        MailOutcome::Refused { permanent, answer } => (permanent, answer),
        other => panic!("not refused: {other:?}"),
    }
}

fn unreachable(outcome: MailOutcome) -> (bool, String) {
    match outcome {
        MailOutcome::Unreachable { maybe_sent, why } => (maybe_sent, why),
        other => panic!("not unreachable: {other:?}"),
    }
}

#[test]
fn a_mail_arrives_whole() {
    let server = FakeSmtp::start(|_| None);
    let outcome = send(&to(&server, ""), &mail(), "guestly-1-2");
    assert_eq!(outcome, MailOutcome::Accepted { answer: "250 2.0.0 Queued as 4711".to_owned() });
    let told = server.told();
    assert!(told[0].starts_with("EHLO example.org"), "{told:?}");
    for line in ["MAIL FROM:<alerts@example.org>", "RCPT TO:<owner@example.com>", "RCPT TO:<desk@example.com>", "DATA"]
    {
        assert!(told.iter().any(|told| told.trim_end() == line), "{line} in {told:?}");
    }
    let raw = &server.mails()[0];
    assert!(raw.is_ascii() && raw.lines().all(|line| line.len() <= 998));
    let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();
    let wrote = mail();
    assert_eq!(parsed.subject(), Some(wrote.subject.as_str()));
    assert_eq!(parsed.message_id(), Some("guestly-1-2@example.org"));
    assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some("Guestly alerts"));
    let recipients: Vec<_> = parsed.to().unwrap().iter().map(|to| (to.name(), to.address().unwrap())).collect();
    assert_eq!(recipients, [(None, "owner@example.com"), (Some("Désk"), "desk@example.com")]);
    assert_eq!(parsed.header("Auto-Submitted").unwrap().as_text(), Some("auto-generated"));
    assert!(parsed.date().is_some());
    assert_eq!(parsed.content_type().unwrap().subtype(), Some("alternative"));
    assert_eq!((parsed.text_body_count(), parsed.html_body_count()), (1, 1));
    assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n").trim_end(), wrote.text.trim_end());
    assert_eq!(parsed.body_html(0).unwrap().replace("\r\n", "\n").trim_end(), wrote.html.trim_end());
}

#[test]
fn nothing_becomes_a_header() {
    let server = FakeSmtp::start(|_| None);
    let mut evil = mail();
    evil.subject = "x\r\nBcc: spy@example.net\r\n\r\nbody".to_owned();
    evil.text.push_str("\r\n.\r\nMAIL FROM:<spy@example.net>\r\n");
    send(&to(&server, ""), &evil, "k>\r\nBcc: spy@example.net");
    let parsed = server.mails()[0].clone();
    let parsed = MessageParser::new().parse(parsed.as_bytes()).unwrap();
    assert!(parsed.bcc().is_none() && parsed.to().unwrap().iter().count() == 2);
    assert_eq!(parsed.subject(), Some("x Bcc: spy@example.net body"));
    assert!(!server.told().iter().any(|line| line.contains("spy")), "{:?}", server.told());
    for field in ["from", "to"] {
        let mut settings = to(&server, "");
        let evil = "a@example.org\r\nBcc: spy@example.net".to_owned();
        if field == "from" {
            settings.from = evil
        } else {
            settings.to = evil
        }
        assert!(refused(send(&settings, &mail(), "k")).0, "{field}");
    }
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn a_login_is_used_and_never_shown() {
    let server = FakeSmtp::start(|line| {
        line.starts_with("AUTH").then_some(Say::Line("535 5.7.8 hunter22 is not the password of me@example.org"))
    });
    let login = to(&server, "me%40example.org:hunter22@");
    let (permanent, answer) = refused(send(&login, &mail(), "k"));
    assert!(permanent && answer.starts_with("535 5.7.8 *** is not"), "{answer}");
    assert!(!format!("{login:?}").contains("hunter22"));
    let told = server.told();
    assert!(told.iter().any(|line| line.starts_with("AUTH PLAIN ")) && !told.contains(&"DATA".to_owned()), "{told:?}");
    let server = FakeSmtp::start(|_| None);
    assert!(matches!(send(&to(&server, "me:hunter22@"), &mail(), "k"), MailOutcome::Accepted { .. }));
}

#[test]
fn one_bad_recipient_does_not_keep_the_mail_from_the_other() {
    let no = "550 5.1.1 No such mailbox";
    let server = FakeSmtp::start(move |line| line.starts_with("RCPT TO:<owner").then_some(Say::Line(no)));
    let MailOutcome::Accepted { answer } = send(&to(&server, ""), &mail(), "k") else { panic!() };
    assert_eq!(answer, "250 2.0.0 Queued as 4711; but owner@example.com was refused: 550 5.1.1 No such mailbox");
    let server = FakeSmtp::start(move |line| line.starts_with("RCPT").then_some(Say::Line(no)));
    let (permanent, answer) = refused(send(&to(&server, ""), &mail(), "k"));
    assert!(permanent && answer.contains("desk@example.com was refused"), "{answer}");
    assert!(server.mails().is_empty());
}

#[test]
fn refusals_say_whether_to_come_again() {
    for (step, words, permanent) in [
        ("connect", "421 Too busy", false),
        ("connect", "554 Go away", true),
        ("MAIL", "451 Later", false),
        ("MAIL", "530 Authentication required", true),
        ("RCPT", "450 Greylisted", false),
        (".", "552 Too large", true),
        (".", "452 Disk full", false),
    ] {
        let server = FakeSmtp::start(move |line| line.starts_with(step).then_some(Say::Line(words)));
        assert_eq!(refused(send(&to(&server, ""), &mail(), "k")).0, permanent, "{step} {words}");
    }
}

#[test]
fn a_broken_conversation_says_whether_the_mail_may_have_been_taken() {
    for (step, maybe) in [("connect", false), ("EHLO", false), ("MAIL", false), ("DATA", false), (".", true)] {
        let server = FakeSmtp::start(move |line| line.starts_with(step).then_some(Say::Close));
        let (maybe_sent, why) = unreachable(send(&to(&server, ""), &mail(), "k"));
        assert_eq!(maybe_sent, maybe, "{step}: {why}");
    }
    let settings = MailSettings { smtp_url: Secret::new("smtp://127.0.0.1:1".to_owned()), ..settings() };
    assert_eq!(unreachable(send(&settings, &mail(), "k")), (false, "the connection was refused".to_owned()));
    let server = FakeSmtp::start(|line| (line == "connect").then_some(Say::Line("HTTP/1.1 400 Bad Request")));
    assert!(!unreachable(send(&to(&server, ""), &mail(), "k")).0);
}

#[test]
fn a_slow_server_is_given_up_in_time() {
    for (step, maybe) in [("connect", false), ("RCPT", false), (".", true)] {
        let server = FakeSmtp::start(move |line| line.starts_with(step).then_some(Say::Nothing));
        let began = Instant::now();
        let (maybe_sent, why) = unreachable(send(&impatient(to(&server, "")), &mail(), "k"));
        assert_eq!((maybe_sent, why.as_str()), (maybe, "the mail server took too long"), "{step}");
        assert!(began.elapsed() < AT_ONCE, "{step}: {:?}", began.elapsed());
    }
    let server = FakeSmtp::start(|line| (line == "QUIT").then_some(Say::Nothing));
    assert!(matches!(send(&impatient(to(&server, "")), &mail(), "k"), MailOutcome::Accepted { .. }), "no goodbye");
}

#[test]
fn without_the_encryption_asked_for_nothing_is_sent() {
    let server = FakeSmtp::start(|_| None);
    let mut settings = to(&server, "me:hunter22@");
    settings.smtp_url = Secret::new(format!("{}?tls=required", settings.smtp_url.reveal()));
    let (permanent, answer) = refused(send(&settings, &mail(), "k"));
    assert!(permanent && answer.contains("STARTTLS"), "{answer}");
    settings.smtp_url = Secret::new(server.url("me:hunter22@").replace("smtp://", "smtps://"));
    assert!(!unreachable(send(&settings, &mail(), "k")).0);
    let told = server.told().join("\n");
    assert!(!told.contains("AUTH") && !told.contains("MAIL"), "{told}");
    let starttls = FakeSmtp::start(|line| match line {
        line if line.starts_with("EHLO") => Some(Say::Line("250-mail.example.org\r\n250 STARTTLS")),
        "STARTTLS" => Some(Say::Line("220 Go\r\n250 not TLS at all")),
        _ => None,
    });
    unreachable(send(&to(&starttls, "me:hunter22@"), &mail(), "k"));
    assert!(!starttls.told().join("\n").contains("AUTH"));
}

#[test]
fn settings_are_checked_without_calling_anybody() {
    let with = |change: fn(&mut MailSettings)| {
        let mut all = MailSettings { smtp_url: Secret::new("smtps://mail.example.org".to_owned()), ..settings() };
        change(&mut all);
        check(&all)
    };
    assert_eq!(with(|_| ()), Ok(()));
    assert_eq!(with(|all| all.to = "a@example.org,".to_owned()), Ok(()));
    type Change = fn(&mut MailSettings);
    let wrong: [(Change, &str); 6] = [
        (|all| all.smtp_url = Secret::default(), "neither smtp_url nor email_api_url"),
        (|all| all.to = String::new(), "admin_email"),
        (|all| all.from = " ".to_owned(), "alert_from"),
        (|all| all.to = "a@example.org, nobody".to_owned(), "admin_email"),
        (|all| all.from = "älerts@example.org".to_owned(), "alert_from"),
        (|all| all.timeout = Duration::ZERO, "time-out"),
    ];
    for (change, words) in wrong {
        let checked = with(change);
        assert!(checked.as_ref().unwrap_err().contains(words), "{words}: {checked:?}");
    }
}
