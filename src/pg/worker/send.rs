//! What leaves: calls, token requests, and what test mode does instead. Part of the worker, main thread; the only place
//! that hands something to the sender threads.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use pgrx::{PgSqlErrorCode, log};

use super::doctor::NOBODY;
use super::{Tag, Worker};
use crate::domain::error::ErrorClass;
use crate::domain::outcome::Outcome;
use crate::domain::redact::mask_personal;
use crate::domain::request::Request;
use crate::domain::retry::BAD_ADDRESS_PAUSE;
use crate::domain::send_gate::{Blocked, Permit};
use crate::domain::snapshot::TEST_PREFIX;
use crate::domain::transition::Transition;
use crate::domain::update_request::look_up;
use crate::net::client::{Client, Endpoint};
use crate::pg::bookings::Bookings;
use crate::pg::claim::Claimed;
use crate::pg::job::{Job, Trace};
use crate::pg::session::{Result, SqlError};
use crate::pg::{memory, queue, secrets};

impl Worker {
    /// Whether anything may be sent.
    pub(super) fn may_send(&mut self) -> Result<bool> {
        let gate = self.gate()?;
        if self.fits != Some(true) {
            return Ok(false);
        }
        if !gate.armed {
            self.report(
                "this is a copy: nothing is sent from this server",
                "Run SELECT guestly_arm() if it should send.",
            );
        }
        Ok(gate.armed && !gate.paused)
    }

    /// A dump that is being restored brings the queue after the place it came from: read again, the gate has seen the one if
    /// this claim has seen the other. Errors: it is closed by now.
    pub(super) fn still_may_send(&mut self, claimed: &Claimed) -> Result<()> {
        if (claimed.jobs.is_empty() && self.token_intent.is_none()) || self.may_send()? {
            return Ok(());
        }
        Err(SqlError::new(PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE, "sending was stopped"))
    }

    /// Sends the calls whose intent is committed, as far as places are free; the others wait for one.
    pub(super) fn send(&mut self, jobs: Vec<Job>) {
        if self.settings.test_mode {
            return jobs.into_iter().for_each(|job| self.pretend(job));
        }
        self.calling.extend(jobs.iter().map(|job| job.due.booking_id.clone()));
        self.prefetched.extend(jobs);
        self.send_claimed();
    }

    /// Takes back what may not leave any more: everything if sending was stopped since the claim, or if the table or its
    /// mapping is another one; else the bookings that were changed, cancelled perhaps, or taken out of the queue.
    pub(super) fn recheck_prefetched(&mut self) {
        if self.prefetched.is_empty() {
            return;
        }
        let claims: Vec<_> = self.prefetched.iter().map(|job| (job.due.booking_id.clone(), job.claim)).collect();
        let looked = self.in_transaction(|worker| {
            let may_send = worker.may_send()? && Bookings::load()? == worker.bookings;
            if may_send { queue::may_leave(&claims).map(Some) } else { Ok(None) }
        });
        let Some(may_leave) = looked.flatten() else { return self.recall() };
        if may_leave.len() < claims.len() {
            let (stay, back): (VecDeque<Job>, VecDeque<Job>) =
                self.prefetched.drain(..).partition(|job| may_leave.contains(&job.due.booking_id));
            self.prefetched = stay;
            self.take_unsent(back);
        }
    }

    /// Sends what is claimed, as far as places are free.
    pub(super) fn send_claimed(&mut self) {
        let (now, wall) = (self.now(), Utc::now());
        if let Permit::Send(calls) = self.go(now, wall) {
            for _ in 0..calls {
                let Some(job) = self.prefetched.pop_front() else { break };
                self.submit(job, now);
            }
        }
        // A place is free and yet these may not go: the send gate has closed, and nobody knows for how long.
        if !self.prefetched.is_empty() && self.in_flight() < self.settings.concurrency {
            self.recall();
        }
    }

    fn submit(&mut self, mut job: Job, now: Duration) {
        let (Some(client), Some(token), Some(pool)) = (self.client(), &self.send_gate.tokens.token, &self.pool) else {
            // The addresses may not be called: `client` has said so.
            return self.take_unsent([job]);
        };
        let request = Request::Call { token: token.value.clone(), request: job.request() };
        job.generation = self.send_gate.tokens.generation;
        self.send_gate.limiter.take(1, now);
        pool.submit(client, Tag::Call(Box::new(job)), request);
    }

