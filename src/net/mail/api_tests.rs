//! Mails through an HTTP API: the requests of both services, and the outcome of each answer. Run by cargo test.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cancel::{CANCELLED, CancelHandle};
use super::smtp_tests::{impatient, mail, send, settings};
use super::*;
use crate::domain::redact::Secret;
use crate::net::test_server::{AT_ONCE, Server, eventually};

fn to(server: &Server, path: &str) -> MailSettings {
    MailSettings {
        email_api_url: format!("http://{}{path}", server.address),
        email_api_key: Secret::new("canary-key".to_owned()),
        ..settings()
    }
}

fn answering(status: &str, body: &str) -> Server {
    let length = body.len();
    Server::answering(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
}

fn request(server: &Server) -> (String, Value) {
    let seen = server.seen();
    let (head, body) = seen[0].split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), serde_json::from_str(body).unwrap())
}

#[test]
fn request_to_sendgrid() {
    let server = answering("202 Accepted", "");
    let outcome = send(&to(&server, "/v3/mail/send"), &mail(), "guestly-1");
    assert_eq!(outcome, MailOutcome::Accepted { answer: "202".to_owned() });
    let (head, body) = request(&server);
    assert!(head.starts_with("post /v3/mail/send http/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: bearer canary-key\r\n") && head.contains("content-type: application/json"));
    let to = json!([{"email": "owner@example.com"}, {"email": "desk@example.com", "name": "Désk"}]);
    assert_eq!(body["personalizations"], json!([{ "to": to }]));
    assert_eq!(body["from"], json!({"email": "alerts@example.org", "name": "Guestly alerts"}));
    let sent = mail();
    assert_eq!(body["subject"], sent.subject);
    assert_eq!(body["content"][0], json!({"type": "text/plain", "value": sent.text}));
    assert_eq!(body["content"][1], json!({"type": "text/html", "value": sent.html}));
    assert_eq!(body["headers"]["X-Entity-Ref-ID"], "guestly-1");
}

#[test]
fn request_to_resend() {
    let server = answering("200 OK", "{\"id\":\"49a3999c\"}");
    assert!(matches!(send(&to(&server, "/emails"), &mail(), "guestly-1"), MailOutcome::Accepted { .. }));
    let (head, body) = request(&server);
    assert!(head.starts_with("post /emails http/1.1\r\n") && head.contains("idempotency-key: guestly-1\r\n"), "{head}");
    assert_eq!(body["from"], "Guestly alerts <alerts@example.org>");
    assert_eq!(body["to"][0], "owner@example.com");
    assert!(body["to"][1].as_str().unwrap().ends_with("<desk@example.com>"), "{body}");
    let sent = mail();
    assert_eq!((&body["subject"], &body["text"]), (&json!(sent.subject), &json!(sent.text)));
    assert_eq!(body["html"], sent.html);
}

#[test]
fn answer_decides_the_outcome() {
    enum Expected {
        Accepted,
        RefusedForGood,
        RefusedForNow,
        MaybeSent,
    }
    for (status, body, expected) in [
        ("200 OK", "{}", Expected::Accepted),
        ("409 Conflict", "{\"name\":\"invalid_idempotent_request\"}", Expected::Accepted),
        ("409 Conflict", "{\"name\":\"concurrent_idempotent_requests\"}", Expected::MaybeSent),
        ("401 Unauthorized", "{\"errors\":[{\"message\":\"canary-key is wrong\"}]}", Expected::RefusedForGood),
        (
            "400 Bad Request",
            "{\"errors\":[{\"message\":\"The from address does not match\"}]}",
            Expected::RefusedForGood,
        ),
        ("302 Found", "", Expected::RefusedForGood),
        ("429 Too Many Requests", "", Expected::RefusedForNow),
        ("503 Service Unavailable", "", Expected::RefusedForNow),
        ("502 Bad Gateway", "", Expected::MaybeSent),
    ] {
        let server = answering(status, body);
        let outcome = send(&to(&server, "/v3/mail/send"), &mail(), "k");
        let matches = match expected {
            Expected::Accepted => matches!(outcome, MailOutcome::Accepted { .. }),
            Expected::RefusedForGood => matches!(outcome, MailOutcome::Refused { permanent: true, .. }),
            Expected::RefusedForNow => matches!(outcome, MailOutcome::Refused { permanent: false, .. }),
            Expected::MaybeSent => matches!(outcome, MailOutcome::Unreachable { maybe_sent: true, .. }),
        };
        assert!(matches, "{status} {body}: {outcome:?}");
        let shown = format!("{outcome:?}");
        assert!(shown.contains(&status[..3]) && !shown.contains("canary-key"), "{shown}");
        assert_eq!(server.seen().len(), 1, "sent once");
    }
}

