//! Proves whether any byte of a request was sent.
//!
//! A watched transport records, on the calling thread, that the first byte of a request is handed over. An error before that
//! moment proves that nothing was sent, whatever its kind, so there is no list of error kinds to maintain. (The TLS handshake
//! runs below this layer and does not count.)
//!
//! Called by ureq on sender threads. Must not import: pgrx. The `ureq::unversioned` interfaces may change in a minor version of
//! ureq; such a change does not compile.

use std::cell::Cell;
use std::fmt;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport};

use super::dns_cache::DnsCache;

thread_local! {
    static BYTES_SENT: Cell<bool> = const { Cell::new(false) };
}

/// Must be called before a request, on the thread that sends it.
pub(super) fn reset() {
    BYTES_SENT.set(false);
}

/// True if any byte was handed to a connection on this thread since the last [`reset`].
pub(super) fn bytes_were_sent() -> bool {
    BYTES_SENT.get()
}

/// ureq's connector with watched transports.
#[derive(Debug)]
pub(super) struct FirstByteWatcher {
    pub(super) inner: DefaultConnector,
    /// Cleared when a connection fails.
    pub(super) dns_cache: DnsCache,
}

impl Connector for FirstByteWatcher {
    type Out = WatchedTransport;

    fn connect(&self, details: &ConnectionDetails, chained: Option<()>) -> Result<Option<WatchedTransport>, Error> {
        let transport = self.inner.connect(details, chained);
        if transport.is_err() {
            // The host may have moved.
            self.dns_cache.clear();
        }
        transport.map(|transport| transport.map(WatchedTransport))
    }
}

pub(super) struct WatchedTransport(Box<dyn Transport>);

impl fmt::Debug for WatchedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Transport for WatchedTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        BYTES_SENT.set(true);
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
