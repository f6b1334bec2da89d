//! The sizes of the full run and of the smoke run. Read by every benchmark. Must not measure.

use std::path::PathBuf;

/// Rounds of a full run.
const ROUNDS: usize = 3;

/// Sizes and rounds.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Small sizes, which only show that everything works.
    pub smoke: bool,
    /// Rounds, if given on the command line; a figure is the median of its rounds.
    pub rounds: Option<usize>,
    /// The folder of the consumers of other queues.
    pub peers: Option<PathBuf>,
}

impl Config {
    /// The number of rounds: one in the smoke run.
    pub fn rounds(&self) -> usize {
        self.rounds_or(ROUNDS)
    }

    /// The number of rounds, with another default for a full run.
    pub fn rounds_or(&self, full: usize) -> usize {
        if self.smoke { 1 } else { self.rounds.unwrap_or(full) }
    }

    /// One size for the full run, another one for the smoke run.
    pub fn size<T>(&self, full: T, smoke: T) -> T {
        if self.smoke { smoke } else { full }
    }
}
