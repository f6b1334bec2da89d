//! How much is measured: the sizes of the full run and of the smoke run. Read by every figure. Must not measure.

use std::path::PathBuf;

/// What the command line asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Small sizes, which only show that everything still works.
    pub smoke: bool,
    /// Rounds of the full run; a figure is the median of them.
    pub rounds: usize,
    /// The folder of the consumers of other queues.
    pub peers: Option<PathBuf>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { smoke: false, rounds: 3, peers: None }
    }
}

impl Plan {
    /// How often everything is measured.
    pub fn rounds(&self) -> usize {
        if self.smoke { 1 } else { self.rounds }
    }

    /// One size for the full run, another one for the smoke run.
    pub fn size<T>(&self, full: T, smoke: T) -> T {
        if self.smoke { smoke } else { full }
    }
}
