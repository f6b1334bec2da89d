//! Answers, and their delivery: complete, or broken on purpose.
//! Built under the state lock, delivered by server.rs on the connection's thread.

use crate::clock;
use serde_json::{Value, json};
use socket2::SockRef;
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// One HTTP answer, and whether it changed business state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub committed: bool,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        Self { status, content_type: "application/json; charset=utf-8", body, ..Self::default() }
    }

    pub(crate) fn html(status: u16) -> Self {
        let text = format!(
            "<html><head><title>{status} {}</title></head><body><h1>Something went wrong</h1></body></html>",
            reason(status)
        );
        Self { status, content_type: "text/html", body: text.into_bytes(), ..Self::default() }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, content_type: "application/json", ..Self::default() }
    }

    /// An error in the shape of NestJS: statusCode, message, error.
    pub(crate) fn nest(status: u16, message: &str) -> Self {
        Self::json(status, &json!({"statusCode": status, "message": message, "error": reason(status)}))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn committed(mut self) -> Self {
        self.committed = true;
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn head(&self, length: usize, keep_alive: bool, date: i64) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            // A header value from a fault rule must not end the head.
            let value: String = value.chars().filter(|c| !c.is_control()).collect();
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let connection = if keep_alive { "keep-alive" } else { "close" };
        head.push_str(&format!(
            "Date: {}\r\nContent-Type: {}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n",
            clock::http_date(date),
            self.content_type
        ));
        head.into_bytes()
    }
}

/// The way an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    /// Bytes per second.
    Slow(u64),
    Rst,
    Fin,
    HalfBody,
    /// Content-Length is larger than the body.
    WrongLength,
    /// Content-Length is smaller than the body.
    ShortLength,
}

/// Writes the answer. `Ok(true)` keeps the connection open.
pub(crate) fn deliver(
    stream: &mut TcpStream,
    answer: &Answer,
    how: Delivery,
    keep: bool,
    date: i64,
) -> io::Result<bool> {
    let body = answer.body.as_slice();
    let whole = body.len();
    let (announced, sent) = match how {
        // The reset is sent when the last handle of the socket is dropped, right after this.
        Delivery::Rst => {
            SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
            return Ok(false);
        }
        Delivery::Fin => {
            stream.shutdown(Shutdown::Write)?;
            return Ok(false);
        }
        Delivery::Slow(rate) => {
            stream.write_all(&answer.head(whole, keep, date))?;
            write_slowly(stream, body, rate)?;
            return Ok(keep);
        }
        Delivery::Whole => (whole, whole),
        Delivery::HalfBody => (whole, whole / 2),
        Delivery::WrongLength => (whole + 64, whole),
        Delivery::ShortLength => (whole / 2, whole),
    };
    let mut bytes = answer.head(announced, keep, date);
    bytes.extend_from_slice(&body[..sent]);
    stream.write_all(&bytes)?;
    Ok(keep && how == Delivery::Whole)
}

fn write_slowly(stream: &mut TcpStream, body: &[u8], rate: u64) -> io::Result<()> {
    let per_tick = usize::try_from((rate / 20).max(1)).unwrap_or(1);
    for chunk in body.chunks(per_tick) {
        stream.write_all(chunk)?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The reason phrase of a status.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Payload Too Large",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
