//! Mails through an HTTP API: the two shapes, and what answers mean.

use std::io::Write;
use std::time::Instant;

use serde_json::{Value, json};

use super::smtp_tests::{impatient, mail, send, settings};
use super::*;
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
fn the_request_of_sendgrid() {
    let server = answering("202 Accepted", "");
    let outcome = send(&to(&server, "/v3/mail/send"), &mail(), "guestly-1");
    assert_eq!(outcome, MailOutcome::Accepted { answer: "202".to_owned() });
    let (head, body) = request(&server);
    assert!(head.starts_with("post /v3/mail/send http/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: bearer canary-key\r\n") && head.contains("content-type: application/json"));
    let to = json!([{"email": "owner@example.com"}, {"email": "desk@example.com", "name": "Désk"}]);
    assert_eq!(body["personalizations"], json!([{ "to": to }]));
    assert_eq!(body["from"], json!({"email": "alerts@example.org", "name": "Guestly alerts"}));
    let wrote = mail();
    assert_eq!(body["subject"], wrote.subject);
    assert_eq!(body["content"][0], json!({"type": "text/plain", "value": wrote.text}));
    assert_eq!(body["content"][1], json!({"type": "text/html", "value": wrote.html}));
    assert_eq!(body["headers"]["X-Entity-Ref-ID"], "guestly-1");
}

#[test]
fn the_request_of_resend() {
    let server = answering("200 OK", "{\"id\":\"49a3999c\"}");
    assert!(matches!(send(&to(&server, "/emails"), &mail(), "guestly-1"), MailOutcome::Accepted { .. }));
    let (head, body) = request(&server);
    assert!(head.starts_with("post /emails http/1.1\r\n") && head.contains("idempotency-key: guestly-1\r\n"), "{head}");
    assert_eq!(body["from"], "Guestly alerts <alerts@example.org>");
    assert_eq!(body["to"][0], "owner@example.com");
    assert!(body["to"][1].as_str().unwrap().ends_with("<desk@example.com>"), "{body}");
    let wrote = mail();
    assert_eq!((&body["subject"], &body["text"]), (&json!(wrote.subject), &json!(wrote.text)));
    assert_eq!(body["html"], wrote.html);
}

#[test]
fn what_answers_mean() {
    enum Means {
        Taken,
        Never,
        Later,
        Perhaps,
    }
    for (status, body, means) in [
        ("200 OK", "{}", Means::Taken),
        ("409 Conflict", "{\"name\":\"invalid_idempotent_request\"}", Means::Taken),
        ("409 Conflict", "{\"name\":\"concurrent_idempotent_requests\"}", Means::Perhaps),
        ("401 Unauthorized", "{\"errors\":[{\"message\":\"canary-key is wrong\"}]}", Means::Never),
        ("400 Bad Request", "{\"errors\":[{\"message\":\"The from address does not match\"}]}", Means::Never),
        ("302 Found", "", Means::Never),
        ("429 Too Many Requests", "", Means::Later),
        ("503 Service Unavailable", "", Means::Later),
        ("502 Bad Gateway", "", Means::Perhaps),
    ] {
        let server = answering(status, body);
        let outcome = send(&to(&server, "/v3/mail/send"), &mail(), "k");
        let right = match means {
            Means::Taken => matches!(outcome, MailOutcome::Accepted { .. }),
            Means::Never => matches!(outcome, MailOutcome::Refused { permanent: true, .. }),
            Means::Later => matches!(outcome, MailOutcome::Refused { permanent: false, .. }),
            Means::Perhaps => matches!(outcome, MailOutcome::Unreachable { maybe_sent: true, .. }),
        };
        assert!(right, "{status} {body}: {outcome:?}");
        let shown = format!("{outcome:?}");
        assert!(shown.contains(&status[..3]) && !shown.contains("canary-key"), "{shown}");
        assert_eq!(server.seen().len(), 1, "sent once");
    }
}

#[test]
fn no_answer_says_whether_it_may_have_been_taken() {
    let cut = Server::start(|connection| drop(connection.request()));
    let slow = Server::start(|connection| connection.hang());
    for server in [&cut, &slow] {
        let outcome = send(&impatient(to(server, "/emails")), &mail(), "k");
        assert!(matches!(outcome, MailOutcome::Unreachable { maybe_sent: true, .. }), "{outcome:?}");
    }
    let mut settings = to(&cut, "/emails");
    settings.email_api_url = "http://127.0.0.1:1/emails".to_owned();
    let outcome = send(&settings, &mail(), "k");
    let why = "the connection was refused".to_owned();
    assert_eq!(outcome, MailOutcome::Unreachable { why, maybe_sent: false });
}

#[test]
fn urls_and_keys_that_cannot_work() {
    let server = answering("202 Accepted", "");
    for (url, key, words) in [
        ("http://mail.example.org/emails", "k", "email_api_url"),
        ("https://mail.example.org/emails?key=canary", "k", "email_api_url"),
        ("https://mail.example.org/emails", "", "email_api_key is empty"),
        ("https://mail.example.org/emails", "k\r\nX: y", "email_api_key"),
    ] {
        let email_api_key = Secret::new(key.to_owned());
        let settings = MailSettings { email_api_url: url.to_owned(), email_api_key, ..to(&server, "") };
        let refusal = ready(&settings).map(drop).unwrap_err();
        assert!(refusal.contains(words) && !refusal.contains("canary"), "{url}: {refusal}");
    }
}

#[test]
fn an_endless_answer_is_cut() {
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
    let body = "a".repeat(8_000_000);
    let outcome = send(&to(&answering("202 Accepted", &body), "/emails"), &mail(), "k");
    assert!(matches!(outcome, MailOutcome::Accepted { .. }), "{outcome:?}");
}

#[test]
fn a_dripping_answer_ends_at_the_deadline() {
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
fn hanging_up_ends_a_call_that_hangs() {
    let server = Server::start(|connection| {
        connection.request();
        connection.hang();
    });
    let (settings, hangup) = (to(&server, "/emails"), Hangup::default());
    let own = hangup.clone();
    let mail = std::thread::spawn(move || super::send(&settings, &mail(), "k", &own));
    eventually("the request", || server.seen().len() == 1);
    let began = Instant::now();
    hangup.hang_up();
    let outcome = mail.join().unwrap();
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(outcome, MailOutcome::Unreachable { why: ABANDONED.to_owned(), maybe_sent: true });
}
