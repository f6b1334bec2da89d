//! Describes ureq's errors in plain words.
//!
//! Called by `net::client` and `net::mail` on sender threads. Must not import: pgrx.

use ureq::{Error, Timeout};

/// Describes the error as the second half of a sentence. May quote the URL, never a header or a body.
pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::Timeout(phase) => describe_timeout(*phase).to_owned(),
        Error::HostNotFound => "the host name was not found".to_owned(),
        Error::LargeResponseHeader(..) => "the headers of the answer are too large".to_owned(),
        Error::Protocol(cause) => format!("the answer is not valid HTTP ({cause})"),
        Error::Tls(cause) => format!("the TLS connection failed ({cause})"),
        Error::Rustls(cause) => format!("the TLS connection failed ({cause})"),
        Error::Io(cause) => describe_io(cause),
        other => other.to_string(),
    }
}

fn describe_timeout(phase: Timeout) -> &'static str {
    match phase {
        Timeout::Resolve => "the host name lookup timed out",
        Timeout::Connect => "the connection attempt timed out",
        Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite => "sending the request timed out",
        _ => "the answer did not arrive in time",
    }
}

/// Like [`describe`], for an error of the socket.
pub(super) fn describe_io(cause: &std::io::Error) -> String {
    use std::io::ErrorKind as Kind;
    match cause.kind() {
        Kind::ConnectionRefused => "the connection was refused".to_owned(),
        Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted => {
            "the connection was closed unexpectedly".to_owned()
        }
        Kind::UnexpectedEof => "the connection was closed before the answer was complete".to_owned(),
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => "the host is unreachable".to_owned(),
        // rustls reports its own errors this way, for example an untrusted certificate.
        Kind::InvalidData => format!("the TLS connection failed ({cause})"),
        Kind::NotConnected => "the client was shut down".to_owned(),
        _ => cause.to_string(),
    }
}
