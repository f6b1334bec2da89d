//! Mail through the HTTP API of a mail service: the requests of SendGrid and Resend. Called by `net::mail::send` on a sender
//! thread. Must not import: pgrx.

use std::sync::mpsc::channel;
use std::time::Duration;

use lettre::message::Mailbox;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::HeaderValue;
use ureq::http::header::AUTHORIZATION;
use ureq::tls::TlsConfig;

use super::cancel::CANCELLED;
use super::message::{sanitize_key, subject};
use super::outcome::MailOutcome;
use super::outgoing::{OutgoingMail, RESPONSE_LIMIT};
use crate::domain::outcome::{Answer, error_text};
use crate::domain::redact::Secret;
use crate::net::answer::read_at_most;
use crate::net::error_text::{describe, describe_io};
use crate::net::spawn::spawn;
use crate::net::tls_roots::TlsRoots;
use crate::net::url::parse;

/// The service whose request format is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provider {
    SendGrid,
    Resend,
}

/// A mail service and the key for it.
#[derive(Clone, Debug)]
pub(super) struct MailApi {
    url: String,
    provider: Provider,
    bearer: HeaderValue,
}

impl MailApi {
    /// Parses the settings. An error is a sentence that names the setting and never quotes the key.
    pub(super) fn new(url: &str, key: &Secret) -> Result<Self, String> {
        let uri = parse(url).map_err(|why| format!("email_api_url: {why}"))?;
        if key.is_empty() {
            return Err("email_api_key is empty".to_owned());
        }
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.reveal()))
            .map_err(|_| "email_api_key contains characters that are not allowed in an HTTP header".to_owned())?;
        bearer.set_sensitive(true);
        // Everything that does not look like Resend is treated as SendGrid, the example in the host application.
        let is_resend = uri.path().trim_end_matches('/').ends_with("/emails");
        let provider = if is_resend { Provider::Resend } else { Provider::SendGrid };
        Ok(Self { url: url.to_owned(), provider, bearer })
    }
}

/// Sends the mail once.
pub(super) fn send(api: &MailApi, outgoing: &OutgoingMail) -> MailOutcome {
    let body = match api.provider {
        Provider::SendGrid => sendgrid(outgoing),
        Provider::Resend => resend(outgoing),
    };
    let agent = agent(outgoing.timeout);
    let call = ApiCall { api: api.clone(), key: sanitize_key(outgoing.key), body: body.to_string() };
    // On a thread of its own: a name lookup or a connect in progress cannot be aborted, only abandoned until it times out.
    let (sender, receiver) = channel();
    let (agent_to_cancel, cancel_sender) = (agent.clone(), sender.clone());
    outgoing.cancel.on_cancel(move || {
        let _ = cancel_sender.send(MailOutcome::Unreachable { why: CANCELLED.to_owned(), maybe_sent: true });
        agent_to_cancel.shutdown();
    });
    let started = spawn("guestly mail", move || {
        let _ = sender.send(call.execute(&agent));
    });
    if let Err(error) = started {
        return MailOutcome::Unreachable { why: describe_io(&error), maybe_sent: false };
    }
    let no_outcome = |_| MailOutcome::Unreachable {
        why: "internal: the mail thread returned no outcome".to_owned(),
        maybe_sent: true,
    };
    receiver.recv_timeout(outgoing.timeout * 2).unwrap_or_else(no_outcome)
}

/// One request with all its data.
struct ApiCall {
    api: MailApi,
    key: String,
    body: String,
}

impl ApiCall {
    fn execute(self, agent: &Agent) -> MailOutcome {
        let request = agent
            .post(&self.api.url)
            .header(AUTHORIZATION, self.api.bearer)
            .header("Idempotency-Key", self.key)
            .content_type("application/json");
        match request.send(self.body).and_then(|response| read_at_most(response, RESPONSE_LIMIT)) {
            Ok(answer) => classify(&answer),
            Err(error) => {
                MailOutcome::Unreachable { maybe_sent: !failed_before_sending(&error), why: describe(&error) }
            }
        }
    }
}

fn sendgrid(outgoing: &OutgoingMail) -> Value {
    let person = |mailbox: &Mailbox| match &mailbox.name {
        Some(name) => json!({"email": mailbox.email.to_string(), "name": name}),
        None => json!({"email": mailbox.email.to_string()}),
    };
    let OutgoingMail { addresses, mail, key, .. } = outgoing;
    json!({
        "personalizations": [{"to": addresses.to.iter().map(person).collect::<Vec<_>>()}],
        "from": person(&addresses.from),
        "subject": subject(mail),
        // SendGrid requires this order.
        "content": [
            {"type": "text/plain", "value": mail.text},
            {"type": "text/html", "value": mail.html},
        ],
        "headers": {"Auto-Submitted": "auto-generated", "X-Entity-Ref-ID": sanitize_key(key)},
        // Alerts must contain neither rewritten links nor tracking pixels.
        "tracking_settings": {"click_tracking": {"enable": false}, "open_tracking": {"enable": false}},
    })
}

fn resend(outgoing: &OutgoingMail) -> Value {
    let OutgoingMail { addresses, mail, key, .. } = outgoing;
    json!({
        "from": addresses.from.to_string(),
        "to": addresses.to.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "subject": subject(mail),
        "text": mail.text,
        "html": mail.html,
        "headers": {"Auto-Submitted": "auto-generated", "X-Entity-Ref-ID": sanitize_key(key)},
    })
}

fn classify(answer: &Answer) -> MailOutcome {
    let status = answer.status;
    let text = match error_text(&answer.body) {
        Some(text) => format!("{status} {text}"),
        None => status.to_string(),
    };
    let body = String::from_utf8_lossy(&answer.body);
    match status {
        200..=299 => MailOutcome::Accepted { answer: text },
        // Resend has already accepted a mail with this key, but with a different text.
        409 if body.contains("invalid_idempotent_request") => MailOutcome::Accepted { answer: text },
        409 if body.contains("concurrent_idempotent_requests") => {
            MailOutcome::Unreachable { why: text, maybe_sent: true }
        }
        300..=399 => {
            let answer = format!("{status}: email_api_url answered with a redirect, which is never followed");
            MailOutcome::Refused { permanent: true, answer }
        }
        408 | 429 | 503 => MailOutcome::Refused { permanent: false, answer: text },
        // A gateway may have lost the answer of a server that accepted the mail.
        500.. => MailOutcome::Unreachable { why: format!("the mail service answered {text}"), maybe_sent: true },
        _ => MailOutcome::Refused { permanent: true, answer: text },
    }
}

/// True for errors that occur before the first byte of the request is sent.
fn failed_before_sending(error: &ureq::Error) -> bool {
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

/// Creates an agent for one mail: alerts are rare, so a connection would be stale by the next mail.
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
        .max_response_header_size(RESPONSE_LIMIT)
        .max_idle_connections(0)
        .user_agent(concat!("guestly_sync/", env!("CARGO_PKG_VERSION")))
        .accept("application/json")
        .tls_config(TlsConfig::builder().root_certs(TlsRoots::detect().for_http()).build())
        .build()
        .new_agent()
}
