//! Root certificates for TLS, the same for the API and for mail: the system's or, where it has none, the bundled ones.
//! Called by the worker's main thread and by sender threads. Must not import: pgrx.

use lettre::transport::smtp::client::{CertificateStore, TlsParameters};
use ureq::tls::RootCerts;

/// Source of the root certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsRoots {
    /// The system's certificates, or those that the environment names instead.
    System,
    /// The certificates compiled into this library, because a slim container may have none.
    Bundled,
}

impl TlsRoots {
    /// The source in effect. If the environment names certificates, only those are used.
    #[must_use]
    pub fn detect() -> Self {
        if set_by_environment() || system_roots_load() { Self::System } else { Self::Bundled }
    }

    /// As ureq expects them.
    pub(super) fn for_http(self) -> RootCerts {
        match self {
            Self::System => RootCerts::PlatformVerifier,
            Self::Bundled => RootCerts::WebPki,
        }
    }

    /// As lettre expects them.
    pub(super) fn for_mail(self) -> CertificateStore {
        match self {
            Self::System => CertificateStore::Default,
            Self::Bundled => CertificateStore::WebpkiRoots,
        }
    }
}

/// Describes the certificates in effect, for the doctor.
///
/// # Errors
///
/// A sentence, if they cannot be read. No https address can be called then.
pub fn describe() -> Result<&'static str, &'static str> {
    match (TlsRoots::detect(), system_roots_load()) {
        (TlsRoots::Bundled, _) => Ok("bundled certificates (this system has none)"),
        (TlsRoots::System, true) if set_by_environment() => Ok("certificates from SSL_CERT_FILE or SSL_CERT_DIR"),
        (TlsRoots::System, true) => Ok("system certificates"),
        (TlsRoots::System, false) => Err("SSL_CERT_FILE or SSL_CERT_DIR is set, but no certificates were found there"),
    }
}

fn set_by_environment() -> bool {
    ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| std::env::var_os(name).is_some())
}

/// Loads the certificates the way every connection does.
fn system_roots_load() -> bool {
    TlsParameters::new("localhost".to_owned()).is_ok()
}
