//! The simulator as a separate process, whose work is not part of the measurements: for the benchmark. Called by `sim`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// A running program; `stop` ends it.
pub struct Program {
    child: Mutex<Child>,
    url: String,
}

impl Program {
    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(program: &Path) -> Self {
        let mut child = Command::new(program)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let mut line = String::new();
        if let Some(words) = child.stdout.take() {
            let _ = BufReader::new(words).read_line(&mut line);
        }
        let Some(url) = line.trim().strip_prefix("listening on ") else { panic!("the simulator says {line:?}") };
        Self { child: Mutex::new(child), url: url.to_owned() }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Ends it. A second call does nothing.
    pub fn stop(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}
