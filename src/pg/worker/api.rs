//! The worker's access to the API: sender threads, client, send gate and credentials. All requests to Guestly go through it.
//! Part of the worker, main thread.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::context::Ctx;
use super::waker::WakeHandle;
use crate::domain::breaker::BreakerState;
use crate::domain::error::ErrorClass;
use crate::domain::outcome::Outcome;
use crate::domain::request::Request;
use crate::domain::send_gate::{Blocked, Permit, SendGate};
use crate::domain::token::Token;
use crate::domain::update_request::look_up;
use crate::net::client::{Client, Endpoint};
use crate::net::pool::Pool;
use crate::pg::credentials::{self, Credentials};
use crate::pg::job::{Job, Trace};
use crate::pg::settings::Settings;
use crate::pg::store::attempts::Attempt;

/// A confirmation code that no booking has: a look-up by it gives an empty list.
const PING_CODE: &str = "GS-DOCTOR";

/// The purpose of a request; travels with it through the sender threads.
pub(super) enum Purpose {
    /// An access token.
    Token {
        /// When the request was recorded.
        requested: DateTime<Utc>,
        /// The credentials it was requested for.
        fingerprint: String,
    },
    /// A call for a booking.
    Call(Box<Job>),
    /// A look-up that concerns no booking: it shows whether credentials and network work.
    Ping {
        /// The question of `guestly_doctor()` that it answers; `None` for a ping of the breaker.
        question: Option<u32>,
        /// The generation of the token that it is sent with.
        generation: u64,
    },
}

/// The outcome of a token request, until it is written.
pub(super) struct TokenReply {
    /// The token, and the fingerprint of its credentials.
    pub(super) token: Option<(Token, String)>,
    /// When it was requested, if the request does not count against the daily cap.
    pub(super) unsent: Option<DateTime<Utc>>,
    pub(super) attempt: Attempt,
}

/// The outcome of a ping, until it is written.
pub(super) struct PingReply {
    /// The question of `guestly_doctor()` that it answers.
    pub(super) question: Option<u32>,
    pub(super) outcome: Outcome,
    pub(super) trace: Trace,
}

/// The access to the API.
pub(super) struct Api {
    pub(super) gate: SendGate,
    /// `None` only while the worker stops.
    pub(super) pool: Option<Pool<Purpose>>,
    client: Option<Client>,
    pub(super) credentials: Option<Credentials>,
    /// The token request that the current transaction records.
    pub(super) token_intent: Option<(DateTime<Utc>, String)>,
    /// The predecessor's state was loaded for the current credentials.
    pub(super) restored: bool,
    /// Outcomes of token requests that are not written yet.
    pub(super) token_replies: Vec<TokenReply>,
    /// Outcomes of pings that are not written yet.
    pub(super) ping_replies: Vec<PingReply>,
    /// The doctor's question whose ping was released before it was sent.
    returned_question: Option<u32>,
}

impl Api {
    /// Starts the sender threads. Errors: no thread can be started.
    pub(super) fn start(settings: &Settings, waker: WakeHandle) -> Result<Self, String> {
        Ok(Self {
            gate: SendGate::new(settings.limits, Duration::ZERO),
            pool: Some(Pool::new(settings.concurrency as usize, move || waker.wake())?),
            client: None,
            credentials: None,
            token_intent: None,
            restored: false,
            token_replies: Vec::new(),
            ping_replies: Vec::new(),
            returned_question: None,
        })
    }

    /// Applies changed settings. With new addresses the token is dropped: it must not be sent to another API.
    pub(super) fn reload(&mut self, ctx: &Ctx, before: &Settings) {
        let new = &ctx.settings;
        if (&before.base_url, &before.token_url) != (&new.base_url, &new.token_url) {
            self.client = None;
            self.credentials = None;
            self.gate.tokens.reset();
        }
        if (before.connect_timeout, before.request_timeout) != (new.connect_timeout, new.request_timeout) {
            self.client = None;
        }
        self.gate.limiter.set_limits(new.limits, ctx.now());
        if let Some(pool) = &mut self.pool {
            pool.resize(new.concurrency as usize);
        }
    }

    /// The number of calls in flight.
    pub(super) fn in_flight(&self) -> u32 {
        self.pool.as_ref().map_or(0, |pool| u32::try_from(pool.in_flight()).unwrap_or(u32::MAX))
    }

    /// True if the breaker is open: it chooses the next call.
    pub(super) fn is_open(&self) -> bool {
        self.gate.breaker.state() == BreakerState::Open
    }

    /// The number of calls that may be sent now.
    pub(super) fn permit(&mut self, ctx: &Ctx, wall: DateTime<Utc>) -> Permit {
        if !ctx.settings.enabled {
            return Permit::Wait(None);
        }
        let in_flight = self.in_flight();
        self.gate.permit_calls(ctx.now(), wall, in_flight, ctx.settings.concurrency)
    }

    /// The number of calls that may be claimed now, in addition to `prefetched` ones that were not sent.
    pub(super) fn permit_to_claim(&mut self, ctx: &Ctx, wall: DateTime<Utc>, prefetched: usize) -> Permit {
        let (in_flight, waiting) = (self.in_flight(), u32::try_from(prefetched).unwrap_or(u32::MAX));
        self.gate.permit_claims(ctx.now(), wall, in_flight, waiting, ctx.settings.concurrency)
    }

