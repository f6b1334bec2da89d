//! Cancels a mail from another thread: the worker's main thread cancels, the mail is sent on a sender thread.
//! Must not import: pgrx.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The reason in the outcome of a cancelled mail.
pub(super) const CANCELLED: &str = "the mail settings were changed before the mail server answered";

type Callback = Box<dyn FnOnce() + Send>;

/// Cancels one mail. Clones share the same mail.
#[derive(Clone, Default)]
pub(super) struct CancelHandle(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    is_cancelled: bool,
    callbacks: Vec<Callback>,
}

impl CancelHandle {
    /// Aborts the mail, or prevents it from being sent. Returns at once.
    pub(super) fn cancel(&self) {
        let callbacks = {
            let mut state = self.lock();
            state.is_cancelled = true;
            std::mem::take(&mut state.callbacks)
        };
        callbacks.into_iter().for_each(|callback| callback());
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.lock().is_cancelled
    }

    /// Runs `callback`, which must not block, when the mail is cancelled; at once if it already was.
    pub(super) fn on_cancel(&self, callback: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.is_cancelled {
            drop(state);
            callback();
        } else {
            state.callbacks.push(Box::new(callback));
        }
    }

    /// True while another clone exists: the mail has not ended.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
