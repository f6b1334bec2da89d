//! Unit tests of `client`: requests and answers on the wire, including answers that violate HTTP.
//! Requests without an answer are tested in `client_failure_tests.rs`.

use std::io::Write;

use super::super::answer::MAX_BODY;
use super::super::test_server::{Server, call, get, ok, post};
use super::*;
use crate::domain::outcome::Answer;

pub(super) fn answer(reply: Reply) -> Answer {
    match reply {
        Reply::Answer(answer) => answer,
        other => panic!("no answer: {other:?}"),
    }
}

#[track_caller]
pub(super) fn not_sent(reply: &Reply, words: &str) {
    match reply {
        Reply::NotSent { reason } => assert!(reason.contains(words), "{reason}"),
        other => panic!("not `not sent`: {other:?}"),
    }
}

#[track_caller]
pub(super) fn lost(reply: &Reply, words: &str) {
    match reply {
        Reply::Lost { reason } => assert!(reason.contains(words), "{reason}"),
        other => panic!("not lost: {other:?}"),
    }
}

#[test]
fn post_is_sent_with_its_headers_and_body() {
    let server = Server::answering(ok("{}"));
    answer(server.client().send(&post()));
    let seen = server.seen()[0].to_lowercase();
    assert!(seen.starts_with("post /v1/reservations-v3 http/1.1\r\n"));
    for line in [
        "authorization: bearer canary-token\r\n",
        "accept: application/json\r\n",
        "content-type: application/json\r\n",
        "user-agent: guestly_sync/",
        &format!("host: {}\r\n", server.address),
    ] {
        assert!(seen.contains(line), "{line} in {seen}");
    }
    assert!(seen.ends_with("{\"listingid\":\"64b1f0aa11bb22cc33dd44e1\"}"));
}

#[test]
fn get_is_sent_without_a_content_type() {
    let server = Server::answering(ok("{}"));
    answer(server.client().send(&get("/reservations-v3/search?filter%5Bsource%5D=a")));
    let seen = server.seen().remove(0);
    assert!(seen.starts_with("GET /v1/reservations-v3/search?filter%5Bsource%5D=a HTTP/1.1"));
    assert!(!seen.to_lowercase().contains("content-type"));
}

#[test]
fn put_without_a_body_has_content_length_zero() {
    let server = Server::answering(ok("{}"));
    answer(server.client().send(&call(Method::Put, "/reservations-v3/r1/status", None)));
    assert!(server.seen()[0].to_lowercase().contains("content-length: 0\r\n"));
}

#[test]
fn token_request_is_sent_as_a_form() {
    let server = Server::answering(ok("{}"));
    let request =
        Request::Token { client_id: "id & co".to_owned(), client_secret: Secret::new("s3cret+=%".to_owned()) };
    answer(server.client().send(&request));
    let seen = server.seen().remove(0);
    assert!(seen.starts_with("POST /oauth2/token HTTP/1.1\r\n"));
    assert!(seen.to_lowercase().contains("content-type: application/x-www-form-urlencoded\r\n"));
    assert!(!seen.to_lowercase().contains("authorization"));
    let form = "grant_type=client_credentials&scope=open-api&client_id=id+%26+co&client_secret=s3cret%2B%3D%25";
    assert!(seen.ends_with(form), "{seen}");
}

#[test]
fn headers_of_an_answer_are_parsed() {
    let server = Server::answering(
        "HTTP/1.1 429 Slow\r\nRetry-After: 17\r\nX-Request-Id: req-1\r\nDate: Sun, 03 Jan 2027 10:00:00 GMT\r\n\
         X-RateLimit-Limit-Second: 15\r\nx-ratelimit-remaining-second: 0\r\nX-RATELIMIT-LIMIT-MINUTE: 120\r\n\
         X-RateLimit-Remaining-Minute: -1\r\nX-RateLimit-Limit-Hour: 5000.0\r\nX-RateLimit-Remaining-Hour: many\r\n\
         Content-Length: 0\r\n\r\n",
    );
    let answer = answer(server.client().send(&get("/")));
    assert_eq!((answer.status, answer.whole), (429, true));
    assert_eq!(answer.retry_after.as_deref(), Some("17"));
    assert_eq!(answer.request_id.as_deref(), Some("req-1"));
    assert_eq!(answer.date.as_deref(), Some("Sun, 03 Jan 2027 10:00:00 GMT"));
    let windows = [answer.rate_limit.second, answer.rate_limit.minute, answer.rate_limit.hour];
    assert_eq!(windows.map(|w| w.limit), [Some(15), Some(120), Some(5000)]);
    assert_eq!(windows.map(|w| w.remaining), [Some(0), Some(0), None]);
}

#[test]
fn request_with_an_invalid_path_is_unsendable() {
    let server = Server::answering(ok("{}"));
    for path in ["reservations", "@elsewhere.example/", "", "/a b", "/\u{0}", "/\r\nX: y"] {
        let reply = server.client().send(&get(path));
        assert!(matches!(&reply, Reply::Unsendable { reason } if reason.contains("Nothing was sent")), "{reply:?}");
    }
    assert!(server.seen().is_empty());
}

