//! Helper servers in Python: they print the port that they listen on, and end when their input closes. Called by `mailbox` and
//! `tls_proxy`. Must not know what they serve.

use crate::mail_parsing::PYTHON;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A running program. Ends when dropped.
#[derive(Debug)]
pub struct Helper {
    child: Child,
    /// The program ends when this closes.
    _input: Option<ChildStdin>,
}

impl Helper {
    /// Starts a program of this package and gives its port once it listens.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(program: &str, arguments: &[&str]) -> (Self, u16) {
        let mut child = Command::new(PYTHON)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(program))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{PYTHON} does not start: {error}"));
        let mut line = String::new();
        if let Some(words) = child.stdout.take() {
            let _ = BufReader::new(words).read_line(&mut line);
        }
        let input = child.stdin.take();
        let Ok(port) = line.trim().parse() else {
            panic!(
                "{program} gave no port but {line:?}; what it needs is listed in src/README.md, section Building from source"
            )
        };
        (Self { child, _input: input }, port)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
