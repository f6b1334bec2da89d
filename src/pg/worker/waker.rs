//! The self-pipe by which sender threads wake the main thread: it waits for this socket together with its latch. They must not
//! set the latch themselves: only the main thread may call Postgres.

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