#[test]
fn mail_without_an_answer_may_have_been_sent() {
    let closing = Server::start(|connection| drop(connection.request()));
    let silent = Server::start(|connection| connection.hang());
    for server in [&closing, &silent] {
        let outcome = send(&impatient(to(server, "/emails")), &mail(), "k");
        assert!(matches!(outcome, MailOutcome::Unreachable { maybe_sent: true, .. }), "{outcome:?}");
    }
}

#[test]
fn mail_with_a_refused_connection_was_not_sent() {
    let email_api_url = "http://127.0.0.1:1/emails".to_owned();
    let email_api_key = Secret::new("canary-key".to_owned());
    let outcome = send(&MailSettings { email_api_url, email_api_key, ..settings() }, &mail(), "k");
    let why = "the connection was refused".to_owned();
    assert_eq!(outcome, MailOutcome::Unreachable { why, maybe_sent: false });
}

#[test]
fn check_names_the_invalid_url_or_key() {
    let server = answering("202 Accepted", "");
    for (url, key, text) in [
        ("http://mail.example.org/emails", "k", "email_api_url"),
        ("https://mail.example.org/emails?key=canary", "k", "email_api_url"),
        ("https://mail.example.org/emails", "", "email_api_key is empty"),
        ("https://mail.example.org/emails", "k\r\nX: y", "email_api_key"),
    ] {
        let email_api_key = Secret::new(key.to_owned());
        let settings = MailSettings { email_api_url: url.to_owned(), email_api_key, ..to(&server, "") };
        let refusal = check(&settings).unwrap_err();
        assert!(refusal.contains(text) && !refusal.contains("canary"), "{url}: {refusal}");
    }
}

#[test]
fn endless_headers_end_at_the_byte_limit() {
    let head = "HTTP/1.1 200 OK\r\n".to_owned();
    for (start, again) in [(format!("{head}X-A: "), "aaaaaaaa"), (head, "X-A: aaaaaaaa\r\n")] {
        let server = Server::start(move |connection| {
            connection.request();
            connection.write(start.as_bytes());
            connection.write(again.repeat(1_000_000).as_bytes());
            connection.hang();
        });
        let outcome = send(&to(&server, "/emails"), &mail(), "k");
        assert!(matches!(outcome, MailOutcome::Unreachable { maybe_sent: true, .. }), "{outcome:?}");
    }
}

#[test]
fn endless_body_does_not_change_the_outcome() {
    let body = "a".repeat(8_000_000);
    let outcome = send(&to(&answering("202 Accepted", &body), "/emails"), &mail(), "k");
    assert!(matches!(outcome, MailOutcome::Accepted { .. }), "{outcome:?}");
}

#[test]
fn dripping_answer_ends_at_the_deadline() {
    for start in ["", "HTTP/1.1 202 Accepted\r\n\r\n"] {
        let server = Server::start(move |connection| {
            connection.request();
            connection.write(start.as_bytes());
            while connection.socket.write_all(b"H").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let began = Instant::now();
        let outcome = send(&impatient(to(&server, "/emails")), &mail(), "k");
        assert!(matches!(outcome, MailOutcome::Unreachable { maybe_sent: true, .. }), "{outcome:?}");
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    }
}

#[test]
fn cancelling_ends_a_hanging_request() {
    let server = Server::start(|connection| {
        connection.request();
        connection.hang();
    });
    let (settings, cancel) = (to(&server, "/emails"), CancelHandle::default());
    let cancel_of_mail = cancel.clone();
    let sending = std::thread::spawn(move || super::send::send(&settings, &mail(), "k", &cancel_of_mail));
    eventually("the request", || server.seen().len() == 1);
    let began = Instant::now();
    cancel.cancel();
    let outcome = sending.join().unwrap();
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(outcome, MailOutcome::Unreachable { why: CANCELLED.to_owned(), maybe_sent: true });
}
