//! The worker's mail desk: which mail is under way, with which settings, and when the next one may leave. Part of the worker,
//! main thread; runs no statement.

use std::time::{Duration, Instant};

use super::Tag;
use crate::domain::alert::Batch;
use crate::net::mail::{MailOutcome, MailQueue, MailSettings};
use crate::pg::worker::announce::Standing;
use crate::pg::{sys, wake};

/// The worker's mail desk.
pub(in crate::pg::worker) struct Desk {
    pub(super) mail_queue: MailQueue<Tag>,
    /// There may be alerts that wait.
    pub(super) waiting: bool,
    /// A mail is on its way, or its end is not written down yet.
    pub(super) sending: bool,
    /// The settings changed while a mail was under way: how it ends says nothing about the new ones.
    pub(super) abandoned: bool,
    /// The settings of the last mail.
    pub(super) used: Option<MailSettings>,
    pub(super) ended: Option<(Batch, MailOutcome)>,
    /// The mail server failed: nothing leaves before.
    pub(super) not_before: Option<Instant>,
    /// A digest is being collected; a new alert may be urgent and is looked at at once.
    pub(super) look_again_at: Option<Instant>,
    pub(super) failures: u32,
    /// What is announced of the lane.
    pub(in crate::pg::worker) standing: Standing,
    pub(super) announced_unmailed: usize,
    pub(super) asked: u32,
}

impl Desk {
    pub(in crate::pg::worker) fn new() -> Self {
        let asked = wake::slot(sys::my_database()).mail_asked;
        Self {
            mail_queue: MailQueue::default(),
            waiting: true,
            sending: false,
            abandoned: false,
            used: None,
            ended: None,
            not_before: None,
            look_again_at: None,
            failures: 0,
            standing: Standing::default(),
            announced_unmailed: 0,
            asked,
        }
    }

    /// After a reload another mail server may be there.
    pub(super) fn try_again(&mut self) {
        (self.not_before, self.look_again_at, self.failures, self.waiting) = (None, None, 0, true);
    }

    /// Ends what is under way with other settings than these; the next mail does not wait for it.
    pub(super) fn abandon_unless(&mut self, settings: &MailSettings) {
        if self.used.take_if(|used| used != settings).is_some() {
            self.abandoned = self.sending;
            self.mail_queue.cancel_all();
        }
    }

    /// Cuts what is under way: the worker stops.
    pub(in crate::pg::worker) fn close(&self) {
        self.mail_queue.cancel_all();
    }

    /// Until when nothing has to be done; none if until something happens.
    pub(in crate::pg::worker) fn pause(&self, now: Instant) -> Option<Duration> {
        let then = self.not_before.max(self.look_again_at);
        let idle = (!self.waiting || self.sending) && self.ended.is_none();
        if idle { None } else { Some(then.map_or(Duration::ZERO, |then| then.saturating_duration_since(now))) }
    }
}
