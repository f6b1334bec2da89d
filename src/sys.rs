//! The signal mask of sender threads and the processor time of a thread: the only `unsafe` outside `pg`.
//!
//! The mask is set by `net::pool` on the worker's main thread, around the spawning of a thread. A thread
//! inherits its creator's mask; without the guard SIGTERM or SIGHUP could be handled by a sender
//! thread, where Postgres's handlers must never run. Threads that a sender spawns (ureq's name
//! resolver) inherit the mask again. Must not import: pgrx, ureq.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

/// While it lives, the thread that made it has every signal blocked; dropping it restores the
/// mask found before.
#[must_use = "the signals are blocked only while the guard lives"]
pub struct SignalBlock {
    before: libc::sigset_t,
    /// The mask belongs to one thread, so the guard must not be dropped on another.
    here: PhantomData<*const ()>,
}

impl SignalBlock {
    /// Blocks every signal on this thread. Fails only when the system refuses the mask.
    pub fn new() -> io::Result<Self> {
        let mut every = MaybeUninit::uninit();
        // SAFETY: `every` is writable memory for one sigset_t.
        if unsafe { libc::sigfillset(every.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: sigfillset returned 0, so it filled the set.
        let every = unsafe { every.assume_init() };
        let mut before = MaybeUninit::uninit();
        // SAFETY: both pointers are valid for the call; only this thread's mask changes.
        let failed = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &every, before.as_mut_ptr()) };
        if failed != 0 {
            return Err(io::Error::from_raw_os_error(failed));
        }
        Ok(SignalBlock {
            // SAFETY: pthread_sigmask returned 0, so it stored the old mask.
            before: unsafe { before.assume_init() },
            here: PhantomData,
        })
    }
}

impl Drop for SignalBlock {
    fn drop(&mut self) {
        // SAFETY: `before` came from pthread_sigmask on this same thread (the guard is not Send).
        // It cannot fail with a valid first argument, so the result is of no use.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}

/// Processor time that the calling thread has used: waiting for locks, disks or other processes does not count.
#[must_use]
pub fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable memory for one timespec. Where there is no such clock it stays zero.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// For tests: closing the socket will send RST instead of FIN, as a crashing host would.
#[cfg(test)]
pub(crate) fn reset_on_close(socket: &std::net::TcpStream) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the descriptor is open while `socket` is borrowed; `linger` lives through the call
    // and its own size is given.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    match failed {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
