//! A mail server for tests: answers as its script says, and records the commands and the mails that it receives.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// An answer of the script instead of the default one.
pub(super) enum Say {
    /// This line.
    Line(&'static str),
    /// Close without an answer.
    Close,
    /// No answer until the client disconnects.
    Nothing,
    /// These bytes repeatedly, with this pause, until the client disconnects.
    Repeat(&'static str, Duration),
}

pub(super) struct FakeSmtp {
    pub(super) address: SocketAddr,
    commands: Arc<Mutex<Vec<String>>>,
    mails: Arc<Mutex<Vec<String>>>,
}

type Script = dyn Fn(&str) -> Option<Say> + Send + Sync;

impl FakeSmtp {
    /// The script is asked before each answer: `connect`, a command line, or `.` for the end of a mail.
    pub(super) fn start(script: impl Fn(&str) -> Option<Say> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (commands, mails) = (Arc::default(), Arc::default());
        let server = Self { address, commands: Arc::clone(&commands), mails: Arc::clone(&mails) };
        let script: Arc<Script> = Arc::new(script);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (script, commands, mails) = (Arc::clone(&script), Arc::clone(&commands), Arc::clone(&mails));
                thread::spawn(move || run_session(&socket, &*script, &commands, &mails));
            }
        });
        server
    }

    pub(super) fn url(&self, login: &str) -> String {
        format!("smtp://{login}{}", self.address)
    }

    /// The commands received so far.
    pub(super) fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }

    /// The mails received so far, as sent over the wire, with dot-stuffing removed.
    pub(super) fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }
}

fn default_answer(line: &str) -> &'static str {
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

/// Sends the answer. Returns false when the session has ended.
fn answer(mut socket: &TcpStream, script: &Script, line: &str) -> bool {
    let text = match script(line) {
        None => default_answer(line),
        Some(Say::Line(text)) => text,
        Some(Say::Close) => return false,
        Some(Say::Nothing) => return true,
        Some(Say::Repeat(bytes, pause)) => {
            while socket.write_all(bytes.as_bytes()).is_ok() {
                thread::sleep(pause);
            }
            return false;
        }
    };
    socket.write_all(format!("{text}\r\n").as_bytes()).is_ok()
}

fn run_session(socket: &TcpStream, script: &Script, commands: &Mutex<Vec<String>>, mails: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(socket).lines().map_while(Result::ok);
    if !answer(socket, script, "connect") {
        return;
    }
    while let Some(line) = lines.next() {
        commands.lock().unwrap().push(line.clone());
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
