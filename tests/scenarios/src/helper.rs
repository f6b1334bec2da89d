//! Programs in Python that stand in for what is around a server: they print the port that they listen on, and end when their
//! input does. Called by `mailbox` and `front`. Must not know what they do.

use crate::letter::PYTHON;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A running one. Dropped, it ends.
#[derive(Debug)]
pub struct Helper {
    child: Child,
    /// It ends when this does.
    _input: Option<ChildStdin>,
}

impl Helper {
    /// Starts the program of this package, and gives its port once it listens.
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
