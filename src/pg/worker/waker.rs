//! The self-pipe with which sender threads wake the main thread, which waits for this socket and its latch. Only the main
//! thread may call Postgres, so sender threads must not set the latch. Part of the worker.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

/// The main thread's end.
pub(super) struct Waker {
    receiver: UnixStream,
    sender: UnixStream,
}

/// The sender threads' end.
pub(super) struct WakeHandle(UnixStream);

impl Waker {
    /// Errors: no file descriptors left.
    pub(super) fn new() -> std::io::Result<Self> {
        let (receiver, sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        sender.set_nonblocking(true)?;
        Ok(Self { receiver, sender })
    }

    /// Another handle for a sender thread. Errors: no file descriptors left.
    pub(super) fn handle(&self) -> std::io::Result<WakeHandle> {
        self.sender.try_clone().map(WakeHandle)
    }

    /// The descriptor to wait for.
    pub(super) fn fd(&self) -> RawFd {
        self.receiver.as_raw_fd()
    }

    /// Empties the pipe.
    pub(super) fn drain(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.receiver).read(&mut bytes), Ok(count) if count == bytes.len()) {}
    }
}

impl WakeHandle {
    /// Wakes the main thread. A full pipe means that it is awake already.
    pub(super) fn wake(&self) {
        let _full = (&self.0).write(&[1]);
    }
}
