//! Sends one request and reports how it ended.
//!
//! Created by the worker's main thread, used by the sender threads of `net::pool`; all clones share one set of keep-alive
//! connections. Nothing is ever sent twice: no retries, no redirects. Must not import: pgrx.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::header::AUTHORIZATION;
use ureq::http::{HeaderValue, Response};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error};

use super::answer::read;
use super::dns_cache::DnsCache;
use super::error_text::describe;
use super::tls_roots::TlsRoots;
use super::transport::{FirstByteWatcher, bytes_were_sent, reset};
use super::url::parse;
use crate::domain::outcome::{Answer, Reply};
use crate::domain::redact::{Secret, clean, mask};
use crate::domain::request::{ApiRequest, Method, Request};
use crate::domain::token::LONGEST_TOKEN;

/// Idle connections that are kept open: one for each call that may be in flight, so that none has to be reopened.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// Longest idle time of a connection. Shorter than the keep-alive of common servers, so that we rarely write to a connection
/// that the server is closing: the outcome of such a create is unknown and has to be verified.
const MAX_IDLE_AGE: Duration = Duration::from_secs(8);

/// Size of the buffer through which the head of a request is sent, in bytes.
const OUTPUT_BUFFER_SIZE: usize = 16 * 1024;

/// Longest URL plus token, in bytes. The rest of the head is short.
const MAX_HEAD: usize = 12 * 1024;

/// The addresses and the time limits of an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Prefix of every call, e.g. `https://open-api.guesty.com/v1`. https, or http for loopback.
    pub base_url: String,
    /// Where access tokens are fetched. https, or http for loopback.
    pub token_url: String,
    /// Limit for the name lookup, and again for connecting including the TLS handshake.
    pub connect_timeout: Duration,
    /// Limit for the whole request.
    pub request_timeout: Duration,
}

/// Sends requests to one endpoint. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    base_url: Arc<str>,
    token_url: Arc<str>,
}

impl Client {
    /// Creates a client without connecting.
    ///
    /// # Errors
    ///
    /// A sentence, if a URL may not be called or a timeout is zero.
    pub fn new(endpoint: Endpoint) -> Result<Client, String> {
        parse(&endpoint.base_url).map_err(|why| format!("base URL: {why}"))?;
        parse(&endpoint.token_url).map_err(|why| format!("token URL: {why}"))?;
        if endpoint.connect_timeout.is_zero() || endpoint.request_timeout.is_zero() {
            return Err("timeouts must be greater than zero".to_owned());
        }
        let dns_cache = DnsCache::default();
        let connector = FirstByteWatcher { inner: DefaultConnector::new(), dns_cache: dns_cache.clone() };
        Ok(Client {
            agent: Agent::with_parts(config(&endpoint), connector, dns_cache),
            base_url: endpoint.base_url.trim_end_matches('/').into(),
            token_url: endpoint.token_url.into(),
        })
    }

    /// Sends the request once and blocks until it ends, at most for the request timeout. The reply contains no secret.
    pub fn send(&self, request: &Request) -> Reply {
        reset();
        let result = match request {
            Request::Token { client_id, client_secret } => self.fetch_token(client_id, client_secret),
            Request::Call { token, request } => self.call(token, request),
        };
        let secret = match request {
            Request::Token { client_secret, .. } => client_secret,
            Request::Call { token, .. } => token,
        };
        let error = match result.map(read) {
            Ok(Ok(answer)) => return Reply::Answer(mask_secret(secret, answer)),
            Ok(Err(error)) | Err(error) => error,
        };
        let why = clean(&mask(&describe(&error), &[secret.reveal()]), 200);
        match bytes_were_sent() {
            false if is_unsendable(request, &error) => {
                Reply::Unsendable { reason: format!("Nothing was sent to Guestly: {why}") }
            }
            false => Reply::NotSent { reason: format!("Nothing was sent to Guestly: {why}") },
            true => Reply::Lost { reason: format!("Sent to Guestly, but no complete answer arrived: {why}") },
        }
    }

    /// Aborts the requests in flight and rejects later ones, for all clones. A name lookup or a TCP connect in progress is not
    /// aborted; it ends within the connect timeout.
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
        // Without the slash, the path could extend the host name.
        if !request.path.starts_with('/') {
            return Err(Error::BadUri("the path must begin with /".to_owned()));
        }
        let url = format!("{}{}", self.base_url, request.path);
        // ureq sends the head in pieces of the buffer's size and rejects a longer line only after the first piece has left.
        if url.len() + token.reveal().len() > MAX_HEAD {
            return Err(Error::BadUri("the request address is too long".to_owned()));
        }
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {}", token.reveal())).map_err(|e| Error::Other(e.into()))?;
        bearer.set_sensitive(true);
        let builder = match request.method {
            Method::Get => return self.agent.get(url).header(AUTHORIZATION, bearer).call(),
            Method::Post => self.agent.post(url),
            Method::Put => self.agent.put(url),
        };
        let builder = builder.header(AUTHORIZATION, bearer);
        match &request.body {
            None => builder.send_empty(),
            Some(body) => builder.content_type("application/json").send(json(body)?),
        }
    }
}

/// True if the request itself is invalid, so that no retry can send it. The configured URLs were checked when the client was
/// created; an invalid token is not the booking's fault.
fn is_unsendable(request: &Request, error: &Error) -> bool {
    let is_token_valid = matches!(request, Request::Call { token, .. } if token.reveal().len() <= LONGEST_TOKEN);
    is_token_valid && matches!(error, Error::BadUri(_) | Error::Http(_))
}

/// Masks the secret in the answer: an error page may echo the request, and error texts are stored.
fn mask_secret(secret: &Secret, mut answer: Answer) -> Answer {
    let text = String::from_utf8_lossy(&answer.body);
    if !secret.is_empty() && text.contains(secret.reveal()) {
        answer.body = mask(&text, &[secret.reveal()]).into_bytes();
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
        // By default, ureq takes a proxy from the environment in which the server was started.
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
        .output_buffer_size(OUTPUT_BUFFER_SIZE)
        .max_idle_connections(MAX_IDLE_CONNECTIONS)
        .max_idle_connections_per_host(MAX_IDLE_CONNECTIONS)
        .max_idle_age(MAX_IDLE_AGE)
        .user_agent(concat!("guestly_sync/", env!("CARGO_PKG_VERSION")))
        .accept("application/json")
        .tls_config(TlsConfig::builder().root_certs(TlsRoots::detect().for_http()).build())
        .build()
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "client_failure_tests.rs"]
mod failure_tests;
