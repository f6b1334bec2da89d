//! The signal mask and the CPU time of a thread: the only `unsafe` code outside `pg`.
//!
//! `net::spawn` blocks all signals while it starts a thread. A new thread inherits its creator's mask; otherwise SIGTERM or
//! SIGHUP could be delivered to a sender thread, where Postgres's handlers must never run. Threads that a sender thread starts
//! (ureq's resolver) inherit the mask too. Must not import: pgrx, ureq.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

/// Blocks every signal on the thread that created it. Dropping it restores the previous mask.
#[must_use = "the signals are blocked only while the guard lives"]
pub struct SignalBlock {
    previous: libc::sigset_t,
    /// Makes the guard `!Send`: the mask belongs to one thread, so it must be dropped on the same thread.
    not_send: PhantomData<*const ()>,
}

impl SignalBlock {
    /// Blocks every signal on this thread. Fails only if the system rejects the mask.
    pub fn new() -> io::Result<Self> {
        let mut all = MaybeUninit::uninit();
        // SAFETY: `all` is writable memory for one sigset_t.
        if unsafe { libc::sigfillset(all.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: sigfillset returned 0, so it initialised the set.
        let all = unsafe { all.assume_init() };
        let mut previous = MaybeUninit::uninit();
        // SAFETY: both pointers are valid for the call; only this thread's mask changes.
        let failed = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &all, previous.as_mut_ptr()) };
        if failed != 0 {
            return Err(io::Error::from_raw_os_error(failed));
        }
        Ok(SignalBlock {
            // SAFETY: pthread_sigmask returned 0, so it stored the previous mask.
            previous: unsafe { previous.assume_init() },
            not_send: PhantomData,
        })
    }
}

impl Drop for SignalBlock {
    fn drop(&mut self) {
        // SAFETY: `previous` was stored by pthread_sigmask on this same thread (the guard is not Send), and a null pointer is
        // allowed for the old mask. The call cannot fail with a valid first argument, so its result is ignored.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.previous, ptr::null_mut()) };
    }
}

/// CPU time used by the calling thread. Waiting for locks, disks or other processes does not count.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable memory for one timespec. If the clock does not exist, it stays zero.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// For tests: makes closing the socket send RST instead of FIN, like a host that crashes.
#[cfg(test)]
pub(crate) fn reset_on_close(socket: &std::net::TcpStream) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the descriptor is open while `socket` is borrowed; `linger` outlives the call, and its
    // own size is passed.
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
