//! A mail server for tests: says what its script says, and keeps what it was told.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the script wants instead of the usual answer.
pub(super) enum Say {
    /// This line.
    Line(&'static str),
    /// Nothing, and close.
    Close,
    /// Nothing, until the client goes.
    Nothing,
    /// These bytes again and again, with such pauses, until the client goes.
    Again(&'static str, Duration),
}

pub(super) struct FakeSmtp {
    pub(super) address: SocketAddr,
    told: Arc<Mutex<Vec<String>>>,
    mails: Arc<Mutex<Vec<String>>>,
}

type Script = dyn Fn(&str) -> Option<Say> + Send + Sync;

impl FakeSmtp {
    /// The script is asked before each answer: `connect`, a command line, or `.` for the end of a mail.
    pub(super) fn start(script: impl Fn(&str) -> Option<Say> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (told, mails) = (Arc::default(), Arc::default());
        let server = Self { address, told: Arc::clone(&told), mails: Arc::clone(&mails) };
        let script: Arc<Script> = Arc::new(script);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (script, told, mails) = (Arc::clone(&script), Arc::clone(&told), Arc::clone(&mails));
                thread::spawn(move || talk(&socket, &*script, &told, &mails));
            }
        });
        server
    }

    pub(super) fn url(&self, login: &str) -> String {
        format!("smtp://{login}{}", self.address)
    }

    /// The commands so far.
    pub(super) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    /// The mails that were taken, as they came over the wire, dots undone.
    pub(super) fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }
}

fn usual(line: &str) -> &'static str {
    match line.split([' ', ':']).next().unwrap_or("") {
        "connect" => "220 mail.example.org ESMTP",
        "EHLO" => "250-mail.example.org\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN",
        "AUTH" => "235 2.7.0 Welcome",
        "DATA" => "354 Go on",
        "." => "250 2.0.0 Queued as 4711",
        "QUIT" => "221 Bye",
        _ => "250 OK",
    }
}

/// Says it; false when the conversation is over.
fn answer(mut socket: &TcpStream, script: &Script, line: &str) -> bool {
    let words = match script(line) {
        None => usual(line),
        Some(Say::Line(words)) => words,
        Some(Say::Close) => return false,
        Some(Say::Nothing) => return true,
        Some(Say::Again(bytes, pause)) => {
            while socket.write_all(bytes.as_bytes()).is_ok() {
                thread::sleep(pause);
            }
            return false;
        }
    };
    socket.write_all(format!("{words}\r\n").as_bytes()).is_ok()
}

fn talk(socket: &TcpStream, script: &Script, told: &Mutex<Vec<String>>, mails: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(socket).lines().map_while(Result::ok);
    if !answer(socket, script, "connect") {
        return;
    }
    while let Some(line) = lines.next() {
        told.lock().unwrap().push(line.clone());
        if !answer(socket, script, &line) || line == "QUIT" {
            return;
        }
        if line == "DATA" {
            let mut mail = String::new();
            for line in lines.by_ref().take_while(|line| line != ".") {
                mail.push_str(line.strip_prefix('.').unwrap_or(&line));
                mail.push_str("\r\n");
            }
            mails.lock().unwrap().push(mail);
            if !answer(socket, script, ".") {
                return;
            }
        }
    }
}
