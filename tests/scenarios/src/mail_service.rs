//! The HTTP API of a mail service: keeps what is posted and gives the configured answer. Its thread ends with it. Called by the
//! tests, on their threads. Must not know what is posted.

use crate::wait::wait_until;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Posted {
    /// The path.
    pub path: String,
    /// Names in lower-case letters, and values.
    pub headers: Vec<(String, String)>,
    /// The JSON.
    pub body: Value,
}

impl Posted {
    /// A header's value, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

#[derive(Debug)]
struct Shared {
    posted: Vec<Posted>,
    answer: (u16, String),
    open: bool,
}

/// The service. Dropped, it closes.
#[derive(Debug)]
pub struct MailService {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl MailService {
    /// Listens on this machine and answers everything with this status and body.
    ///
    /// # Panics
    /// If there is no port left.
    #[must_use]
    pub fn open(status: u16, body: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap_or_else(|error| panic!("no port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let shared = Shared { posted: Vec::new(), answer: (status, body.to_owned()), open: true };
        let shared = Arc::new(Mutex::new(shared));
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !lock(&theirs).open {
                    return;
                }
                let _cut = serve(stream, &theirs);
            }
        });
        Self { address, shared }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the answer from now on.
    pub fn answer(&self, status: u16, body: &str) {
        lock(&self.shared).answer = (status, body.to_owned());
    }

    /// Waits until this number of requests was made, and gives them.
    ///
    /// # Panics
    /// If there are fewer after the timeout.
    #[must_use]
    #[track_caller]
    pub fn wait_for(&self, count: usize, timeout: Duration) -> Vec<Posted> {
        wait_until(&format!("{count} requests"), timeout, || {
            let seen = lock(&self.shared).posted.len();
            (seen >= count, seen.to_string())
        });
        lock(&self.shared).posted.clone()
    }
}

impl Drop for MailService {
    fn drop(&mut self) {
        lock(&self.shared).open = false;
        // Wakes the listener, which then sees it.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut posted = Posted { path, headers, body: Value::Null };
    let mut body = vec![0; posted.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    posted.body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, words) = {
        let mut shared = lock(shared);
        shared.posted.push(posted);
        shared.answer.clone()
    };
    let length = words.len();
    let head = format!("HTTP/1.1 {status} .\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
    (&stream).write_all(format!("{head}connection: close\r\n\r\n{words}").as_bytes())
}