    /// A look-up that is about no booking: its answer tells an outage from the fault of one booking.
    pub(super) fn ask_for_nobody(&mut self) {
        let (Some(client), Some(token), Some(pool)) = (self.client(), &self.send_gate.tokens.token, &self.pool) else {
            // The addresses may not be called: `client` has said so.
            self.not_before = Some(Instant::now() + BAD_ADDRESS_PAUSE);
            return;
        };
        let request = Request::Call { token: token.value.clone(), request: look_up(NOBODY) };
        self.send_gate.limiter.take(1, self.began.elapsed());
        pool.submit(client, Tag::Doctor { question: None, generation: self.send_gate.tokens.generation }, request);
    }

    /// Test mode: the request is logged without the guest's data, and the booking gets an id that never counts as real.
    fn pretend(&mut self, job: Job) {
        let request = job.request();
        let body = request.body.as_ref().map(mask_personal).unwrap_or_default();
        log!("guestly_sync test mode: {} {} {body}", request.method.as_str(), request.path);
        let reservation_id = format!("{TEST_PREFIX}{}", job.reservation.code);
        let outcome = Outcome::Created { reservation_id: reservation_id.clone(), confirmation_code: None, total: None };
        let next = Transition::Synced { reservation_id, adopted: false, warning: None, found: None };
        let trace = Trace { started: Utc::now(), ..Trace::default() };
        self.unrecorded.push(job.change(&outcome, next, trace));
    }

    /// Asks for a token: the intent is part of this transaction, the request leaves after it.
    pub(super) fn intend_token(&mut self, wall: DateTime<Utc>) -> Result<()> {
        let (knew, before) = (self.recalled, self.mark());
        self.look_for_credentials();
        if let Some(mark) = self.mark() {
            Self::only_if_recalled(knew && before.as_ref() == Some(&mark))?;
            memory::intend_token(wall, &mark)?;
            self.token_intent = Some((wall, mark));
        }
        Ok(())
    }

    /// Sends the token request whose intent is committed.
    pub(super) fn send_token_request(&mut self) {
        let Some((requested, mark)) = self.token_intent.take() else { return };
        let (Some(client), Some(credentials), Some(pool)) = (self.client(), &self.credentials, &self.pool) else {
            return;
        };
        let request = Request::Token { client_id: credentials.id.clone(), client_secret: credentials.secret.clone() };
        self.send_gate.tokens.record_request(requested);
        self.send_gate.limiter.take(1, self.began.elapsed());
        pool.submit(client, Tag::Token { requested, mark }, request);
    }

    /// The credentials in force. New ones start with a clean slate: their own token, history and standing.
    pub(super) fn look_for_credentials(&mut self) {
        let before = self.mark();
        self.credentials = secrets::credentials();
        let after = self.mark();
        if self.credentials.is_none() {
            let wall = Utc::now();
            let until = wall + TimeDelta::from_std(self.settings.poll_interval).unwrap_or_default();
            let sentence = "no API credentials were found".to_owned();
            self.send_gate.tokens.blocked =
                Some(Blocked { class: ErrorClass::Credentials, sentence, since: wall, until });
            self.report(
                "no API credentials: paid bookings wait",
                "Put guestly_client_id and guestly_client_secret into Vault, or set GUESTY_CLIENT_ID and GUESTY_CLIENT_SECRET in the server's environment, or guestly_sync.client_id and guestly_sync.client_secret.",
            );
        }
        if before != after {
            self.send_gate.tokens.reset();
            self.recalled = false;
        }
        if let Err(error) = self.recall_once() {
            self.report(&format!("cannot read the kept token: {error}"), "See SELECT * FROM guestly_doctor().");
        }
    }

    /// Names the credentials in force.
    pub(super) fn mark(&self) -> Option<String> {
        self.credentials.as_ref().map(|credentials| credentials.mark(&self.settings.token_url, &self.settings.base_url))
    }

    /// The client for the addresses in force; none, with a report, where they may not be called.
    pub(super) fn client(&mut self) -> Option<Client> {
        if self.client.is_none() {
            let settings = &self.settings;
            let endpoint = Endpoint {
                base_url: settings.base_url.clone(),
                token_url: settings.token_url.clone(),
                connect_timeout: settings.connect_timeout,
                request_timeout: settings.request_timeout,
            };
            match Client::new(endpoint) {
                Ok(client) => self.client = Some(client),
                Err(why) => self.report(&why, "Correct guestly_sync.base_url or guestly_sync.token_url."),
            }
        }
        self.client.clone()
    }
}
