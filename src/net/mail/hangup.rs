//! Ends a mail conversation from another thread. The worker's main thread hangs up; the conversation runs on a sender thread.
//! Must not import: pgrx.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Cut = Box<dyn FnOnce() + Send>;

/// One mail's line. Clones share it.
#[derive(Clone, Default)]
pub struct Hangup(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    over: bool,
    cuts: Vec<Cut>,
}

impl Hangup {
    /// Cuts the conversation, or keeps it from beginning. Returns at once.
    pub fn hang_up(&self) {
        let cuts = {
            let mut state = self.lock();
            state.over = true;
            std::mem::take(&mut state.cuts)
        };
        cuts.into_iter().for_each(|cut| cut());
    }

    /// Whether it was cut.
    pub(super) fn is_over(&self) -> bool {
        self.lock().over
    }

    /// Runs `cut`, which must not block, when the line is cut; at once if it was cut before.
    pub(super) fn on_cut(&self, cut: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.over {
            drop(state);
            cut();
        } else {
            state.cuts.push(Box::new(cut));
        }
    }

    /// Whether a mail that has not ended still holds a clone.
    pub(super) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