    /// Sends a call. Returns it if the addresses may not be called (which is reported) or there is no token.
    pub(super) fn send(&mut self, ctx: &mut Ctx, mut job: Job) -> Result<(), Box<Job>> {
        let (Some(client), Some(token), Some(pool)) = (self.client(ctx), &self.gate.tokens.token, &self.pool) else {
            return Err(Box::new(job));
        };
        let request = Request::Call { token: token.value.clone(), request: job.request() };
        job.generation = self.gate.tokens.generation;
        self.gate.limiter.take(1, ctx.now());
        pool.submit(client, Purpose::Call(Box::new(job)), request);
        Ok(())
    }

    /// Sends a ping. False if the addresses may not be called, which is reported, or there is no token.
    pub(super) fn ping(&mut self, ctx: &mut Ctx, question: Option<u32>) -> bool {
        let (Some(client), Some(token), Some(pool)) = (self.client(ctx), &self.gate.tokens.token, &self.pool) else {
            return false;
        };
        let request = Request::Call { token: token.value.clone(), request: look_up(PING_CODE) };
        self.gate.limiter.take(1, ctx.now());
        pool.submit(client, Purpose::Ping { question, generation: self.gate.tokens.generation }, request);
        true
    }

    /// Sends the token request whose intent is committed.
    pub(super) fn send_token_request(&mut self, ctx: &mut Ctx) {
        let Some((requested, fingerprint)) = self.token_intent.take() else { return };
        let (Some(client), Some(credentials), Some(pool)) = (self.client(ctx), &self.credentials, &self.pool) else {
            return;
        };
        let request = Request::Token { client_id: credentials.id.clone(), client_secret: credentials.secret.clone() };
        self.gate.tokens.record_request(requested);
        self.gate.limiter.take(1, ctx.now());
        pool.submit(client, Purpose::Token { requested, fingerprint }, request);
    }

    /// Releases the calls that no sender thread has taken; see [`Api::take_released`].
    pub(super) fn release_unsent(&self) {
        if let Some(pool) = &self.pool {
            pool.release_unsent();
        }
    }

    /// Takes the released calls; `None` if nothing was released. A released ping is returned by [`Api::take_returned_question`].
    pub(super) fn take_released(&mut self) -> Option<Vec<Job>> {
        let released = self.pool.as_ref().map(|pool| pool.take_released()).unwrap_or_default();
        if released.is_empty() {
            return None;
        }
        let mut jobs = Vec::new();
        for purpose in released {
            match purpose {
                Purpose::Call(job) => jobs.push(*job),
                Purpose::Ping { question: Some(question), .. } => self.returned_question = Some(question),
                // A token request is never released.
                Purpose::Ping { question: None, .. } | Purpose::Token { .. } => {}
            }
        }
        Some(jobs)
    }

    /// Takes the doctor's question whose ping was released.
    pub(super) fn take_returned_question(&mut self) -> Option<u32> {
        self.returned_question.take()
    }

    /// The fingerprint of the current credentials and addresses; `None` without credentials.
    pub(super) fn fingerprint(&self, ctx: &Ctx) -> Option<String> {
        let settings = &ctx.settings;
        self.credentials.as_ref().map(|credentials| credentials.fingerprint(&settings.token_url, &settings.base_url))
    }

    /// Reads the credentials. If there are none, sending is blocked until they are read again.
    pub(super) fn read_credentials(&mut self, ctx: &mut Ctx) {
        self.credentials = credentials::load();
        if self.credentials.is_some() {
            return;
        }
        let wall = Utc::now();
        let until = wall + TimeDelta::from_std(ctx.settings.poll_interval).unwrap_or_default();
        let sentence = "no API credentials were found".to_owned();
        self.gate.tokens.blocked = Some(Blocked { class: ErrorClass::Credentials, sentence, since: wall, until });
        ctx.report(
            "no API credentials: paid bookings wait",
            "Put guestly_client_id and guestly_client_secret into Vault, or set GUESTY_CLIENT_ID and GUESTY_CLIENT_SECRET in the server's environment, or guestly_sync.client_id and guestly_sync.client_secret.",
        );
    }

    /// Aborts the calls in flight: the worker stops.
    pub(super) fn cut(&self) {
        if let Some(client) = &self.client {
            client.shutdown();
        }
    }

    /// The client for the current addresses; `None`, with a report, if they may not be called.
    fn client(&mut self, ctx: &mut Ctx) -> Option<Client> {
        if self.client.is_none() {
            let settings = &ctx.settings;
            let endpoint = Endpoint {
                base_url: settings.base_url.clone(),
                token_url: settings.token_url.clone(),
                connect_timeout: settings.connect_timeout,
                request_timeout: settings.request_timeout,
            };
            match Client::new(endpoint) {
                Ok(client) => self.client = Some(client),
                Err(why) => ctx.report(&why, "Correct guestly_sync.base_url or guestly_sync.token_url."),
            }
        }
        self.client.clone()
    }
}
