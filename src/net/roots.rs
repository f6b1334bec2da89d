//! Which certificates TLS trusts, for the API and for mail alike: the system's or, where it has none, those that come with us.
//! Called by the worker's main thread and by sender threads. Must not import: pgrx.

use lettre::transport::smtp::client::{CertificateStore, TlsParameters};
use ureq::tls::RootCerts;

/// Whose certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The system's, or those that the environment names instead.
    System,
    /// A slim container may have none: those that come with us.
    Bundled,
}

impl Roots {
    /// Those in force. Where the environment names some, no others will do.
    #[must_use]
    pub fn here() -> Self {
        if are_named() || can_be_read() { Self::System } else { Self::Bundled }
    }

    /// As ureq takes them.
    pub(super) fn for_http(self) -> RootCerts {
        match self {
            Self::System => RootCerts::PlatformVerifier,
            Self::Bundled => RootCerts::WebPki,
        }
    }

    /// As lettre takes them.
    pub(super) fn for_mail(self) -> CertificateStore {
        match self {
            Self::System => CertificateStore::Default,
            Self::Bundled => CertificateStore::WebpkiRoots,
        }
    }
}

/// Whose certificates are in force, in words. Fails, in words, where they cannot be read: no address by https can be called.
pub fn look() -> Result<&'static str, &'static str> {
    match (Roots::here(), can_be_read()) {
        (Roots::Bundled, _) => Ok("the bundled ones: this system has none"),
        (Roots::System, true) if are_named() => Ok("those that SSL_CERT_FILE or SSL_CERT_DIR names"),
        (Roots::System, true) => Ok("the system's"),
        (Roots::System, false) => Err("there are no certificates where SSL_CERT_FILE or SSL_CERT_DIR says"),
    }
}

fn are_named() -> bool {
    ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| std::env::var_os(name).is_some())
}

/// Loads them, as every connection does.
fn can_be_read() -> bool {
    TlsParameters::new("localhost".to_owned()).is_ok()
}
