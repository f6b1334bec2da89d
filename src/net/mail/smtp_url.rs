//! Parses an SMTP URL: the server, the login and the encryption.
//! Called by `net::mail::send`. Must not import: pgrx.

use std::net::IpAddr;

use ureq::http::Uri;
use ureq::http::uri::Authority;

use crate::domain::redact::Secret;

/// Encryption of the connection to a mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    /// TLS from the first byte.
    ImplicitTls,
    /// STARTTLS; without it, nothing is sent.
    StartTls,
    /// STARTTLS if the server offers it. Only for loopback addresses.
    Opportunistic,
    /// No encryption. Only for loopback addresses.
    Plaintext,
}

/// A mail server and the login for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SmtpServer {
    /// A name, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
    /// User name and password.
    pub(super) login: Option<(String, Secret)>,
}

impl SmtpServer {
    /// Parses the URL. An error is a sentence that never quotes it.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.trim().parse().map_err(|_| {
            "smtp_url cannot be parsed: percent-encode special characters in the login and the password".to_owned()
        })?;
        let authority = uri.authority().ok_or("smtp_url needs a host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || !matches!(uri.path(), "" | "/") || url.contains('#') {
            return Err("smtp_url must look like smtps://login:password@host".to_owned());
        }
        let (encryption, default_port) = parse_encryption(&uri, is_loopback(&host))?;
        let login = match authority.as_str().rsplit_once('@') {
            None => None,
            Some((login, _)) => Some(parse_login(login)?),
        };
        let port = parse_port(authority, default_port)?;
        Ok(Self { host, port, encryption, login })
    }

    /// The password, or an empty text.
    pub(super) fn password(&self) -> &str {
        self.login.as_ref().map_or("", |(_, password)| password.reveal())
    }
}

/// The encryption that scheme and query ask for, and the default port.
fn parse_encryption(uri: &Uri, is_local: bool) -> Result<(Encryption, u16), String> {
    match (uri.scheme_str().unwrap_or(""), uri.query()) {
        ("smtps", None) => Ok((Encryption::ImplicitTls, 465)),
        ("smtp", Some("tls=required")) => Ok((Encryption::StartTls, 587)),
        ("smtp", Some("tls=none")) if is_local => Ok((Encryption::Plaintext, 25)),
        ("smtp", None) if is_local => Ok((Encryption::Opportunistic, 25)),
        ("smtp", None) => Ok((Encryption::StartTls, 587)),
        ("smtp", Some("tls=none")) => Err("smtp_url: tls=none is allowed only for loopback addresses".to_owned()),
        ("smtp" | "smtps", Some(_)) => Err("smtp_url: the only option is tls=required or tls=none".to_owned()),
        _ => Err("smtp_url must begin with smtps:// or smtp://".to_owned()),
    }
}

fn parse_port(authority: &Authority, default_port: u16) -> Result<u16, String> {
    let host_and_port = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, rest)| rest);
    let has_port = host_and_port.len() > authority.host().len();
    match (has_port, authority.port_u16()) {
        (false, _) => Ok(default_port),
        (true, Some(port)) if port > 0 => Ok(port),
        (true, _) => Err("smtp_url: the port must be from 1 to 65535".to_owned()),
    }
}

fn parse_login(login: &str) -> Result<(String, Secret), String> {
    let (user, password) = login.split_once(':').ok_or("smtp_url has a login without a password")?;
    let invalid = "smtp_url: login or password is not percent-encoded UTF-8";
    let user = percent_decode(user).ok_or(invalid)?;
    let password = percent_decode(password).ok_or(invalid)?;
    Ok((user, Secret::new(password)))
}

/// Decodes percent-encoding. `None` if it is invalid, or if the text contains control characters.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail.get(2..)?;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> (String, u16, Encryption) {
        let server = SmtpServer::parse(url).unwrap();
        (server.host, server.port, server.encryption)
    }

    #[test]
    fn encryption_follows_from_scheme_host_and_option() {
        let expected = |host: &str, port, encryption| (host.to_owned(), port, encryption);
        assert_eq!(server("smtps://mail.example.org"), expected("mail.example.org", 465, Encryption::ImplicitTls));
        assert_eq!(server("smtp://mail.example.org"), expected("mail.example.org", 587, Encryption::StartTls));
        assert_eq!(server("smtp://mail.example.org:25/"), expected("mail.example.org", 25, Encryption::StartTls));
        assert_eq!(server("smtp://localhost"), expected("localhost", 25, Encryption::Opportunistic));
        assert_eq!(server("smtp://[::1]:2525?tls=none"), expected("::1", 2525, Encryption::Plaintext));
        assert_eq!(server("smtp://127.0.0.1:2525?tls=required"), expected("127.0.0.1", 2525, Encryption::StartTls));
    }

    #[test]
    fn a_login_is_percent_decoded() {
        let login =
            SmtpServer::parse("smtp://me%40example.org:p%3Aa%2Fs%40s%C3%9F@mail.example.org").unwrap().login.unwrap();
        assert_eq!((login.0.as_str(), login.1.reveal()), ("me@example.org", "p:a/s@sß"));
    }

    #[test]
    fn refusals_do_not_quote_the_url() {
        for url in [
            "",
            "mail.example.org",
            "http://mail.example.org",
            "smtp://mail.example.org?tls=none",
            "smtp://mail.example.org?tls=opportunistic",
            "smtps://mail.example.org?tls=none",
            "smtp://127.0.0.1.example.org?tls=none",
            "smtp://mail.example.org:0",
            "smtp://mail.example.org:70000",
            "smtp://mail.example.org/path",
            "smtp://hunter22@mail.example.org",
            "smtp://me:hunter22%zz@mail.example.org",
            "smtp://me:hunter22%0d%0aQUIT@mail.example.org",
            "smtp://me:hunter22/@mail.example.org",
            "smtp://mail.example.org#hunter22",
        ] {
            let refusal = SmtpServer::parse(url).unwrap_err();
            assert!(!refusal.contains("hunter22"), "{url}: {refusal}");
        }
    }
}
