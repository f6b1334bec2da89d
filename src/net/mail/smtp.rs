//! One SMTP session. Called by `net::mail::send` on a sender thread. Must not import: pgrx.
//!
//! `lettre` implements the protocol. The order of the commands is decided here, because the caller must know whether the mail may
//! have been accepted when the connection breaks, and because one bad recipient must not stop the mail for the others.

mod proxy;

use std::error::Error as _;
use std::io;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;

use self::proxy::{SmtpProxy, TIMED_OUT};
use super::message::{Addresses, mime};
use super::outcome::MailOutcome;
use super::outgoing::OutgoingMail;
use super::smtp_url::{Encryption, SmtpServer};
use crate::net::error_text::describe_io;
use crate::net::tls_roots::TlsRoots;

/// Limit for the answer to QUIT, once the mail is accepted.
const QUIT_TIMEOUT: Duration = Duration::from_millis(500);

/// Time that is allowed for the lookup of the server's name, in addition to the timeout of the session.
const DNS_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends the mail once.
pub(super) fn send(server: &SmtpServer, outgoing: &OutgoingMail) -> MailOutcome {
    let OutgoingMail { addresses, mail, key, timeout, cancel } = outgoing;
    let bytes = match mime(addresses, mail, key) {
        Ok(bytes) => bytes,
        Err(answer) => return MailOutcome::Refused { permanent: true, answer },
    };
    let proxy = match SmtpProxy::open(&server.host, server.port, *timeout, cancel) {
        Ok(proxy) => proxy,
        Err(error) => return MailOutcome::Unreachable { why: describe_io(&error), maybe_sent: false },
    };
    // The proxy enforces the timeout. lettre's own limit is only a second line of defence, so it is longer.
    let session = Session { server, addresses, proxy: &proxy, limit: *timeout + DNS_TIMEOUT };
    match session.run(&bytes) {
        // The proxy knows the reason more precisely.
        MailOutcome::Unreachable { why, maybe_sent } => {
            MailOutcome::Unreachable { why: proxy.close_reason().unwrap_or(why), maybe_sent }
        }
        outcome => outcome,
    }
}

/// The parameters of one session.
struct Session<'a> {
    server: &'a SmtpServer,
    addresses: &'a Addresses,
    proxy: &'a SmtpProxy,
    /// Limit for each read and write of lettre.
    limit: Duration,
}

impl Session<'_> {
    fn run(&self, mail: &[u8]) -> MailOutcome {
        let (mut connection, refusals) = match self.begin_mail() {
            Ok(begun) => begun,
            Err(failure) => return failure,
        };
        match connection.message(mail).map_err(|error| classify(&error, true)) {
            Ok(response) => {
                // The mail is accepted: no later failure may cause a retry.
                let _ = connection.set_timeout(Some(QUIT_TIMEOUT));
                let _ = connection.quit();
                MailOutcome::Accepted { answer: [vec![response_text(&response)], refusals].concat().join("; but ") }
            }
            Err(failure) => failure,
        }
    }

    /// Sends everything up to DATA. Also returns a sentence for each refused recipient.
    fn begin_mail(&self) -> Result<(SmtpConnection, Vec<String>), MailOutcome> {
        let mut connection = self.connect()?;
        if let Some((user, password)) = &self.server.login {
            let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).map_err(failed_before_data)?;
        }
        let from = self.addresses.from.email.clone();
        connection.command(MailFrom::new(Some(from), Vec::new())).map_err(failed_before_data)?;
        let mut refusals: Vec<(String, MailOutcome)> = Vec::new();
        for recipient in self.addresses.recipients() {
            match connection.command(Rcpt::new(recipient.clone(), Vec::new())).map_err(failed_before_data) {
                Ok(_) => {}
                Err(failure @ MailOutcome::Unreachable { .. }) => return Err(failure),
                Err(failure) => refusals.push((recipient.to_string(), failure)),
            }
        }
        if refusals.len() == self.addresses.to.len() {
            return Err(all_recipients_refused(&refusals));
        }
        connection.command(Data).map_err(failed_before_data)?;
        Ok((connection, refusals.iter().map(|(recipient, failure)| refusal_text(recipient, failure)).collect()))
    }

    /// Connects with the encryption that the settings require.
    fn connect(&self) -> Result<SmtpConnection, MailOutcome> {
        // Some servers check this name. They know the sender's domain.
        let name = ClientId::Domain(self.addresses.from.email.domain().to_owned());
        let encryption = self.server.encryption;
        let tls = match encryption {
            Encryption::Plaintext => None,
            _ => Some(tls_parameters(&self.server.host)?),
        };
        let implicit_tls = tls.as_ref().filter(|_| encryption == Encryption::ImplicitTls);
        let (address, from) = (self.proxy.address, Some(self.proxy.address.ip()));
        let mut connection = SmtpConnection::connect(address, Some(self.limit), &name, implicit_tls, from)
            .map_err(failed_before_data)?;
        let use_starttls = match encryption {
            Encryption::StartTls => true,
            Encryption::Opportunistic => connection.can_starttls(),
            Encryption::ImplicitTls | Encryption::Plaintext => false,
        };
        if let (true, Some(tls)) = (use_starttls, &tls) {
            if !connection.can_starttls() {
                let answer = "the mail server offers no encryption (STARTTLS), so nothing was sent to it".to_owned();
                return Err(MailOutcome::Refused { permanent: true, answer });
            }
            connection.starttls(tls, &name).map_err(failed_before_data)?;
        }
        Ok(connection)
    }
}

/// Certificates are always verified.
fn tls_parameters(host: &str) -> Result<TlsParameters, MailOutcome> {
    let builder = TlsParameters::builder(host.to_owned()).certificate_store(TlsRoots::detect().for_mail());
    builder.build().map_err(failed_before_data)
}

/// Classifies an error before the mail itself was sent.
fn failed_before_data(error: Error) -> MailOutcome {
    classify(&error, false)
}

fn classify(error: &Error, maybe_sent: bool) -> MailOutcome {
    if let Some(code) = error.status() {
        let text = error.source().map(ToString::to_string).unwrap_or_default();
        return MailOutcome::Refused { permanent: error.is_permanent(), answer: format!("{code} {text}") };
    }
    if error.is_client() {
        let answer = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        return MailOutcome::Refused { permanent: true, answer };
    }
    MailOutcome::Unreachable { why: describe(error), maybe_sent }
}

/// Describes an error other than a refusal in plain words.
fn describe(error: &Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => TIMED_OUT.to_owned(),
                _ => describe_io(io),
            };
        }
        cause = inner.source();
    }
    match error.is_response() {
        true => "the connection was closed, or the answer is not valid SMTP".to_owned(),
        false => error.to_string(),
    }
}

fn response_text(response: &Response) -> String {
    let lines: Vec<&str> = response.message().collect();
    format!("{} {}", response.code(), lines.join(" "))
}

fn refusal_text(recipient: &str, failure: &MailOutcome) -> String {
    match failure {
        MailOutcome::Refused { answer, .. } => format!("{recipient} was refused: {answer}"),
        MailOutcome::Accepted { .. } | MailOutcome::Unreachable { .. } => recipient.to_owned(),
    }
}

fn all_recipients_refused(refusals: &[(String, MailOutcome)]) -> MailOutcome {
    let permanent = refusals.iter().all(|(_, failure)| matches!(failure, MailOutcome::Refused { permanent: true, .. }));
    let answers: Vec<String> = refusals.iter().map(|(recipient, failure)| refusal_text(recipient, failure)).collect();
    MailOutcome::Refused { permanent, answer: answers.join("; ") }
}
