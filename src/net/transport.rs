//! Two parts of ureq replaced, both for the sake of certainty and of cost.
//!
//! *Watched* transports note on the calling thread when the first byte of a request is handed
//! over. An error before that moment proves that nothing was sent, whatever its kind, so nobody
//! has to keep a list of error kinds. (A TLS handshake runs below and does not count.)
//!
//! *Names* resolves host names. ureq asks the resolver for every request, also when it has an open
//! connection, and its own resolver starts a thread each time.
//!
//! Called by ureq on sender threads. Must not import: pgrx. The `ureq::unversioned` interfaces may
//! change in a minor version of ureq; the compiler will say so.

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport};

use super::url::literal;

/// How long a resolved name is used again. Short, because Guesty sits behind a load balancer.
const NAME_AGE: Duration = Duration::from_secs(30);

thread_local! {
    static TOUCHED: Cell<bool> = const { Cell::new(false) };
}

/// Call before a request, on the thread that sends it.
pub(super) fn begin() {
    TOUCHED.set(false);
}

/// Whether any byte of the request begun last on this thread was handed to a connection.
pub(super) fn touched() -> bool {
    TOUCHED.get()
}

/// ureq's connector, watched.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) inner: DefaultConnector,
    pub(super) names: Names,
}

impl Connector for Watch {
    type Out = Watched;

    fn connect(&self, details: &ConnectionDetails, chained: Option<()>) -> Result<Option<Watched>, Error> {
        let transport = self.inner.connect(details, chained);
        if transport.is_err() {
            // The host may have moved.
            self.names.forget();
        }
        transport.map(|t| t.map(Watched))
    }
}

pub(super) struct Watched(Box<dyn Transport>);

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Transport for Watched {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        TOUCHED.set(true);
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

/// Resolves IP addresses on the spot and remembers names for 30 seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    inner: Arc<DefaultResolver>,
    known: Arc<Mutex<Vec<Known>>>,
}

#[derive(Debug)]
struct Known {
    scheme: String,
    authority: String,
    since: Instant,
    addrs: ResolvedSocketAddrs,
}

impl Names {
    fn forget(&self) {
        self.with(Vec::clear);
    }

    fn with<R>(&self, job: impl FnOnce(&mut Vec<Known>) -> R) -> R {
        job(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn recall(&self, scheme: &str, authority: &str) -> Option<ResolvedSocketAddrs> {
        self.with(|known| {
            known.retain(|entry| entry.since.elapsed() < NAME_AGE);
            known
                .iter()
                .find(|entry| entry.scheme == scheme && entry.authority == authority)
                .map(|entry| entry.addrs.clone())
        })
    }
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(Error::HostNotFound);
        };
        if let Some(ip) = literal(authority.host()) {
            let usual = if scheme == "https" { 443 } else { 80 };
            let mut addrs = self.empty();
            addrs.push(SocketAddr::new(ip, authority.port_u16().unwrap_or(usual)));
            return Ok(addrs);
        }
        if let Some(addrs) = self.recall(scheme, authority.as_str()) {
            return Ok(addrs);
        }
        let addrs = self.inner.resolve(uri, config, timeout)?;
        self.with(|known| {
            known.push(Known {
                scheme: scheme.to_owned(),
                authority: authority.as_str().to_owned(),
                since: Instant::now(),
                addrs: addrs.clone(),
            });
        });
        Ok(addrs)
    }
}
