//! The state of the mailer: the mail that is being sent, its settings, and when the next one may leave. Part of `mailer`,
//! main thread; runs no statement.

use std::time::{Duration, Instant};

use crate::domain::alert::MailBatch;
use crate::net::mail::{MailOutcome, MailQueue, MailSettings};
use crate::pg::{shm, sys};

/// The purpose of a mail; travels with it through the sender threads.
pub(super) enum MailPurpose {
    /// Alerts.
    Alerts(MailBatch),
    /// `guestly_test_alert()`: the question, and the settings that the mail is sent with.
    Test(u32, Box<MailSettings>),
}

/// The mailer.
pub(in crate::pg::worker) struct Mailer {
    pub(super) queue: MailQueue<MailPurpose>,
    /// There may be waiting alerts.
    pub(super) waiting: bool,
    /// A mail is being sent, or its outcome is not written yet.
    pub(super) sending: bool,
    /// The settings changed while a mail was being sent: its failure says nothing about the new ones.
    pub(super) abandoned: bool,
    /// The settings of the last mail.
    pub(super) used: Option<MailSettings>,
    /// The outcome that is not written yet.
    pub(super) ended: Option<(MailBatch, MailOutcome)>,
    /// The mail server failed: no mail leaves before this time.
    pub(super) not_before: Option<Instant>,
    /// The next check, while a digest is collected. A new alert may be urgent and is checked at once.
    pub(super) check_at: Option<Instant>,
    pub(super) failures: u32,
    /// Number of alerts in the last warning about missing mail settings.
    pub(super) warned_unmailed: usize,
    /// The last question of `guestly_test_alert()`.
    pub(super) asked: u32,
}

impl Mailer {
    pub(in crate::pg::worker) fn new() -> Self {
        Self {
            queue: MailQueue::default(),
            waiting: true,
            sending: false,
            abandoned: false,
            used: None,
            ended: None,
            not_before: None,
            check_at: None,
            failures: 0,
            warned_unmailed: 0,
            asked: shm::slot(sys::my_database()).mail_asked,
        }
    }

    /// Ends all pauses after a reload: the mail server may be another one.
    pub(super) fn try_again(&mut self) {
        (self.not_before, self.check_at, self.failures, self.waiting) = (None, None, 0, true);
    }

    /// Cancels a mail that is being sent with other settings than these; the next one does not wait for it.
    pub(super) fn abandon_unless(&mut self, settings: &MailSettings) {
        if self.used.take_if(|used| used != settings).is_some() {
            self.abandoned = self.sending;
            self.queue.cancel_all();
        }
    }

    /// Cancels the mail that is being sent: the worker stops.
    pub(in crate::pg::worker) fn close(&self) {
        self.queue.cancel_all();
    }

    /// Time until the mailer has something to do; `None` until an event.
    pub(in crate::pg::worker) fn pause(&self) -> Option<Duration> {
        let then = self.not_before.max(self.check_at);
        let idle = (!self.waiting || self.sending) && self.ended.is_none();
        if idle {
            None
        } else {
            Some(then.map_or(Duration::ZERO, |then| then.saturating_duration_since(Instant::now())))
        }
    }
}
