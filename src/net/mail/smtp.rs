//! One conversation with a mail server. Called by `net::mail` on a sender thread. Must not import: pgrx.
//!
//! `lettre` knows the protocol; the order of the conversation is ours, because the caller must know whether a mail may have
//! been taken when the connection breaks, and one bad recipient must not keep the mail from the others.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;

use super::MailOutcome;
use super::guard::{Guard, TOO_LONG};
use super::hangup::Hangup;
use super::message::{Addresses, mime};
use super::relay::{Privacy, Relay};
use crate::domain::alert::Mail;
use crate::net::roots::Roots;
use crate::net::words::words;

/// How long a server that has taken the mail may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// The look-up of the server's name is given up after this; the conversation's own time begins after it.
const LOOK_UP: Duration = Duration::from_secs(30);

/// Sends the mail once.
pub(super) fn send(
    relay: &Relay,
    addresses: &Addresses,
    mail: &Mail,
    key: &str,
    timeout: Duration,
    hangup: &Hangup,
) -> MailOutcome {
    let bytes = match mime(addresses, mail, key) {
        Ok(bytes) => bytes,
        Err(answer) => return MailOutcome::Refused { permanent: true, answer },
    };
    let guard = match Guard::open(&relay.host, relay.port, timeout, hangup) {
        Ok(guard) => guard,
        Err(error) => return MailOutcome::Unreachable { why: words(&ureq::Error::Io(error)), maybe_sent: false },
    };
    match converse(relay, addresses, &bytes, &guard, timeout) {
        // The guard knows better why the conversation broke off.
        MailOutcome::Unreachable { why, maybe_sent } => {
            MailOutcome::Unreachable { why: guard.why().unwrap_or(why), maybe_sent }
        }
        ended => ended,
    }
}

/// The whole conversation. The guard keeps the time: `lettre` itself only has a limit that the guard comes before.
fn converse(relay: &Relay, addresses: &Addresses, mail: &[u8], guard: &Guard, timeout: Duration) -> MailOutcome {
    let (mut connection, refused) = match prepare(relay, addresses, guard, timeout + LOOK_UP) {
        Ok(prepared) => prepared,
        Err(failure) => return failure,
    };
    match connection.message(mail).map_err(|error| outcome(&error, true)) {
        Ok(response) => {
            // It is taken: whatever happens now must not make anybody send it again.
            let _ = connection.set_timeout(Some(GOODBYE));
            let _ = connection.quit();
            MailOutcome::Accepted { answer: [vec![said(&response)], refused].concat().join("; but ") }
        }
        Err(failure) => failure,
    }
}

/// Everything up to the moment when the server waits for the mail; also which recipients it does not want.
fn prepare(
    relay: &Relay,
    addresses: &Addresses,
    guard: &Guard,
    patience: Duration,
) -> Result<(SmtpConnection, Vec<String>), MailOutcome> {
    let mut connection = greet(relay, addresses, guard, patience)?;
    if let Some((user, password)) = &relay.login {
        let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
        connection.auth(DEFAULT_MECHANISMS, &credentials).map_err(early)?;
    }
    connection.command(MailFrom::new(Some(addresses.from.email.clone()), Vec::new())).map_err(early)?;
    let mut refusals: Vec<(String, MailOutcome)> = Vec::new();
    for recipient in addresses.recipients() {
        match connection.command(Rcpt::new(recipient.clone(), Vec::new())).map_err(early) {
            Ok(_) => {}
            Err(failure @ MailOutcome::Unreachable { .. }) => return Err(failure),
            Err(failure) => refusals.push((recipient.to_string(), failure)),
        }
    }
    if refusals.len() == addresses.to.len() {
        return Err(nobody(&refusals));
    }
    connection.command(Data).map_err(early)?;
    Ok((connection, refusals.iter().map(|(recipient, failure)| refusal(recipient, failure)).collect()))
}

/// A connection as private as the settings ask for.
fn greet(
    relay: &Relay,
    addresses: &Addresses,
    guard: &Guard,
    patience: Duration,
) -> Result<SmtpConnection, MailOutcome> {
    // Servers are picky about this name; the sender's domain is one that they know.
    let name = ClientId::Domain(addresses.from.email.domain().to_owned());
    let tls = match relay.privacy {
        Privacy::Plain => None,
        _ => Some(tls(&relay.host)?),
    };
    let wrapped = tls.as_ref().filter(|_| relay.privacy == Privacy::Wrapped);
    let (place, from) = (guard.address, Some(guard.address.ip()));
    let mut connection = SmtpConnection::connect(place, Some(patience), &name, wrapped, from).map_err(early)?;
    let wanted = match relay.privacy {
        Privacy::StartTls => true,
        Privacy::IfOffered => connection.can_starttls(),
        Privacy::Wrapped | Privacy::Plain => false,
    };
    if let (true, Some(tls)) = (wanted, &tls) {
        if !connection.can_starttls() {
            let answer = "the mail server offers no encryption (STARTTLS): nothing was sent to it".to_owned();
            return Err(MailOutcome::Refused { permanent: true, answer });
        }
        connection.starttls(tls, &name).map_err(early)?;
    }
    Ok(connection)
}

/// Certificates are always checked.
fn tls(host: &str) -> Result<TlsParameters, MailOutcome> {
    TlsParameters::builder(host.to_owned()).certificate_store(Roots::here().for_mail()).build().map_err(early)
}

/// An error before the mail itself was sent.
fn early(error: Error) -> MailOutcome {
    outcome(&error, false)
}

fn outcome(error: &Error, maybe_sent: bool) -> MailOutcome {
    if let Some(code) = error.status() {
        let text = error.source().map(ToString::to_string).unwrap_or_default();
        return MailOutcome::Refused { permanent: error.is_permanent(), answer: format!("{code} {text}") };
    }
    if error.is_client() {
        let answer = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        return MailOutcome::Refused { permanent: true, answer };
    }
    MailOutcome::Unreachable { why: plain(error), maybe_sent }
}

fn plain(error: &Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => TOO_LONG.to_owned(),
                kind => words(&ureq::Error::Io(io::Error::new(kind, io.to_string()))),
            };
        }
        cause = inner.source();
    }
    match error.is_response() {
        true => "the connection was closed, or the answer is not SMTP".to_owned(),
        false => error.to_string(),
    }
}

fn said(response: &Response) -> String {
    let lines: Vec<&str> = response.message().collect();
    format!("{} {}", response.code(), lines.join(" "))
}

fn refusal(recipient: &str, failure: &MailOutcome) -> String {
    match failure {
        MailOutcome::Refused { answer, .. } => format!("{recipient} was refused: {answer}"),
        MailOutcome::Accepted { .. } | MailOutcome::Unreachable { .. } => recipient.to_owned(),
    }
}

/// No recipient is left.
fn nobody(refusals: &[(String, MailOutcome)]) -> MailOutcome {
    let permanent = refusals.iter().all(|(_, failure)| matches!(failure, MailOutcome::Refused { permanent: true, .. }));
    let answers: Vec<String> = refusals.iter().map(|(recipient, failure)| refusal(recipient, failure)).collect();
    MailOutcome::Refused { permanent, answer: answers.join("; ") }
}
