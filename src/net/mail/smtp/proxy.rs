//! A proxy that limits one SMTP session. `lettre` connects only by address, reads lines of any length and has no overall
//! deadline. So it talks to a loopback socket of this process, and two threads copy the bytes to the server and back: they count
//! what the server sends, enforce one deadline, and can be stopped at any time. TLS passes through unchanged: `lettre` verifies
//! the certificate against the host in the settings.
//!
//! The loopback hop does not expose anything to other processes on this machine: `lettre` connects only to the listener that is
//! bound here, and the only connection that is accepted must come from the same random loopback address.
//! Called by `net::mail::smtp` on a sender thread. Must not import: pgrx.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::net::error_text::describe_io;
use crate::net::mail::cancel::{CANCELLED, CancelHandle};
use crate::net::mail::outgoing::RESPONSE_LIMIT;
use crate::net::spawn::spawn;

/// The reason in the outcome of a session that was closed at its deadline.
pub(super) const TIMED_OUT: &str = "the mail server did not answer in time";

/// Limit for `lettre` to connect to the proxy. It does so at once.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between two attempts to accept that connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(1);

/// Name of the threads that copy the bytes.
const THREAD_NAME: &str = "guestly mail";

/// A proxied connection to a mail server. Dropping it closes the connection.
pub(super) struct SmtpProxy {
    /// The address to connect to, from the same IP address.
    pub(super) address: SocketAddr,
    link: Arc<Link>,
}

impl SmtpProxy {
    /// Opens a connection to `host`. After the lookup of the host name, the session ends within `timeout`.
    ///
    /// # Errors
    ///
    /// No loopback socket or no thread is available.
    pub(super) fn open(host: &str, port: u16, timeout: Duration, cancel: &CancelHandle) -> io::Result<Self> {
        let listener = TcpListener::bind(&loopback_candidates()[..])?;
        let address = listener.local_addr()?;
        let link = Arc::new(Link::default());
        let (host, own_link) = (host.to_owned(), Arc::clone(&link));
        spawn(THREAD_NAME, move || {
            if let Err(reason) = relay(&listener, (&host, port), timeout, &own_link) {
                own_link.close(Some(&reason));
            }
        })?;
        let weak_link = Arc::downgrade(&link);
        cancel.on_cancel(move || {
            if let Some(link) = weak_link.upgrade() {
                link.close(Some(CANCELLED));
            }
        });
        Ok(Self { address, link })
    }

    /// The reason why the proxy closed the session; `None` if it did not, or if it was dropped.
    pub(super) fn close_reason(&self) -> Option<String> {
        self.link.lock().reason.clone()
    }

    /// For tests: its strong count shows which threads still exist.
    #[cfg(test)]
    pub(super) fn weak_link(&self) -> std::sync::Weak<impl Sized + use<>> {
        Arc::downgrade(&self.link)
    }
}

impl Drop for SmtpProxy {
    fn drop(&mut self) {
        self.link.close(None);
    }
}

/// Candidates for the listener: a random loopback address that other processes cannot guess, then the usual ones for systems
/// without it.
fn loopback_candidates() -> [SocketAddr; 3] {
    let random = RandomState::new().build_hasher().finish().to_be_bytes();
    let unguessable = Ipv4Addr::new(127, random[0] | 1, random[1], random[2].clamp(1, 254));
    [IpAddr::from(unguessable), Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].map(|ip| SocketAddr::new(ip, 0))
}

