//! A TLS proxy in front of the simulator, which speaks plain HTTP. Called by the tests.

use crate::certificate::Certificate;
use crate::helper::Helper;
use crate::sim::Sim;

/// A running proxy. Ends when dropped.
#[derive(Debug)]
pub struct TlsProxy {
    _program: Helper,
    url: String,
}

impl TlsProxy {
    /// Listens on `address` with this certificate.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn open(address: &str, sim: &Sim, certificate: &Certificate) -> Self {
        let target = sim.url().rsplit(':').next().unwrap_or_default().to_owned();
        let arguments = [address, &target, &certificate.certificate, &certificate.key];
        let (program, port) = Helper::start("tls/proxy.py", &arguments);
        Self { _program: program, url: format!("https://{address}:{port}") }
    }

    /// `https://ADDRESS:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}
