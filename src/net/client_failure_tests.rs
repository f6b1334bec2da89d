//! Each way in which a request can end without an answer, and what that proves.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::super::test_server::{AT_ONCE, Server, client, eventually, impatient, ok, post};
use super::tests::{answer, lost, not_sent};
use super::*;

#[test]
fn nothing_listens() {
    not_sent(&client("http://127.0.0.1:1").send(&post()), "refused");
}

#[test]
fn an_unknown_host() {
    let reply = impatient("https://guestly.invalid").send(&post());
    // Without a name server the answer is "not found" or takes too long; nothing is sent either way.
    not_sent(&reply, "Nothing was sent");
}

#[test]
fn tls_to_a_plain_port_and_to_a_silent_one() {
    let plain = Server::start(|connection| connection.write(b"HTTP/1.1 400 No\r\n\r\n"));
    let reply = client(&format!("https://{}", plain.address)).send(&post());
    not_sent(&reply, "no secure connection");
    let silent = Server::start(|connection| connection.hang());
    let reply = impatient(&format!("https://{}", silent.address)).send(&post());
    not_sent(&reply, "connecting took too long");
    assert!(silent.seen().is_empty());
}

#[test]
fn no_headers_in_time() {
    let server = Server::start(|connection| {
        connection.request();
        connection.hang();
    });
    let since = Instant::now();
    lost(&impatient(&format!("http://{}", server.address)).send(&post()), "the answer took too long");
    assert!(since.elapsed() < AT_ONCE);
}

#[test]
fn a_body_that_drips() {
    let server = Server::start(|connection| {
        connection.request();
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        // Each byte is in time; the whole is not.
        while connection.socket.write_all(b"a").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let since = Instant::now();
    lost(&impatient(&format!("http://{}", server.address)).send(&post()), "the answer took too long");
    assert!(since.elapsed() < AT_ONCE);
}

#[test]
fn cut_after_the_request() {
    for reset in [true, false] {
        let server = Server::start(move |connection| {
            connection.request();
            if reset {
                connection.reset();
            }
        });
        lost(&server.client().send(&post()), "the connection was c");
        assert_eq!(server.seen().len(), 1, "sent twice");
    }
}

#[test]
fn cut_in_the_body() {
    for reset in [true, false] {
        let server = Server::start(move |connection| {
            connection.request();
            connection.write(b"HTTP/1.1 201 Created\r\nContent-Length: 30\r\n\r\n{\"reservationId\":\"");
            if reset {
                connection.reset();
            }
        });
        lost(&server.client().send(&post()), "no whole answer");
    }
    let chunked = Server::answering(
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{\"reservationId\":\"r1\"}\r\n",
    );
    lost(&chunked.client().send(&post()), "no whole answer");
}

#[test]
fn a_pause_is_heard_although_its_body_is_cut() {
    for status in [429, 503] {
        let server = Server::start(move |connection| {
            connection.request();
            let head = format!("HTTP/1.1 {status} X\r\nRetry-After: 9\r\nContent-Length: 30\r\n\r\n{{");
            connection.write(head.as_bytes());
        });
        let answer = answer(server.client().send(&post()));
        assert_eq!((answer.status, answer.whole), (status, false));
        assert_eq!(answer.retry_after.as_deref(), Some("9"));
    }
}

#[test]
fn connections_are_kept_and_a_closed_one_is_not_trusted() {
    let server = Server::start(|connection| {
        while connection.request().is_some() {
            connection.write(&ok(&connection.number.to_string()));
        }
    });
    let client = server.client();
    for _ in 0..5 {
        assert_eq!(answer(client.send(&post())).body, b"0");
    }
    // This one closes after each answer, without saying so.
    let closing = Server::start(|connection| {
        connection.request();
        connection.write(&ok("{}"));
        let _ = connection.socket.shutdown(Shutdown::Both);
    });
    let client = closing.client();
    for _ in 0..20 {
        // Found closed before the request: a new connection. Closed during it: lost, not repeated.
        match client.send(&post()) {
            Reply::Answer(_) | Reply::Lost { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(closing.seen().len() <= 20, "a request was repeated");
}

#[test]
fn a_create_on_a_dying_connection_is_never_repeated() {
    // The first request is answered; the second is read in full, then the connection dies.
    let server = Server::start(|connection| {
        connection.request();
        connection.write(&ok("{}"));
        connection.request();
        connection.reset();
    });
    let client = server.client();
    answer(client.send(&post()));
    lost(&client.send(&post()), "the connection was c");
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn shutdown_cuts_and_then_refuses() {
    let server = Server::start(|connection| {
        connection.request();
        connection.hang();
    });
    let client = Client::new(Endpoint {
        base_url: format!("http://{}", server.address),
        token_url: format!("http://{}/token", server.address),
        connect_timeout: Duration::from_secs(20),
        request_timeout: Duration::from_secs(60),
    })
    .unwrap();
    let clone = client.clone();
    let waiting = std::thread::spawn(move || clone.send(&post()));
    eventually("the request is read", || !server.seen().is_empty());
    client.shutdown();
    lost(&waiting.join().unwrap(), "no whole answer");
    not_sent(&client.send(&post()), "the client was stopped");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn what_is_too_long_for_a_head_never_leaves() {
    let server = Server::start(|connection| {
        connection.request();
        connection.write(&ok("{}"));
    });
    let client = client(&format!("http://{}", server.address));
    let Request::Call { request, .. } = post() else { panic!("a call") };
    for kilobytes in [16, 60, 200] {
        let token = Secret::new("t".repeat(kilobytes * 1024));
        not_sent(&client.send(&Request::Call { token, request: request.clone() }), "too long");
    }
    assert!(server.seen().is_empty());
    let token = Secret::new("t".repeat(crate::domain::token::LONGEST_TOKEN));
    assert_eq!(answer(client.send(&Request::Call { token, request })).status, 200, "the longest that is kept");
}

#[test]
fn an_address_that_is_too_long_is_the_requests_own_fault() {
    let server = Server::start(|connection| drop(connection.request()));
    let client = client(&format!("http://{}", server.address));
    let Request::Call { request, token } = post() else { panic!("a call") };
    let request = ApiRequest { path: format!("/reservations/{}", "x".repeat(13_000)), ..request };
    let reply = client.send(&Request::Call { token, request });
    let said = "the request address is too long";
    assert!(matches!(&reply, Reply::Unsendable { reason } if reason.contains(said)), "{reply:?}");
    assert!(server.seen().is_empty());
}
