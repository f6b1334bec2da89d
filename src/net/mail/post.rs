//! The worker's counter for mail: mails go to the sender threads, outcomes come back through a channel.
//! Owned by the worker's main thread; the outcome is put into the channel on a sender thread. Must not import: pgrx.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::{Hangup, MailOutcome, MailSettings, send};
use crate::domain::alert::Mail;
use crate::net::pool::Pool;

/// A mail that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered<M> {
    /// What `PostOffice::send` was given.
    pub tag: M,
    /// How it ended.
    pub outcome: MailOutcome,
}

/// Hands out mails. `M` is the caller's mark on a mail.
pub struct PostOffice<M> {
    out: Sender<Delivered<M>>,
    back: Receiver<Delivered<M>>,
    /// Of mails that have not come to their end.
    lines: RefCell<Vec<Hangup>>,
}

impl<M: Send + 'static> Default for PostOffice<M> {
    fn default() -> Self {
        let (out, back) = channel();
        Self { out, back, lines: RefCell::default() }
    }
}

impl<M: Send + 'static> PostOffice<M> {
    /// Queues the mail on a sender thread; never waits. Every mail comes back exactly once, whatever happens to the
    /// thread; the pool's `wake` is called then.
    pub fn send<T: Send + 'static>(&self, pool: &Pool<T>, tag: M, settings: MailSettings, mail: Mail, key: String) {
        let hangup = Hangup::default();
        let mut lines = self.lines.borrow_mut();
        lines.retain(Hangup::is_in_use);
        lines.push(hangup.clone());
        let slip = Slip { tag: Some(tag), out: self.out.clone(), outcome: unsent() };
        pool.run(move || {
            // The whole slip moves here: its drop reports.
            let mut slip = slip;
            slip.outcome =
                MailOutcome::Unreachable { why: "internal: the sender thread panicked".to_owned(), maybe_sent: true };
            slip.outcome = send(&settings, &mail, &key, &hangup);
        });
    }

    /// Cuts every mail that is under way and keeps those that wait from leaving; never waits. They come back as usual.
    pub fn abandon(&self) {
        self.lines.take().iter().for_each(Hangup::hang_up);
    }

    /// Takes the mails that have come to their end.
    pub fn delivered(&self) -> Vec<Delivered<M>> {
        self.back.try_iter().collect()
    }
}

fn unsent() -> MailOutcome {
    MailOutcome::Unreachable { why: "stopped before sending".to_owned(), maybe_sent: false }
}

/// Reports when it is dropped: after sending, in a panic, or when the pool ends before its turn.
struct Slip<M> {
    tag: Option<M>,
    out: Sender<Delivered<M>>,
    outcome: MailOutcome,
}

impl<M> Drop for Slip<M> {
    fn drop(&mut self) {
        if let Some(tag) = self.tag.take() {
            let outcome = std::mem::replace(&mut self.outcome, unsent());
            // Without anybody to hear it the worker is gone.
            let _ = self.out.send(Delivered { tag, outcome });
        }
    }
}

#[cfg(test)]
#[path = "post_tests.rs"]
mod tests;
