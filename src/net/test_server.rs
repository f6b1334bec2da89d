//! A raw TCP server for tests, so that it can break every rule of HTTP.
//!
//! Used only by the tests of `net`. Each connection has its own thread, which ends when its script ends or the client
//! disconnects.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, Endpoint};
use crate::domain::redact::Secret;
use crate::domain::request::{ApiRequest, Method, Request};

pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

pub(super) struct Connection {
    /// Counts from 0.
    pub(super) number: usize,
    pub(super) socket: TcpStream,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn start(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(script);
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for (number, socket) in listener.incoming().flatten().enumerate() {
                let mut connection = Connection { number, socket, seen: Arc::clone(&log) };
                let script = Arc::clone(&script);
                thread::spawn(move || script(&mut connection));
            }
        });
        Server { address, seen }
    }

    /// Answers every request on every connection with these bytes.
    pub(super) fn answering(bytes: impl Into<Vec<u8>>) -> Server {
        let bytes = bytes.into();
        Server::start(move |connection| {
            while connection.request().is_some() {
                connection.write(&bytes);
            }
        })
    }

    /// The requests read so far, as text.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn client(&self) -> Client {
        client(&format!("http://{}", self.address))
    }
}

impl Connection {
    /// Reads a request to the end of its body; `None` if the client has disconnected.
    pub(super) fn request(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .filter_map(|line| line.split_once(": "))
                    .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                    .map_or(0, |(_, length)| length.parse().unwrap());
                if body.len() >= length {
                    self.seen.lock().unwrap().push(text.clone().into_owned());
                    return Some(text.into_owned());
                }
            }
            match self.socket.read(&mut chunk) {
                Ok(0) | Err(_) => return None,
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        // The client may have disconnected already; the test asserts on the client's side.
        let _ = self.socket.write_all(bytes);
    }

    /// Makes closing the connection send RST instead of FIN.
    pub(super) fn reset(&mut self) {
        crate::sys::reset_on_close(&self.socket).unwrap();
    }

    /// Waits until the client disconnects.
    pub(super) fn hang(&mut self) {
        let mut chunk = [0; 4096];
        while self.socket.read(&mut chunk).is_ok_and(|count| count > 0) {}
    }
}

/// A client whose timeouts are long enough for a busy machine.
pub(super) fn client(base: &str) -> Client {
    client_with(base, Duration::from_secs(20), Duration::from_secs(30))
}

/// A client for a server that does not answer: it gives up soon.
pub(super) fn impatient(base: &str) -> Client {
    client_with(base, Duration::from_millis(400), Duration::from_millis(800))
}

fn client_with(base: &str, connect_timeout: Duration, request_timeout: Duration) -> Client {
    let (base_url, token_url) = (format!("{base}/v1"), format!("{base}/oauth2/token"));
    Client::new(Endpoint { base_url, token_url, connect_timeout, request_timeout }).unwrap()
}

pub(super) fn ok(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

pub(super) fn get(path: &str) -> Request {
    call(Method::Get, path, None)
}

pub(super) fn post() -> Request {
    let body = serde_json::json!({"listingId": "64b1f0aa11bb22cc33dd44e1"});
    call(Method::Post, "/reservations-v3", Some(body))
}

pub(super) fn call(method: Method, path: &str, body: Option<serde_json::Value>) -> Request {
    let path = path.to_owned();
    Request::Call { token: Secret::new("canary-token".to_owned()), request: ApiRequest { method, path, body } }
}

/// Limit for an operation that must not wait for the server, long enough for a busy machine.
pub(super) const AT_ONCE: Duration = Duration::from_secs(10);

/// Waits for a condition, at most 30 seconds.
pub(super) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
