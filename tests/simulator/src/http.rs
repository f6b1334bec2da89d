//! Reading HTTP/1.1 requests from one connection: keep-alive, Content-Length, chunked, `Expect: 100-continue`.
//! Called by server.rs on the connection's thread. Must not know the API.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 1024 * 1024;
const MAX_HEADERS: usize = 100;

/// One request as received; header names are lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub method: String,
    /// Path and query, not decoded.
    pub target: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub keep_alive: bool,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The reason why there is no request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRequest {
    /// The peer closed, the idle time ended, or the transport failed.
    Closed,
    /// The request cannot be accepted: it is to be answered with this status, and the connection closed.
    Bad(u16),
}

/// A connection, with bytes that were read beyond the last request.
pub(crate) struct Connection {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::with_capacity(4096) }
    }

    /// True if bytes of the next request have been read.
    pub(crate) fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Reads the next complete request.
    pub(crate) fn read_request(&mut self, idle: Option<Duration>) -> Result<Request, NoRequest> {
        if self.stream.set_read_timeout(idle).is_err() {
            return Err(NoRequest::Closed);
        }
        loop {
            if let Some((request, length, framing)) = parse_head(&self.buffer)? {
                self.buffer.drain(..length);
                return self.read_body(request, framing);
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(NoRequest::Bad(431));
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), NoRequest> {
        let mut chunk = [0_u8; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(NoRequest::Closed),
                Ok(count) => {
                    self.buffer.extend_from_slice(&chunk[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(NoRequest::Closed),
            }
        }
    }

    fn read_body(&mut self, mut request: Request, framing: Framing) -> Result<Request, NoRequest> {
        if request.header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue"))
            && self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_err()
        {
            return Err(NoRequest::Closed);
        }
        request.body = match framing {
            Framing::Length(length) if length > MAX_BODY => return Err(NoRequest::Bad(413)),
            Framing::Length(length) => self.take(length)?,
            Framing::Chunked => self.read_chunks()?,
        };
        Ok(request)
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, NoRequest> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, NoRequest> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?;
            let digits = line.split(';').next().unwrap_or("").trim();
            let length = usize::from_str_radix(digits, 16).map_err(|_| NoRequest::Bad(400))?;
            if length == 0 {
                while !self.read_line()?.is_empty() {}
                return Ok(body);
            }
            if body.len() + length > MAX_BODY {
                return Err(NoRequest::Bad(413));
            }
            body.extend(self.take(length)?);
            self.read_line()?;
        }
    }

    fn read_line(&mut self) -> Result<String, NoRequest> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(NoRequest::Bad(400));
            }
            self.fill()?;
        }
    }
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

fn parse_head(buffer: &[u8]) -> Result<Option<(Request, usize, Framing)>, NoRequest> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(NoRequest::Bad(431)),
        Err(_) => return Err(NoRequest::Bad(400)),
    };
    let target = head.path.unwrap_or("/").to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut request = Request {
        method: head.method.unwrap_or("GET").to_owned(),
        path: decode(path, false),
        query: parse_pairs(query),
        keep_alive: head.version == Some(1),
        ..Request::default()
    };
    for header in head.headers.iter() {
        let value = String::from_utf8_lossy(header.value).into_owned();
        request.headers.push((header.name.to_ascii_lowercase(), value));
    }
    request.target = target;
    if let Some(value) = request.header("connection") {
        request.keep_alive = !value.eq_ignore_ascii_case("close");
    }
    let chunked = request.header("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().contains("chunked"));
    let framing = match request.header("content-length") {
        _ if chunked => Framing::Chunked,
        Some(value) => Framing::Length(value.trim().parse().map_err(|_| NoRequest::Bad(400))?),
        None => Framing::Length(0),
    };
    Ok(Some((request, length, framing)))
}

/// `a=b&c=d` to decoded pairs; used for queries and for forms.
pub(crate) fn parse_pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key, true), decode(value, true))
        })
        .collect()
}

/// Percent-decoding; `plus` turns `+` into a space.
pub(crate) fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, pair) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 3;
                continue;
            }
            (b'+', _) if plus => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
