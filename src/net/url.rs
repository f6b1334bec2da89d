//! Checks which URLs may be called.
//!
//! Called by `net::client`, `net::dns_cache` and `net::mail`, on the worker's main thread and on sender threads.
//! Must not import: pgrx.

use std::net::IpAddr;

use ureq::http::Uri;

/// Parses a URL that may be called: https, or http to a loopback address.
///
/// # Errors
///
/// A sentence that does not quote the URL, which may contain a secret.
pub(super) fn parse(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|_| "the URL cannot be parsed".to_owned())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("the URL must begin with https:// and a host".to_owned());
    };
    if authority.as_str().contains('@') {
        return Err("the URL must not contain a user name or password".to_owned());
    }
    // `http::Uri` drops a fragment silently.
    if uri.query().is_some() || url.contains('#') {
        return Err("the URL must not contain a query (?) or a fragment (#)".to_owned());
    }
    let port = authority.as_str().get(authority.host().len()..).unwrap_or("");
    if authority.host().is_empty() || (!port.is_empty() && matches!(authority.port_u16(), None | Some(0))) {
        return Err("the URL needs a host, and its port must be from 1 to 65535".to_owned());
    }
    match scheme {
        "https" => Ok(uri),
        "http" if is_loopback(authority.host()) => Ok(uri),
        "http" => Err("the URL must use https; http is allowed only for loopback addresses".to_owned()),
        _ => Err("the URL must begin with https://".to_owned()),
    }
}

/// Parses a host that is an IP address. IPv6 may be in brackets.
pub(super) fn parse_ip(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || parse_ip(host).is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn check_url(url: &str) -> Result<(), String> {
        parse(url).map(drop)
    }

    #[test]
    fn https_is_allowed_anywhere() {
        for url in ["https://api.example.org/v1", "https://api.example.org:8443", "https://[2001:db8::1]/v1"] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn http_is_allowed_on_loopback() {
        for url in [
            "http://127.0.0.1:8080/v1",
            "http://127.9.9.9",
            "http://[::1]:8080/v1",
            "http://localhost:1/oauth2/token",
            "http://LocalHost",
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn refusals_do_not_quote_the_url() {
        for url in [
            "",
            "api.example.org",
            "/v1",
            "https://",
            "https:///v1",
            "http://api.example.org",
            "http://127.0.0.1.example.org",
            "http://localhost.example.org",
            "http://2130706433",
            "http://[::ffff:10.0.0.1]",
            "ftp://127.0.0.1",
            "https://me:hunter22@api.example.org",
            "https://api.example.org/v1?key=hunter22",
            "https://api.example.org/v1#hunter22",
            "https://api.example.org:0",
            "https://api.example.org:70000",
            "https://api.example.org:port",
            "https://api.example.org/a b",
            "https://api.example.org/\u{0}",
        ] {
            let refusal = check_url(url).unwrap_err();
            assert!(!refusal.contains("hunter22"), "{url}: {refusal}");
        }
    }
}
