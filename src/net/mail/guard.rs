//! Limits for one SMTP conversation. `lettre` connects by address only, reads lines of any length and knows no deadline for
//! the whole. So it talks to a loopback socket of this process, and two threads carry the bytes to the server and back: they
//! count what the server says, keep one deadline, and can be cut at any time. TLS passes through: names are verified by
//! `lettre`, against the host in the settings.
//!
//! The loopback hop gives another process of this machine nothing: `lettre` reaches the listener that is bound here and
//! nothing else, and the one connection that is accepted must come from the same random loopback address.
//! Called by `net::mail::smtp` on a sender thread. Must not import: pgrx.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::hangup::Hangup;
use crate::net::words::words;
use crate::sys::SignalBlock;

/// Bytes that a server may say in one conversation, TLS records included.
pub(super) const READ_LIMIT: usize = 64 * 1024;

/// Why a conversation was cut that the settings no longer ask for.
pub(super) const ABANDONED: &str = "the mail settings were changed meanwhile";

/// Why a conversation was cut at its deadline.
pub(super) const TOO_LONG: &str = "the mail server took too long";

/// How soon `lettre` must connect: it does so at once.
const ACCEPT: Duration = Duration::from_secs(5);

/// Enough for the system's name look-up, and for a TLS handshake in a debug build.
const STACK: usize = 512 * 1024;

/// A guarded way to a mail server. Dropped, it is cut.
pub(super) struct Guard {
    /// Where to connect, from the same IP address.
    pub(super) address: SocketAddr,
    line: Arc<Line>,
}

impl Guard {
    /// Opens a way to `host`. The look-up of the name comes first; from then on the conversation ends within `timeout`.
    ///
    /// # Errors
    ///
    /// No loopback socket or no thread can be had.
    pub(super) fn open(host: &str, port: u16, timeout: Duration, hangup: &Hangup) -> io::Result<Self> {
        let listener = TcpListener::bind(&loopback()[..])?;
        let address = listener.local_addr()?;
        let line = Arc::new(Line::default());
        let (host, own) = (host.to_owned(), Arc::clone(&line));
        spawn(move || {
            if let Err(why) = carry(&listener, (&host, port), timeout, &own) {
                own.cut(Some(&why));
            }
        })?;
        let cut = Arc::downgrade(&line);
        hangup.on_cut(move || {
            if let Some(line) = cut.upgrade() {
                line.cut(Some(ABANDONED));
            }
        });
        Ok(Self { address, line })
    }

    /// Why the guard or the server's side ended the conversation; none if neither did.
    pub(super) fn why(&self) -> Option<String> {
        self.line.lock().why.clone()
    }

    /// The threads and sockets that are left, as a test sees it.
    #[cfg(test)]
    pub(super) fn watch(&self) -> std::sync::Weak<impl Sized + use<>> {
        Arc::downgrade(&self.line)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.line.cut(None);
    }
}

/// A random address that no other process knows, where the system has more than one for loopback.
fn loopback() -> [SocketAddr; 3] {
    let random = RandomState::new().build_hasher().finish().to_be_bytes();
    let hidden = Ipv4Addr::new(127, random[0] | 1, random[1], random[2].clamp(1, 254));
    [IpAddr::from(hidden), Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].map(|ip| SocketAddr::new(ip, 0))
}

/// Starts a thread with all signals blocked.
pub(super) fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let _block = SignalBlock::new()?;
    thread::Builder::new().name("guestly mail".to_owned()).stack_size(STACK).spawn(work).map(drop)
}

/// Connects both ends and carries what the client says; a second thread carries what the server says.
fn carry(listener: &TcpListener, place: (&str, u16), timeout: Duration, line: &Arc<Line>) -> Result<(), String> {
    let Some(client) = accept(listener, line) else { return Ok(()) };
    line.hold(&client).map_err(spoken)?;
    let addresses: Vec<SocketAddr> = place.to_socket_addrs().map_err(spoken)?.collect();
    let until = Instant::now() + timeout;
    let server = connect(&addresses, until, line)?;
    line.hold(&server).map_err(spoken)?;
    let (said, own) = ((server.try_clone().map_err(spoken)?, client.try_clone().map_err(spoken)?), Arc::clone(line));
    spawn(move || match pump(&said.0, &said.1, READ_LIMIT, until) {
        // What came before is read to its end.
        Ok(()) => drop(said.1.shutdown(Shutdown::Write)),
        Err(why) => own.cut(Some(&why)),
    })
    .map_err(spoken)?;
    match pump(&client, &server, usize::MAX, until) {
        Ok(()) => line.cut(None),
        Err(why) if why == TOO_LONG => line.cut(Some(TOO_LONG)),
        // The server hears nothing more; what it said last may be on its way.
        Err(_) => {}
    }
    Ok(())
}

/// The connection of this conversation; none if it does not come.
fn accept(listener: &TcpListener, line: &Line) -> Option<TcpStream> {
    let (until, own) = (Instant::now() + ACCEPT, listener.local_addr().ok()?.ip());
    listener.set_nonblocking(true).ok()?;
    while Instant::now() < until && !line.lock().cut {
        match listener.accept() {
            Ok((client, peer)) if peer.ip() == own => {
                client.set_nonblocking(false).ok()?;
                return Some(client);
            }
            // A stranger.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(1)),
            Err(_) => return None,
        }
    }
    None
}

fn connect(addresses: &[SocketAddr], until: Instant, line: &Line) -> Result<TcpStream, String> {
    let mut last = "the host name has no address".to_owned();
    for address in addresses {
        if line.lock().cut {
            break;
        }
        match TcpStream::connect_timeout(address, left(until).ok_or(TOO_LONG)?) {
            Ok(server) => return Ok(server),
            Err(error) => last = spoken(error),
        }
    }
    Err(last)
}

/// Carries bytes until the one side ends, at most `limit` of them and until then.
fn pump(mut from: &TcpStream, mut to: &TcpStream, limit: usize, until: Instant) -> Result<(), String> {
    let (mut buffer, mut carried) = ([0; 8192], 0_usize);
    loop {
        from.set_read_timeout(Some(left(until).ok_or(TOO_LONG)?)).map_err(spoken)?;
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(spoken(error)),
        };
        carried = carried.saturating_add(count);
        if carried > limit {
            return Err(format!("the mail server said more than {} kB", limit / 1024));
        }
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            to.set_write_timeout(Some(left(until).ok_or(TOO_LONG)?)).map_err(spoken)?;
            match to.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(spoken(error)),
            }
        }
    }
}

/// What is left of the time; none if nothing is.
fn left(until: Instant) -> Option<Duration> {
    Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}

fn spoken(error: io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => TOO_LONG.to_owned(),
        _ => words(&ureq::Error::Io(error)),
    }
}

/// What the threads of a conversation share.
#[derive(Default)]
struct Line(Mutex<State>);

#[derive(Default)]
struct State {
    cut: bool,
    why: Option<String>,
    ends: Vec<TcpStream>,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends whatever blocks on either socket. The first reason counts.
    fn cut(&self, why: Option<&str>) {
        let mut state = self.lock();
        if !state.cut {
            state.why = why.map(str::to_owned);
        }
        state.cut = true;
        for end in state.ends.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Remembers a socket that `cut` must end.
    fn hold(&self, end: &TcpStream) -> io::Result<()> {
        let end = end.try_clone()?;
        let mut state = self.lock();
        if state.cut {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        state.ends.push(end);
        Ok(())
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
