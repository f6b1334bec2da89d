//! Unit tests of `client`: every way in which a request can end without an answer, and its reply.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::super::test_server::{AT_ONCE, Server, client, eventually, impatient, ok, post};
use super::tests::{answer, lost, not_sent};
use super::*;

#[test]
fn refused_connection_sends_nothing() {
    not_sent(&client("http://127.0.0.1:1").send(&post()), "refused");
}

#[test]
fn unknown_host_sends_nothing() {
    let reply = impatient("https://guestly.invalid").send(&post());
    // Without a name server, the error is "not found" or a timeout; nothing is sent in both cases.
    not_sent(&reply, "Nothing was sent");
}

#[test]
fn plaintext_port_sends_nothing_over_https() {
    let plain = Server::start(|connection| connection.write(b"HTTP/1.1 400 No\r\n\r\n"));
    let reply = client(&format!("https://{}", plain.address)).send(&post());
    not_sent(&reply, "the TLS connection failed");
}

#[test]
fn silent_port_sends_nothing_over_https() {
    let silent = Server::start(|connection| connection.hang());
    let reply = impatient(&format!("https://{}", silent.address)).send(&post());
    not_sent(&reply, "the connection attempt timed out");
    assert!(silent.seen().is_empty());
}

#[test]
fn missing_headers_time_out() {
    let server = Server::start(|connection| {
        connection.request();
        connection.hang();
    });
    let since = Instant::now();
    lost(&impatient(&format!("http://{}", server.address)).send(&post()), "the answer did not arrive in time");
    assert!(since.elapsed() < AT_ONCE);
}

#[test]
fn slowly_dripping_body_times_out() {
    let server = Server::start(|connection| {
        connection.request();
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        // Each byte arrives in time, the whole body does not.
        while connection.socket.write_all(b"a").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let since = Instant::now();
    lost(&impatient(&format!("http://{}", server.address)).send(&post()), "the answer did not arrive in time");
    assert!(since.elapsed() < AT_ONCE);
}

#[test]
fn connection_closed_after_the_request_is_lost() {
    for reset in [true, false] {
        let server = Server::start(move |connection| {
            connection.request();
            if reset {
                connection.reset();
            }
        });
        lost(&server.client().send(&post()), "the connection was closed");
        assert_eq!(server.seen().len(), 1, "sent twice");
    }
}

#[test]
fn connection_closed_in_the_body_is_lost() {
    for reset in [true, false] {
        let server = Server::start(move |connection| {
            connection.request();
            connection.write(b"HTTP/1.1 201 Created\r\nContent-Length: 30\r\n\r\n{\"reservationId\":\"");
            if reset {
                connection.reset();
            }
        });
        lost(&server.client().send(&post()), "no complete answer");
    }
}

#[test]
fn invalid_chunk_in_the_body_is_lost() {
    let chunked = Server::answering(
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{\"reservationId\":\"r1\"}\r\n",
    );
    lost(&chunked.client().send(&post()), "no complete answer");
}

#[test]
fn retry_after_is_kept_when_the_body_is_incomplete() {
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
fn connection_is_reused() {
    let server = Server::start(|connection| {
        while connection.request().is_some() {
            connection.write(&ok(&connection.number.to_string()));
        }
    });
    let client = server.client();
    for _ in 0..5 {
        assert_eq!(answer(client.send(&post())).body, b"0");
    }
}

#[test]
fn request_is_not_repeated_on_a_closed_connection() {
    // Closes after each answer without announcing it.
    let server = Server::start(|connection| {
        connection.request();
        connection.write(&ok("{}"));
        let _ = connection.socket.shutdown(Shutdown::Both);
    });
    let client = server.client();
    for _ in 0..20 {
        // If the close is noticed before the request, a new connection is made; if during it, the request is lost.
        match client.send(&post()) {
            Reply::Answer(_) | Reply::Lost { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(server.seen().len() <= 20, "a request was repeated");
}

#[test]
fn create_is_not_repeated_when_the_connection_dies() {
    // The first request is answered; the second is read completely, then the connection dies.
    let server = Server::start(|connection| {
        connection.request();
        connection.write(&ok("{}"));
        connection.request();
        connection.reset();
    });
    let client = server.client();
    answer(client.send(&post()));
    lost(&client.send(&post()), "the connection was closed");
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn shutdown_aborts_the_request_in_flight() {
    let (server, client) = hanging();
    let clone = client.clone();
    let waiting = std::thread::spawn(move || clone.send(&post()));
    eventually("the request is read", || !server.seen().is_empty());
    client.shutdown();
    lost(&waiting.join().unwrap(), "no complete answer");
}

#[test]
fn request_after_shutdown_is_not_sent() {
    let (server, client) = hanging();
    client.shutdown();
    not_sent(&client.send(&post()), "the client was shut down");
    assert!(server.seen().is_empty());
}

/// A server that never answers, and a client that does not give up soon.
fn hanging() -> (Server, Client) {
    let server = Server::start(|connection| {
        connection.request();
        connection.hang();
    });
    let endpoint = Endpoint {
        base_url: format!("http://{}", server.address),
        token_url: format!("http://{}/token", server.address),
        connect_timeout: Duration::from_secs(20),
        request_timeout: Duration::from_secs(60),
    };
    (server, Client::new(endpoint).unwrap())
}

#[test]
fn request_with_a_token_too_long_for_the_head_is_not_sent() {
    let server = Server::answering(ok("{}"));
    let Request::Call { request, .. } = post() else { panic!("a call") };
    for kilobytes in [16, 60, 200] {
        let token = Secret::new("t".repeat(kilobytes * 1024));
        not_sent(&server.client().send(&Request::Call { token, request: request.clone() }), "too long");
    }
    assert!(server.seen().is_empty());
}

#[test]
fn request_with_the_longest_token_is_sent() {
    let server = Server::answering(ok("{}"));
    let Request::Call { request, .. } = post() else { panic!("a call") };
    let token = Secret::new("t".repeat(LONGEST_TOKEN));
    assert_eq!(answer(server.client().send(&Request::Call { token, request })).status, 200);
}

#[test]
fn request_with_a_path_too_long_for_the_head_is_unsendable() {
    let server = Server::start(|connection| drop(connection.request()));
    let client = client(&format!("http://{}", server.address));
    let Request::Call { request, token } = post() else { panic!("a call") };
    let request = ApiRequest { path: format!("/reservations/{}", "x".repeat(13_000)), ..request };
    let reply = client.send(&Request::Call { token, request });
    let text = "the request address is too long";
    assert!(matches!(&reply, Reply::Unsendable { reason } if reason.contains(text)), "{reply:?}");
    assert!(server.seen().is_empty());
}
