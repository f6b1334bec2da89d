//! A small HTTP client and shortcuts for the tests. A library would hide broken answers.

use guestly_simulator::{Config, Knobs, Profile, Simulator};
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A listing with unlimited units.
pub const OPEN: &str = "64b1f0aa11bb22cc33dd4400";
/// A listing with one unit and a minimum of two nights.
pub const SINGLE: &str = "64b1f0aa11bb22cc33dd44f1";

/// One answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// One connection.
pub struct Client(TcpStream);

impl Client {
    pub fn new(url: &str) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(stream)
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Reply> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: sim\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        self.0.write_all(&[head.as_bytes(), body].concat())?;
        let mut bytes = Vec::new();
        let mut chunk = vec![0_u8; 64 * 1024];
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break end;
            }
            match self.0.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => bytes.extend_from_slice(&chunk[..count]),
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut reply = Reply { status: head[9..12].parse().unwrap(), head, body: bytes.split_off(end + 4) };
        let length: usize = reply.header("content-length").unwrap().parse().unwrap();
        while reply.body.len() < length {
            match self.0.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => reply.body.extend_from_slice(&chunk[..count]),
            }
        }
        reply.body.truncate(length);
        Ok(reply)
    }
}

/// A simulator and a token for it.
pub struct World {
    pub sim: Simulator,
    pub token: String,
}

impl World {
    /// No lags and no limits unless `knobs` says otherwise.
    pub fn new(knobs: Value) -> Self {
        let base = Knobs { lag_scale: 0.0, limits: false, ..Knobs::of(Profile::Observed) };
        let knobs = base.overlay(&knobs).unwrap();
        let sim = Simulator::start(Config { port: 0, knobs }).unwrap();
        let mut world = Self { sim, token: String::new() };
        world.token = world.fetch_token().json()["access_token"].as_str().unwrap().to_owned();
        world
    }

    pub fn client(&self) -> Client {
        Client::new(&self.sim.url())
    }

    pub fn fetch_token(&self) -> Reply {
        let form = b"grant_type=client_credentials&scope=open-api&client_id=sim-client&client_secret=sim-secret";
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        self.client().send("POST", "/oauth2/token", headers, form).unwrap()
    }

    pub fn headers(&self) -> String {
        format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.token)
    }

    pub fn try_call(&self, method: &str, path: &str, body: &Value) -> io::Result<Reply> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.client().send(method, path, &self.headers(), text.as_bytes())
    }

    pub fn call(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.try_call(method, path, body).unwrap()
    }

    pub fn create(&self, code: &str) -> io::Result<Reply> {
        self.try_call("POST", "/v1/reservations-v3", &booking(code))
    }

    /// The status of a create with some fields replaced.
    pub fn create_status(&self, code: &str, changes: &Value) -> u16 {
        self.call("POST", "/v1/reservations-v3", &booking_with(code, changes)).status
    }

    /// Creates a reservation and returns its id.
    pub fn created_id(&self, code: &str) -> String {
        self.create(code).unwrap().json()["reservationId"].as_str().unwrap().to_owned()
    }

    /// An update of a reservation.
    pub fn update(&self, id: &str, action: &str, body: &Value) -> Reply {
        self.call("PUT", &format!("/v1/reservations-v3/{id}/{action}"), body)
    }

    /// The status of a read that any token may make.
    pub fn read_status(&self) -> u16 {
        self.call("GET", &format!("/v1/listings/{OPEN}"), &Value::Null).status
    }

    /// The results of a search by code.
    pub fn search(&self, code: &str) -> Vec<Value> {
        let path = format!("/v1/reservations-v3/search?filter%5BconfirmationCode%5D={code}&limit=10");
        self.call("GET", &path, &Value::Null).json()["results"].as_array().cloned().unwrap_or_default()
    }

    pub fn admin(&self, method: &str, path: &str, body: &Value) -> Value {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.client().send(method, &format!("/__sim/{path}"), "", text.as_bytes()).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.json());
        reply.json()
    }

    pub fn fault(&self, matcher: Value, effect: Value) {
        self.admin("POST", "faults", &json!({"match": matcher, "effect": effect}));
    }

    /// Adds a rule for the next create.
    pub fn fault_next_create(&self, effect: Value) {
        self.fault(json!({"operation": "create", "count": 1}), effect);
    }

    /// Releases held calls.
    pub fn release(&self) {
        self.admin("POST", "release", &Value::Null);
    }

    /// Fatal violations and warnings of one invariant.
    pub fn violations(&self, id: &str) -> (u64, u64) {
        let counts = self.violation_counts()[id].clone();
        (counts["fatal"].as_u64().unwrap_or(0), counts["warn"].as_u64().unwrap_or(0))
    }

    /// The counts of all violated invariants.
    pub fn violation_counts(&self) -> Value {
        self.admin("GET", "violations", &Value::Null)["counts"].clone()
    }

    pub fn metrics(&self) -> Value {
        self.admin("GET", "metrics", &Value::Null)
    }

    /// The first logged create.
    pub fn first_create(&self) -> Value {
        self.admin("GET", "calls?operation=create", &Value::Null)["rows"][0].clone()
    }

    pub fn state(&self) -> Vec<Value> {
        self.admin("GET", "state", &Value::Null)["reservations"].as_array().cloned().unwrap()
    }
}

/// The body of a valid create.
pub fn booking(code: &str) -> Value {
    json!({
        "listingId": OPEN, "checkInDateLocalized": "2099-05-10", "checkOutDateLocalized": "2099-05-14",
        "source": "website", "status": "confirmed", "guestsCount": 2, "accommodationFare": 640.5,
        "guest": {"firstName": "Ana", "lastName": "Bel", "email": "ana@example.org", "phones": ["+302100000000"]},
        "confirmationCode": code, "origin": "site", "originId": format!("bk-{code}"),
    })
}

/// The same with some fields replaced; `null` removes a field.
pub fn booking_with(code: &str, changes: &Value) -> Value {
    let mut body = booking(code);
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(body.as_object_mut().unwrap().remove(key)),
            _ => body[key] = value.clone(),
        }
    }
    body
}

/// Waits until the condition holds, at most 30 s.
pub fn until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "the condition did not hold within 30 s");
        std::thread::sleep(Duration::from_millis(2));
    }
}
