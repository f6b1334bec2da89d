//! Reads an SMTP URL: which server, which login, and how the way there is kept private.
//! Called by `net::mail`. Must not import: pgrx.

use std::net::IpAddr;

use ureq::http::Uri;

use crate::domain::redact::Secret;

/// How a connection becomes private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Privacy {
    /// TLS from the first byte.
    Wrapped,
    /// STARTTLS, or nothing is sent.
    StartTls,
    /// STARTTLS if the server offers it. This machine only.
    IfOffered,
    /// This machine only.
    Plain,
}

/// A mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relay {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) privacy: Privacy,
    /// User name and password.
    pub(super) login: Option<(String, Secret)>,
}

impl Relay {
    /// Reads the URL. Errors never quote it.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.trim().parse().map_err(|_| {
            "smtp_url cannot be read: percent-encode special characters of login and password".to_owned()
        })?;
        let authority = uri.authority().ok_or("smtp_url needs a host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || !matches!(uri.path(), "" | "/") || url.contains('#') {
            return Err("smtp_url must look like smtps://login:password@host".to_owned());
        }
        let here = is_this_machine(&host);
        let (privacy, usual) = match (uri.scheme_str().unwrap_or(""), uri.query()) {
            ("smtps", None) => (Privacy::Wrapped, 465),
            ("smtp", Some("tls=required")) => (Privacy::StartTls, 587),
            ("smtp", Some("tls=none")) if here => (Privacy::Plain, 25),
            ("smtp", None) if here => (Privacy::IfOffered, 25),
            ("smtp", None) => (Privacy::StartTls, 587),
            ("smtp", Some("tls=none")) => return Err("smtp_url: tls=none is for this machine only".to_owned()),
            ("smtp" | "smtps", Some(_)) => return Err("smtp_url: the only option is tls=required or none".to_owned()),
            _ => return Err("smtp_url must begin with smtps:// or smtp://".to_owned()),
        };
        let login = match authority.as_str().rsplit_once('@') {
            None => None,
            Some((login, _)) => Some(read_login(login)?),
        };
        let given = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, place)| place);
        let has_port = given.len() > authority.host().len();
        let port = match (has_port, authority.port_u16()) {
            (false, _) => usual,
            (true, Some(port)) if port > 0 => port,
            (true, _) => return Err("smtp_url: the port must be from 1 to 65535".to_owned()),
        };
        Ok(Self { host, port, privacy, login })
    }

    /// The password, or nothing.
    pub(super) fn password(&self) -> &str {
        self.login.as_ref().map_or("", |(_, password)| password.reveal())
    }
}

fn read_login(login: &str) -> Result<(String, Secret), String> {
    let (user, password) = login.split_once(':').ok_or("smtp_url has a login without a password")?;
    let unreadable = "smtp_url: login or password is not percent-encoded UTF-8";
    let user = decode(user).ok_or(unreadable)?;
    let password = decode(password).ok_or(unreadable)?;
    Ok((user, Secret::new(password)))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<String> {
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

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(url: &str) -> (String, u16, Privacy) {
        let relay = Relay::parse(url).unwrap();
        (relay.host, relay.port, relay.privacy)
    }

    #[test]
    fn privacy_follows_from_scheme_and_place() {
        let place = |host: &str, port, privacy| (host.to_owned(), port, privacy);
        assert_eq!(relay("smtps://mail.example.org"), place("mail.example.org", 465, Privacy::Wrapped));
        assert_eq!(relay("smtp://mail.example.org"), place("mail.example.org", 587, Privacy::StartTls));
        assert_eq!(relay("smtp://mail.example.org:25/"), place("mail.example.org", 25, Privacy::StartTls));
        assert_eq!(relay("smtp://localhost"), place("localhost", 25, Privacy::IfOffered));
        assert_eq!(relay("smtp://[::1]:2525?tls=none"), place("::1", 2525, Privacy::Plain));
        assert_eq!(relay("smtp://127.0.0.1:2525?tls=required"), place("127.0.0.1", 2525, Privacy::StartTls));
    }

    #[test]
    fn a_login_is_decoded() {
        let login =
            Relay::parse("smtp://me%40example.org:p%3Aa%2Fs%40s%C3%9F@mail.example.org").unwrap().login.unwrap();
        assert_eq!((login.0.as_str(), login.1.reveal()), ("me@example.org", "p:a/s@sß"));
    }

    #[test]
    fn what_cannot_work_is_refused_without_being_quoted() {
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
            let refusal = Relay::parse(url).unwrap_err();
            assert!(!refusal.contains("hunter22"), "{url}: {refusal}");
        }
    }
}
