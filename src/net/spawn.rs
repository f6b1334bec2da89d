//! Starts threads on which Postgres's signal handlers cannot run. Called by `net::pool` and `net::mail`, on the worker's main
//! thread and on sender threads. Must not import: pgrx.

use std::{io, thread};

use crate::sys::SignalBlock;

/// Stack of a thread, in bytes: enough for the system's name lookup and for a TLS handshake in a debug build.
const STACK_SIZE: usize = 512 * 1024;

/// Starts a detached thread with all signals blocked.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let _block = SignalBlock::new()?;
    thread::Builder::new().name(name.to_owned()).stack_size(STACK_SIZE).spawn(work).map(drop)
}
