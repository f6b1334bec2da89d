//! Mail through a service's HTTP API: the requests of SendGrid and of Resend. Called by `net::mail` on a sender thread.
//! Must not import: pgrx.

use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::HeaderValue;
use ureq::http::header::AUTHORIZATION;
use ureq::tls::TlsConfig;

use lettre::message::Mailbox;

use super::MailOutcome;
use super::guard::{ABANDONED, READ_LIMIT, spawn};
use super::hangup::Hangup;
use super::message::{Addresses, id, subject};
use crate::domain::alert::Mail;
use crate::domain::outcome::{Answer, error_text};
use crate::domain::redact::Secret;
use crate::net::answer::read_at_most;
use crate::net::roots::Roots;
use crate::net::url::parse;
use crate::net::words::words;

/// Which request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    SendGrid,
    Resend,
}

/// A mail service.
#[derive(Clone, Debug)]
pub(super) struct Service {
    url: String,
    shape: Shape,
    bearer: HeaderValue,
}

impl Service {
    /// Reads the settings. Errors name the setting and never quote the key.
    pub(super) fn new(url: &str, key: &Secret) -> Result<Self, String> {
        let uri = parse(url).map_err(|why| format!("email_api_url: {why}"))?;
        if key.is_empty() {
            return Err("email_api_key is empty".to_owned());
        }
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.reveal()))
            .map_err(|_| "email_api_key holds characters that cannot be sent".to_owned())?;
        bearer.set_sensitive(true);
        // Whatever does not look like Resend is taken for the host application's example.
        let resend = uri.path().trim_end_matches('/').ends_with("/emails");
        let shape = if resend { Shape::Resend } else { Shape::SendGrid };
        Ok(Self { url: url.to_owned(), shape, bearer })
    }
}

/// Sends the mail once.
pub(super) fn send(
    service: &Service,
    addresses: &Addresses,
    mail: &Mail,
    key: &str,
    timeout: Duration,
    hangup: &Hangup,
) -> MailOutcome {
    let body = match service.shape {
        Shape::SendGrid => sendgrid(addresses, mail, key),
        Shape::Resend => resend(addresses, mail, key),
    };
    let (agent, call) = (agent(timeout), Call { service: service.clone(), key: id(key), body: body.to_string() });
    // On a thread of its own: a look-up or a connect under way cannot be cut, only left behind until its time is over.
    let (tell, answer) = channel();
    let (cut, hung_up) = (agent.clone(), tell.clone());
    hangup.on_cut(move || {
        let _ = hung_up.send(MailOutcome::Unreachable { why: ABANDONED.to_owned(), maybe_sent: true });
        cut.shutdown();
    });
    let started = spawn(move || {
        let _ = tell.send(call.make(&agent));
    });
    if let Err(error) = started {
        return MailOutcome::Unreachable { why: words(&ureq::Error::Io(error)), maybe_sent: false };
    }
    let lost = |_| MailOutcome::Unreachable { why: "internal: the mail was given up".to_owned(), maybe_sent: true };
    answer.recv_timeout(timeout * 2).unwrap_or_else(lost)
}

/// One request, with all that it needs.
struct Call {
    service: Service,
    key: String,
    body: String,
}

impl Call {
    fn make(self, agent: &Agent) -> MailOutcome {
        let request = agent
            .post(&self.service.url)
            .header(AUTHORIZATION, self.service.bearer)
            .header("Idempotency-Key", self.key)
            .content_type("application/json");
        match request.send(self.body).and_then(|response| read_at_most(response, READ_LIMIT)) {
            Ok(answer) => outcome(&answer),
            Err(error) => MailOutcome::Unreachable { maybe_sent: !never_left(&error), why: words(&error) },
        }
    }
}

fn sendgrid(addresses: &Addresses, mail: &Mail, key: &str) -> Value {
    let person = |mailbox: &Mailbox| match &mailbox.name {
        Some(name) => json!({"email": mailbox.email.to_string(), "name": name}),
        None => json!({"email": mailbox.email.to_string()}),
    };
    json!({
        "personalizations": [{"to": addresses.to.iter().map(person).collect::<Vec<_>>()}],
        "from": person(&addresses.from),
        "subject": subject(mail),
        // In this order, or SendGrid refuses.
        "content": [
            {"type": "text/plain", "value": mail.text},
            {"type": "text/html", "value": mail.html},
        ],
        "headers": {"Auto-Submitted": "auto-generated", "X-Entity-Ref-ID": id(key)},
        // A rewritten link, or a picture that counts readers, has no place in an alert.
        "tracking_settings": {"click_tracking": {"enable": false}, "open_tracking": {"enable": false}},
    })
}

fn resend(addresses: &Addresses, mail: &Mail, key: &str) -> Value {
    json!({
        "from": addresses.from.to_string(),
        "to": addresses.to.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "subject": subject(mail),
        "text": mail.text,
        "html": mail.html,
        "headers": {"Auto-Submitted": "auto-generated", "X-Entity-Ref-ID": id(key)},
    })
}

fn outcome(answer: &Answer) -> MailOutcome {
    let status = answer.status;
    let said = match error_text(&answer.body) {
        Some(text) => format!("{status} {text}"),
        None => status.to_string(),
    };
    let body = String::from_utf8_lossy(&answer.body);
    match status {
        200..=299 => MailOutcome::Accepted { answer: said },
        // Resend's way to say that it has taken a mail of this key before, with another text.
        409 if body.contains("invalid_idempotent_request") => MailOutcome::Accepted { answer: said },
        409 if body.contains("concurrent_idempotent_requests") => {
            MailOutcome::Unreachable { why: said, maybe_sent: true }
        }
        300..=399 => {
            let answer = format!("{status}: email_api_url answers with a redirect, which is never followed");
            MailOutcome::Refused { permanent: true, answer }
        }
        408 | 429 | 503 => MailOutcome::Refused { permanent: false, answer: said },
        // A gateway may have lost the answer of a server that took the mail.
        500.. => MailOutcome::Unreachable { why: format!("the mail service answered {said}"), maybe_sent: true },
        _ => MailOutcome::Refused { permanent: true, answer: said },
    }
}

/// Errors that come before the first byte of the request.
fn never_left(error: &ureq::Error) -> bool {
    use std::io::ErrorKind as Kind;
    use ureq::{Error, Timeout};
    match error {
        Error::HostNotFound | Error::BadUri(_) | Error::Http(_) | Error::Tls(_) | Error::Rustls(_) => true,
        Error::ConnectionFailed | Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
        Error::Io(cause) => matches!(
            cause.kind(),
            Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::InvalidData
        ),
        _ => false,
    }
}

/// Made for one mail: alerts are rare, and a kept connection would be stale by the next.
fn agent(timeout: Duration) -> Agent {
    let all = Some(timeout);
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(all)
        .timeout_resolve(all)
        .timeout_connect(all)
        .timeout_send_request(all)
        .timeout_send_body(all)
        .timeout_recv_response(all)
        .timeout_recv_body(all)
        .max_response_header_size(READ_LIMIT)
        .max_idle_connections(0)
        .user_agent(concat!("guestly_sync/", env!("CARGO_PKG_VERSION")))
        .accept("application/json")
        .tls_config(TlsConfig::builder().root_certs(Roots::here().for_http()).build())
        .build()
        .new_agent()
}