#[test]
fn request_with_an_invalid_token_is_not_sent() {
    let server = Server::answering(ok("{}"));
    let token = Secret::new("canary\r\nX-Other: y".to_owned());
    let request = ApiRequest { method: Method::Get, path: "/".to_owned(), body: None };
    let reply = server.client().send(&Request::Call { token, request });
    not_sent(&reply, "Nothing was sent");
    assert!(!format!("{reply:?}").contains("canary"));
    assert!(server.seen().is_empty());
}

#[test]
fn surplus_bytes_are_not_read_as_the_next_answer() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 500 Trap\r\n\r\n");
    let client = server.client();
    for _ in 0..3 {
        let answer = answer(client.send(&get("/")));
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()));
    }
}

#[test]
fn invalid_content_length_never_truncates_the_body() {
    for length in ["-1", "ten", "2, 3", "99999999999999999999999"] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{{}}");
        let server = Server::start(move |connection| {
            connection.request();
            connection.write(head.as_bytes());
        });
        match server.client().send(&post()) {
            Reply::Lost { .. } => {}
            // Read to the end of the connection, which is the whole body too.
            Reply::Answer(answer) => assert_eq!(answer.body, b"{}", "{length}"),
            other => panic!("{length}: {other:?}"),
        }
    }
}

#[test]
fn body_of_twenty_megabytes_is_truncated() {
    let server = Server::start(|connection| {
        connection.request();
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\n");
        let block = vec![b'a'; 64 * 1024];
        while connection.socket.write_all(&block).is_ok() {}
    });
    let reply = answer(server.client().send(&get("/")));
    assert_eq!((reply.body.len(), reply.whole), (MAX_BODY, false));
}

#[test]
fn body_of_the_maximum_size_is_whole() {
    let server = Server::answering(ok(&"a".repeat(MAX_BODY)));
    let reply = answer(server.client().send(&get("/")));
    assert_eq!((reply.body.len(), reply.whole), (MAX_BODY, true));
}

#[test]
fn bytes_that_are_not_utf_8_are_kept() {
    let mut bytes = b"HTTP/1.1 200 OK\r\nX-Request-Id: \xff\xfe\r\nContent-Length: 4\r\n\r\n".to_vec();
    bytes.extend([0xff, 0x00, 0xc3, 0x28]);
    let answer = answer(Server::answering(bytes).client().send(&get("/")));
    assert_eq!(answer.body, [0xff, 0x00, 0xc3, 0x28]);
    assert!(answer.request_id.is_some());
}

#[test]
fn answer_that_is_not_http_is_lost() {
    for garbage in ["\u{1}\u{2}\u{3}\r\n\r\n", "HTTP/9.9 abc\r\n\r\n", "SSH-2.0-OpenSSH\r\n"] {
        let server = Server::start(move |connection| {
            connection.request();
            connection.write(garbage.as_bytes());
        });
        lost(&server.client().send(&post()), "no complete answer");
    }
}

#[test]
fn answer_with_endless_headers_is_lost() {
    let header = format!("X-Large: {}\r\n", "a".repeat(1000));
    let server = Server::start(move |connection| {
        connection.request();
        connection.write(b"HTTP/1.1 200 OK\r\n");
        while connection.socket.write_all(header.as_bytes()).is_ok() {}
    });
    lost(&server.client().send(&post()), "no complete answer");
}

#[test]
fn answer_with_too_many_headers_is_lost() {
    let headers = "X-Many: 1\r\n".repeat(500);
    let server = Server::answering(format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n"));
    lost(&server.client().send(&post()), "no complete answer");
}

#[test]
fn redirects_are_not_followed() {
    let trap = Server::answering(ok("{}"));
    for status in [301, 302, 303, 307, 308] {
        let head = format!("HTTP/1.1 {status} Go\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n", trap.address);
        for request in [post(), get("/")] {
            let answer = answer(Server::answering(head.clone()).client().send(&request));
            assert_eq!(answer.status, status);
        }
    }
    assert!(trap.seen().is_empty());
}

#[test]
fn invalid_endpoint_is_rejected() {
    let valid = || Endpoint {
        base_url: "https://api.example.org/v1/".to_owned(),
        token_url: "https://api.example.org/oauth2/token".to_owned(),
        connect_timeout: Duration::from_millis(500),
        request_timeout: Duration::from_millis(500),
    };
    assert!(Client::new(valid()).is_ok());
    let plain = "http://api.example.org".to_owned();
    for invalid in [
        Endpoint { base_url: plain.clone(), ..valid() },
        Endpoint { token_url: plain, ..valid() },
        Endpoint { connect_timeout: Duration::ZERO, ..valid() },
        Endpoint { request_timeout: Duration::ZERO, ..valid() },
    ] {
        assert!(Client::new(invalid).is_err());
    }
}