/// Connects both ends and copies the client's bytes; a second thread copies the server's.
fn relay(listener: &TcpListener, target: (&str, u16), timeout: Duration, link: &Arc<Link>) -> Result<(), String> {
    let Some(client) = accept(listener, link) else { return Ok(()) };
    link.register(&client).map_err(describe_error)?;
    let addresses: Vec<SocketAddr> = target.to_socket_addrs().map_err(describe_error)?.collect();
    let deadline = Instant::now() + timeout;
    let server = connect(&addresses, deadline, link)?;
    link.register(&server).map_err(describe_error)?;
    let (from_server, to_client) =
        (server.try_clone().map_err(describe_error)?, client.try_clone().map_err(describe_error)?);
    let own_link = Arc::clone(link);
    spawn(THREAD_NAME, move || match copy_bytes(&from_server, &to_client, RESPONSE_LIMIT, deadline) {
        // The client still reads what was copied before.
        Ok(()) => drop(to_client.shutdown(Shutdown::Write)),
        Err(reason) => own_link.close(Some(&reason)),
    })
    .map_err(describe_error)?;
    match copy_bytes(&client, &server, usize::MAX, deadline) {
        Ok(()) => link.close(None),
        Err(reason) if reason == TIMED_OUT => link.close(Some(TIMED_OUT)),
        // The server receives nothing more, but its last answer may be on the way.
        Err(_) => {}
    }
    Ok(())
}

/// Waits for the connection of this session; `None` if it does not arrive.
fn accept(listener: &TcpListener, link: &Link) -> Option<TcpStream> {
    let (deadline, own_ip) = (Instant::now() + ACCEPT_TIMEOUT, listener.local_addr().ok()?.ip());
    listener.set_nonblocking(true).ok()?;
    while Instant::now() < deadline && !link.lock().is_closed {
        match listener.accept() {
            Ok((client, peer)) if peer.ip() == own_ip => {
                client.set_nonblocking(false).ok()?;
                return Some(client);
            }
            // Another process: its connection is closed.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(ACCEPT_PAUSE),
            Err(_) => return None,
        }
    }
    None
}

fn connect(addresses: &[SocketAddr], deadline: Instant, link: &Link) -> Result<TcpStream, String> {
    let mut last_error = "the host name has no address".to_owned();
    for address in addresses {
        if link.lock().is_closed {
            break;
        }
        match TcpStream::connect_timeout(address, remaining(deadline).ok_or(TIMED_OUT)?) {
            Ok(server) => return Ok(server),
            Err(error) => last_error = describe_error(error),
        }
    }
    Err(last_error)
}

/// Copies bytes until `from` ends, at most `limit` bytes and until `deadline`.
fn copy_bytes(mut from: &TcpStream, mut to: &TcpStream, limit: usize, deadline: Instant) -> Result<(), String> {
    let (mut buffer, mut copied) = ([0; 8192], 0_usize);
    loop {
        from.set_read_timeout(Some(remaining(deadline).ok_or(TIMED_OUT)?)).map_err(describe_error)?;
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(describe_error(error)),
        };
        copied = copied.saturating_add(count);
        if copied > limit {
            return Err(format!("the mail server sent more than {} kB", limit / 1024));
        }
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            to.set_write_timeout(Some(remaining(deadline).ok_or(TIMED_OUT)?)).map_err(describe_error)?;
            match to.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(describe_error(error)),
            }
        }
    }
}

/// Time until `deadline`; `None` if it has passed.
fn remaining(deadline: Instant) -> Option<Duration> {
    Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}

fn describe_error(error: io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => TIMED_OUT.to_owned(),
        _ => describe_io(&error),
    }
}

/// State that the proxy and its threads share.
#[derive(Default)]
struct Link(Mutex<LinkState>);

#[derive(Default)]
struct LinkState {
    is_closed: bool,
    reason: Option<String>,
    sockets: Vec<TcpStream>,
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, LinkState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuts down both sockets, which ends every blocked read and write. The reason of the first call is kept.
    fn close(&self, reason: Option<&str>) {
        let mut state = self.lock();
        if !state.is_closed {
            state.reason = reason.map(str::to_owned);
        }
        state.is_closed = true;
        for socket in state.sockets.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Adds a socket that `close` must shut down. Fails if the link is already closed.
    fn register(&self, socket: &TcpStream) -> io::Result<()> {
        let socket = socket.try_clone()?;
        let mut state = self.lock();
        if state.is_closed {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        state.sockets.push(socket);
        Ok(())
    }
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
