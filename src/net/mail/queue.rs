//! Mails on the sender threads: the worker queues them, and their outcomes return through a channel.
//!
//! Owned by the worker's main thread; outcomes are put into the channel on a sender thread. Must not import: pgrx.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::cancel::CancelHandle;
use super::outcome::MailOutcome;
use super::send::send;
use super::settings::MailSettings;
use crate::domain::alert::Mail;
use crate::net::pool::Pool;

/// A mail whose sending has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedMail<M> {
    /// The tag that `MailQueue::send` was given.
    pub tag: M,
    /// The outcome of sending it.
    pub outcome: MailOutcome,
}

/// Sends mails on the threads of a pool. `M` is the caller's tag for a mail.
pub struct MailQueue<M> {
    sender: Sender<FinishedMail<M>>,
    receiver: Receiver<FinishedMail<M>>,
    /// Handles of the mails that have not ended.
    cancel_handles: RefCell<Vec<CancelHandle>>,
}

impl<M: Send + 'static> Default for MailQueue<M> {
    fn default() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver, cancel_handles: RefCell::default() }
    }
}

impl<M: Send + 'static> MailQueue<M> {
    /// Queues the mail and returns at once. Every mail is returned by [`MailQueue::take_finished`] exactly once, whatever
    /// happens to its thread; the pool's `wake` is called then. For `key`, see [`super::send::send`].
    pub fn send<T: Send + 'static>(&self, pool: &Pool<T>, tag: M, settings: MailSettings, mail: Mail, key: String) {
        let cancel = CancelHandle::default();
        let mut handles = self.cancel_handles.borrow_mut();
        handles.retain(CancelHandle::is_shared);
        handles.push(cancel.clone());
        let report = Report { tag: Some(tag), sender: self.sender.clone(), outcome: not_started() };
        pool.run_task(move || {
            // Moves the whole report into this closure: its drop sends the outcome.
            let mut report = report;
            report.outcome =
                MailOutcome::Unreachable { why: "internal: the sender thread panicked".to_owned(), maybe_sent: true };
            report.outcome = send(&settings, &mail, &key, &cancel);
        });
    }

    /// Aborts every mail that is being sent and prevents queued ones from being sent. Returns at once; the mails are returned by
    /// [`MailQueue::take_finished`] as usual.
    pub fn cancel_all(&self) {
        self.cancel_handles.take().iter().for_each(CancelHandle::cancel);
    }

    /// Takes the mails that have ended.
    pub fn take_finished(&self) -> Vec<FinishedMail<M>> {
        self.receiver.try_iter().collect()
    }
}

fn not_started() -> MailOutcome {
    MailOutcome::Unreachable { why: "stopped before sending".to_owned(), maybe_sent: false }
}

/// Sends the outcome when it is dropped: after sending, in a panic, or when the pool ends before the mail was started.
struct Report<M> {
    tag: Option<M>,
    sender: Sender<FinishedMail<M>>,
    outcome: MailOutcome,
}

impl<M> Drop for Report<M> {
    fn drop(&mut self) {
        if let Some(tag) = self.tag.take() {
            let outcome = std::mem::replace(&mut self.outcome, not_started());
            // An error means that the queue was dropped: the worker has ended.
            let _ = self.sender.send(FinishedMail { tag, outcome });
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
