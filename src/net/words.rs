//! ureq's errors in plain words.
//!
//! Called by `net::client` on sender threads. Must not import: pgrx.

use ureq::{Error, Timeout};

/// What went wrong, as the end of a sentence. May quote the URL, never a header or a body.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::Timeout(phase) => timeout(*phase).to_owned(),
        Error::HostNotFound => "the host name was not found".to_owned(),
        Error::LargeResponseHeader(..) => "the headers of the answer are too large".to_owned(),
        Error::Protocol(cause) => format!("the answer is not HTTP ({cause})"),
        Error::Tls(cause) => format!("no secure connection ({cause})"),
        Error::Rustls(cause) => format!("no secure connection ({cause})"),
        Error::Io(cause) => io(cause),
        other => other.to_string(),
    }
}

fn timeout(phase: Timeout) -> &'static str {
    match phase {
        Timeout::Resolve => "looking up the host name took too long",
        Timeout::Connect => "connecting took too long",
        Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite => "sending took too long",
        _ => "the answer took too long",
    }
}

fn io(cause: &std::io::Error) -> String {
    use std::io::ErrorKind as Kind;
    match cause.kind() {
        Kind::ConnectionRefused => "the connection was refused".to_owned(),
        Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted => "the connection was cut".to_owned(),
        Kind::UnexpectedEof => "the connection was closed before the whole answer came".to_owned(),
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
            "the network does not reach the host".to_owned()
        }
        // rustls wraps its own errors, such as a certificate nobody vouches for.
        Kind::InvalidData => format!("no secure connection ({cause})"),
        Kind::NotConnected => "the client was stopped".to_owned(),
        _ => cause.to_string(),
    }
}
