//! Mails over SMTP: every way in which a session can end. A successful STARTTLS needs a real server and is tested by a
//! scenario. Run by cargo test.

use std::time::{Duration, Instant};

use super::cancel::CancelHandle;
use super::fake_smtp::{FakeSmtp, Say};
use super::*;
use crate::domain::alert::Mail;
use crate::domain::redact::Secret;
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

/// The same settings for a server that does not answer.
pub(super) fn impatient(settings: MailSettings) -> MailSettings {
    MailSettings { timeout: Duration::from_millis(800), ..settings }
}

/// Sends a mail that is not cancelled.
pub(super) fn send(settings: &MailSettings, mail: &Mail, key: &str) -> MailOutcome {
    super::send::send(settings, mail, key, &CancelHandle::default())
}

pub(super) fn to(server: &FakeSmtp, login: &str) -> MailSettings {
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

fn refused_permanently(outcome: MailOutcome) -> String {
    let (permanent, answer) = refused(outcome);
    assert!(permanent, "{answer}");
    answer
}

#[test]
fn commands_name_the_sender_and_every_recipient() {
    let server = FakeSmtp::start(|_| None);
    let outcome = send(&to(&server, ""), &mail(), "guestly-1-2");
    assert_eq!(outcome, MailOutcome::Accepted { answer: "250 2.0.0 Queued as 4711".to_owned() });
    let commands = server.commands();
    assert!(commands[0].starts_with("EHLO example.org"), "{commands:?}");
    for line in ["MAIL FROM:<alerts@example.org>", "RCPT TO:<owner@example.com>", "RCPT TO:<desk@example.com>", "DATA"]
    {
        assert!(commands.iter().any(|command| command.trim_end() == line), "{line} in {commands:?}");
    }
}

#[test]
fn text_cannot_inject_a_command() {
    let server = FakeSmtp::start(|_| None);
    let mut evil = mail();
    evil.text.push_str("\r\n.\r\nMAIL FROM:<spy@example.net>\r\n");
    send(&to(&server, ""), &evil, "k");
    assert!(!server.commands().iter().any(|line| line.contains("spy")), "{:?}", server.commands());
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn address_with_a_line_break_is_refused() {
    let server = FakeSmtp::start(|_| None);
    let evil = || "a@example.org\r\nBcc: spy@example.net".to_owned();
    let settings = to(&server, "");
    for settings in [MailSettings { from: evil(), ..settings.clone() }, MailSettings { to: evil(), ..settings.clone() }]
    {
        refused_permanently(send(&settings, &mail(), "k"));
    }
    assert!(server.mails().is_empty());
}

#[test]
fn login_is_used() {
    let server = FakeSmtp::start(|_| None);
    assert!(matches!(send(&to(&server, "me:hunter22@"), &mail(), "k"), MailOutcome::Accepted { .. }));
    assert!(server.commands().iter().any(|line| line.starts_with("AUTH PLAIN ")), "{:?}", server.commands());
}

#[test]
fn rejected_login_ends_the_session() {
    let server = FakeSmtp::start(|line| line.starts_with("AUTH").then_some(Say::Line("535 5.7.8 No")));
    refused_permanently(send(&to(&server, "me:hunter22@"), &mail(), "k"));
    assert!(!server.commands().contains(&"DATA".to_owned()), "{:?}", server.commands());
}

#[test]
fn password_is_masked_in_the_answer() {
    let server = FakeSmtp::start(|line| {
        line.starts_with("AUTH").then_some(Say::Line("535 5.7.8 hunter22 is not the password of me@example.org"))
    });
    let login = to(&server, "me%40example.org:hunter22@");
    let answer = refused_permanently(send(&login, &mail(), "k"));
    assert!(answer.starts_with("535 5.7.8 *** is not"), "{answer}");
    assert!(!format!("{login:?}").contains("hunter22"));
}

const NO_MAILBOX: &str = "550 5.1.1 No such mailbox";

#[test]
fn refused_recipient_does_not_stop_the_mail_for_the_other() {
    let server = FakeSmtp::start(|line| line.starts_with("RCPT TO:<owner").then_some(Say::Line(NO_MAILBOX)));
    let MailOutcome::Accepted { answer } = send(&to(&server, ""), &mail(), "k") else { panic!() };
    assert_eq!(answer, "250 2.0.0 Queued as 4711; but owner@example.com was refused: 550 5.1.1 No such mailbox");
}

#[test]
fn mail_without_a_valid_recipient_is_refused() {
    let server = FakeSmtp::start(|line| line.starts_with("RCPT").then_some(Say::Line(NO_MAILBOX)));
    let answer = refused_permanently(send(&to(&server, ""), &mail(), "k"));
    assert!(answer.contains("desk@example.com was refused"), "{answer}");
    assert!(server.mails().is_empty());
}

#[test]
fn only_refusals_with_a_5xx_code_are_permanent() {
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
fn closed_session_reports_if_the_mail_may_have_been_sent() {
    for (step, maybe) in [("connect", false), ("EHLO", false), ("MAIL", false), ("DATA", false), (".", true)] {
        let server = FakeSmtp::start(move |line| line.starts_with(step).then_some(Say::Close));
        let (maybe_sent, why) = unreachable(send(&to(&server, ""), &mail(), "k"));
        assert_eq!(maybe_sent, maybe, "{step}: {why}");
    }
}

#[test]
fn refused_connection_is_reported_as_not_sent() {
    let settings = MailSettings { smtp_url: Secret::new("smtp://127.0.0.1:1".to_owned()), ..settings() };
    assert_eq!(unreachable(send(&settings, &mail(), "k")), (false, "the connection was refused".to_owned()));
}

#[test]
fn answer_that_is_not_smtp_is_reported_as_not_sent() {
    let server = FakeSmtp::start(|line| (line == "connect").then_some(Say::Line("HTTP/1.1 400 Bad Request")));
    assert!(!unreachable(send(&to(&server, ""), &mail(), "k")).0);
}

#[test]
fn silent_server_is_given_up_at_the_deadline() {
    for (step, maybe) in [("connect", false), ("RCPT", false), (".", true)] {
        let server = FakeSmtp::start(move |line| line.starts_with(step).then_some(Say::Nothing));
        let began = Instant::now();
        let (maybe_sent, why) = unreachable(send(&impatient(to(&server, "")), &mail(), "k"));
        assert_eq!((maybe_sent, why.as_str()), (maybe, "the mail server did not answer in time"), "{step}");
        assert!(began.elapsed() < AT_ONCE, "{step}: {:?}", began.elapsed());
    }
}

#[test]
fn mail_is_accepted_without_an_answer_to_quit() {
    let server = FakeSmtp::start(|line| (line == "QUIT").then_some(Say::Nothing));
    assert!(matches!(send(&impatient(to(&server, "")), &mail(), "k"), MailOutcome::Accepted { .. }));
}

/// Asserts that the server received neither the login nor the mail.
fn assert_nothing_secret_was_sent(server: &FakeSmtp) {
    let commands = server.commands().join("\n");
    assert!(!commands.contains("AUTH") && !commands.contains("MAIL"), "{commands}");
}

#[test]
fn nothing_is_sent_without_the_required_starttls() {
    let server = FakeSmtp::start(|_| None);
    let smtp_url = Secret::new(format!("{}?tls=required", server.url("me:hunter22@")));
    let answer = refused_permanently(send(&MailSettings { smtp_url, ..settings() }, &mail(), "k"));
    assert!(answer.contains("STARTTLS"), "{answer}");
    assert_nothing_secret_was_sent(&server);
}

#[test]
fn nothing_is_sent_without_implicit_tls() {
    let server = FakeSmtp::start(|_| None);
    let smtp_url = Secret::new(server.url("me:hunter22@").replace("smtp://", "smtps://"));
    assert!(!unreachable(send(&MailSettings { smtp_url, ..settings() }, &mail(), "k")).0);
    assert_nothing_secret_was_sent(&server);
}

#[test]
fn nothing_is_sent_after_a_failed_starttls() {
    let server = FakeSmtp::start(|line| match line {
        line if line.starts_with("EHLO") => Some(Say::Line("250-mail.example.org\r\n250 STARTTLS")),
        "STARTTLS" => Some(Say::Line("220 Go\r\n250 not TLS at all")),
        _ => None,
    });
    unreachable(send(&to(&server, "me:hunter22@"), &mail(), "k"));
    assert_nothing_secret_was_sent(&server);
}

fn check_with(change: fn(&mut MailSettings)) -> Result<(), String> {
    let smtp_url = Secret::new("smtps://mail.example.org".to_owned());
    let mut settings = MailSettings { smtp_url, ..settings() };
    change(&mut settings);
    check(&settings)
}

#[test]
fn check_accepts_valid_settings() {
    assert_eq!(check_with(|_| ()), Ok(()));
    assert_eq!(check_with(|settings| settings.to = "a@example.org,".to_owned()), Ok(()));
}

#[test]
fn check_names_the_wrong_setting() {
    type Change = fn(&mut MailSettings);
    let wrong: [(Change, &str); 6] = [
        (|settings| settings.smtp_url = Secret::default(), "neither smtp_url nor email_api_url"),
        (|settings| settings.to = String::new(), "admin_email"),
        (|settings| settings.from = " ".to_owned(), "alert_from"),
        (|settings| settings.to = "a@example.org, nobody".to_owned(), "admin_email"),
        (|settings| settings.from = "älerts@example.org".to_owned(), "alert_from"),
        (|settings| settings.timeout = Duration::ZERO, "timeout"),
    ];
    for (change, text) in wrong {
        let checked = check_with(change);
        assert!(checked.as_ref().unwrap_err().contains(text), "{text}: {checked:?}");
    }
}
