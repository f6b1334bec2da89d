//! How sender threads wake the main thread: a byte into a socket that it waits for together with its latch. They must not
//! touch the latch themselves: no Postgres call off the main thread.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

/// The main thread's end.
pub struct Alarm {
    ears: UnixStream,
    bell: UnixStream,
}

/// The sender threads' end.
pub struct Bell(UnixStream);

impl Alarm {
    /// Errors: no file descriptors left.
    pub fn new() -> std::io::Result<Self> {
        let (ears, bell) = UnixStream::pair()?;
        ears.set_nonblocking(true)?;
        bell.set_nonblocking(true)?;
        Ok(Self { ears, bell })
    }

    /// Another handle for a sender thread. Errors: no file descriptors left.
    pub fn bell(&self) -> std::io::Result<Bell> {
        self.bell.try_clone().map(Bell)
    }

    /// What to wait for.
    pub fn fd(&self) -> RawFd {
        self.ears.as_raw_fd()
    }

    /// Takes what was rung.
    pub fn silence(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.ears).read(&mut bytes), Ok(count) if count == bytes.len()) {}
    }
}

impl Bell {
    /// Wakes the main thread. A full socket means that it is awake already.
    pub fn ring(&self) {
        let _full = (&self.0).write(&[1]);
    }
}
