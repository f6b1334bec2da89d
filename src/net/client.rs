//! Sends one request and says how it ended.
//!
//! Made by the worker's main thread, used by the sender threads of `net::pool`; all clones share
//! one set of keep-alive connections. Nothing is ever sent twice: no retry, no redirect. Must not
//! import: pgrx.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::header::AUTHORIZATION;
use ureq::http::{HeaderValue, Response};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error};

use super::answer::read;
use super::roots::Roots;
use super::transport::{Names, Watch, begin, touched};
use super::url::parse;
use super::words::words;
use crate::domain::outcome::{Answer, Reply};
use crate::domain::redact::{Secret, clean, mask};
use crate::domain::request::{ApiRequest, Method, Request};
use crate::domain::token::LONGEST_TOKEN;

/// Idle connections kept open: one for each call that may be in flight, so none is thrown away.
const IDLE: usize = 64;

/// Shorter than any usual server's keep-alive, so that we seldom write into a connection which
/// the server is just closing: such a create would be *lost* and need a look-up.
const IDLE_AGE: Duration = Duration::from_secs(8);

/// Bytes that pieces of the request's head may have before they leave.
const OUTPUT_BUFFER: usize = 16 * 1024;

/// Bytes of address and token; the rest of the head is short.
const LONGEST_HEAD: usize = 12 * 1024;

/// Where and how patiently to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// All calls go below it, e.g. `https://open-api.guesty.com/v1`. https, or http for loopback.
    pub base_url: String,
    /// Where tokens are fetched. https, or http for loopback.
    pub token_url: String,
    /// The longest wait for the name, and again for the connection with its TLS handshake.
    pub connect_timeout: Duration,
    /// The longest a request may take as a whole.
    pub request_timeout: Duration,
}

/// Sends requests to one endpoint. Clones share connections.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    base_url: Arc<str>,
    token_url: Arc<str>,
}

impl Client {
    /// A client without any connection yet. Fails in plain words when a URL may not be called or
    /// a time-out is zero.
    pub fn new(endpoint: Endpoint) -> Result<Client, String> {
        parse(&endpoint.base_url).map_err(|why| format!("base URL: {why}"))?;
        parse(&endpoint.token_url).map_err(|why| format!("token URL: {why}"))?;
        if endpoint.connect_timeout.is_zero() || endpoint.request_timeout.is_zero() {
            return Err("a time-out must be longer than nothing".to_owned());
        }
        let names = Names::default();
        let watch = Watch { inner: DefaultConnector::new(), names: names.clone() };
        Ok(Client {
            agent: Agent::with_parts(config(&endpoint), watch, names),
            base_url: endpoint.base_url.trim_end_matches('/').into(),
            token_url: endpoint.token_url.into(),
        })
    }

    /// Sends the request once and waits for the end: at most the request time-out. Never panics
    /// on purpose; reasons hold no secret.
    pub fn send(&self, request: &Request) -> Reply {
        begin();
        let ended = match request {
            Request::Token { client_id, client_secret } => self.fetch_token(client_id, client_secret),
            Request::Call { token, request } => self.call(token, request),
        };
        let secret = match request {
            Request::Token { client_secret, .. } => client_secret,
            Request::Call { token, .. } => token,
        };
        let error = match ended.map(read) {
            Ok(Ok(answer)) => return Reply::Answer(without(secret, answer)),
            Ok(Err(error)) | Err(error) => error,
        };
        let why = clean(&mask(&words(&error), &[secret.reveal()]), 200);
        match touched() {
            false if is_own_fault(request, &error) => {
                Reply::Unsendable { reason: format!("Nothing was sent to Guestly: {why}") }
            }
            false => Reply::NotSent { reason: format!("Nothing was sent to Guestly: {why}") },
            true => Reply::Lost { reason: format!("Sent to Guestly, no whole answer: {why}") },
        }
    }

    /// Cuts what is in flight and refuses whatever comes later, for all clones. A name look-up or
    /// a TCP connect under way is not cut; it ends within the connect time-out.
    pub fn shutdown(&self) {
        self.agent.clone().shutdown();
    }

    fn fetch_token(&self, id: &str, secret: &Secret) -> Result<Response<Body>, Error> {
        self.agent.post(&*self.token_url).send_form([
            ("grant_type", "client_credentials"),
            ("scope", "open-api"),
            ("client_id", id),
            ("client_secret", secret.reveal()),
        ])
    }

    fn call(&self, token: &Secret, request: &ApiRequest) -> Result<Response<Body>, Error> {
        // Without the slash the path could extend the host name.
        if !request.path.starts_with('/') {
            return Err(Error::BadUri("the path must begin with /".to_owned()));
        }
        let url = format!("{}{}", self.base_url, request.path);
        // The head leaves in pieces as large as the buffer, and a line that is longer is found out after the first.
        if url.len() + token.reveal().len() > LONGEST_HEAD {
            return Err(Error::BadUri("the request address is too long".to_owned()));
        }
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {}", token.reveal())).map_err(|e| Error::Other(e.into()))?;
        bearer.set_sensitive(true);
        let sending = match request.method {
            Method::Get => return self.agent.get(url).header(AUTHORIZATION, bearer).call(),
            Method::Post => self.agent.post(url),
            Method::Put => self.agent.put(url),
        };
        let sending = sending.header(AUTHORIZATION, bearer);
        match &request.body {
            None => sending.send_empty(),
            Some(body) => sending.content_type("application/json").send(json(body)?),
        }
    }
}

/// Only this request cannot be sent. The addresses of the settings were checked when the client was made; a token that cannot be
/// sent is no booking's fault.
fn is_own_fault(request: &Request, error: &Error) -> bool {
    let token_fits = matches!(request, Request::Call { token, .. } if token.reveal().len() <= LONGEST_TOKEN);
    token_fits && matches!(error, Error::BadUri(_) | Error::Http(_))
}

/// An error page may echo what was sent, and error texts are stored.
fn without(secret: &Secret, mut answer: Answer) -> Answer {
    let said = String::from_utf8_lossy(&answer.body);
    if !secret.is_empty() && said.contains(secret.reveal()) {
        answer.body = mask(&said, &[secret.reveal()]).into_bytes();
    }
    answer
}

fn json(body: &Value) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body).map_err(|e| Error::Other(e.into()))
}

fn config(endpoint: &Endpoint) -> ureq::config::Config {
    let all = Some(endpoint.request_timeout);
    let connect = Some(endpoint.connect_timeout.min(endpoint.request_timeout));
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // The default would take a proxy from the environment of whoever started the server.
        .proxy(None)
        .timeout_global(all)
        .timeout_resolve(connect)
        .timeout_connect(connect)
        .timeout_send_request(all)
        .timeout_send_body(all)
        .timeout_recv_response(all)
        .timeout_recv_body(all)
        .max_response_header_size(64 * 1024)
        .input_buffer_size(64 * 1024)
        .output_buffer_size(OUTPUT_BUFFER)
        .max_idle_connections(IDLE)
        .max_idle_connections_per_host(IDLE)
        .max_idle_age(IDLE_AGE)
        .user_agent(concat!("guestly_sync/", env!("CARGO_PKG_VERSION")))
        .accept("application/json")
        .tls_config(TlsConfig::builder().root_certs(Roots::here().for_http()).build())
        .build()
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "client_failure_tests.rs"]
mod failure_tests;
