//! The sender threads and their loop.
//!
//! Called by `net::pool` on the worker's main thread, and by the sender threads themselves. The lock is never held while a
//! request is sent, a thread starts or `wake` is called. Must not import: pgrx.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::state::{SendFn, State, Task};
use crate::domain::outcome::Reply;
use crate::net::spawn::spawn;

/// The work that a thread does next.
enum Assignment {
    Request(u64, SendFn),
    Task(Task),
}

pub(super) struct Threads<T> {
    state: Mutex<State<T>>,
    /// A request or a task was queued, or threads should end.
    pub(super) work_available: Condvar,
    /// A request or a task ended.
    work_finished: Condvar,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl<T> Threads<T> {
    /// Starts no thread yet: see [`Threads::spawn_missing`].
    pub(super) fn new(threads: usize, wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Threads {
            state: Mutex::new(State::new(threads)),
            work_available: Condvar::new(),
            work_finished: Condvar::new(),
            wake,
        }
    }

    /// Locks the state. It remains usable after a panic because every change to it is complete in itself.
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing runs, at most until `deadline`.
    pub(super) fn wait_idle<'a>(
        &'a self,
        state: MutexGuard<'a, State<T>>,
        deadline: Instant,
    ) -> MutexGuard<'a, State<T>> {
        self.wait_while(state, deadline, |state| !state.running.is_empty() || state.task_running)
    }

    /// Waits while the condition holds, at most until `deadline`.
    pub(super) fn wait_while<'a>(
        &'a self,
        state: MutexGuard<'a, State<T>>,
        deadline: Instant,
        condition: impl Fn(&State<T>) -> bool,
    ) -> MutexGuard<'a, State<T>> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let waited = self.work_finished.wait_timeout_while(state, remaining, |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for the next request or, if there is none, the next task. `None` means that this thread must end.
    fn next(&self) -> Option<Assignment> {
        let mut state = self.lock();
        loop {
            if state.alive > state.needed() {
                state.alive -= 1;
                // This wake-up may have been meant for a thread that stays.
                self.work_available.notify_one();
                return None;
            }
            if let Some((id, send)) = state.start_request() {
                return Some(Assignment::Request(id, send));
            }
            if let Some(task) = state.start_task() {
                return Some(Assignment::Task(task));
            }
            state = self.work_available.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish_task(&self) {
        self.lock().task_running = false;
        // The next task may be waiting for this one.
        self.work_available.notify_one();
        self.work_finished.notify_all();
        (self.wake)();
    }

    fn finish(&self, id: u64, reply: Reply) {
        let mut state = self.lock();
        let Some(index) = state.running.iter().position(|running| running.id == id) else {
            // `shutdown` has already given up this request.
            return;
        };
        let is_first = state.finished.is_empty();
        if stops_sending(&reply) {
            state.release_unsent();
        }
        let finished = state.running.swap_remove(index).finish(reply);
        state.finished.push(finished);
        drop(state);
        self.work_finished.notify_all();
        if is_first {
            (self.wake)();
        }
    }
}

impl<T: Send + 'static> Threads<T> {
    /// Starts the threads that are missing.
    pub(super) fn spawn_missing(threads: &Arc<Self>) -> std::io::Result<()> {
        loop {
            let mut state = threads.lock();
            if state.alive >= state.needed() {
                return Ok(());
            }
            state.alive += 1;
            drop(state);
            let slot = ThreadSlot { threads: Arc::clone(threads), is_counted: true };
            spawn("guestly sender", move || slot.run())?;
        }
    }
}

/// True for a reply after which the worker must decide before another call is sent.
fn stops_sending(reply: &Reply) -> bool {
    match reply {
        Reply::Answer(answer) => matches!(answer.status, 401 | 403 | 408 | 429 | 500..),
        Reply::NotSent { .. } | Reply::Unsendable { .. } | Reply::Lost { .. } => true,
    }
}

/// One thread in the count of live threads. Its drop corrects the count after a panic, and also if the thread could not be
/// started, so that `spawn_missing` can replace the thread.
struct ThreadSlot<T> {
    threads: Arc<Threads<T>>,
    /// False once the thread was removed from the count.
    is_counted: bool,
}

impl<T> ThreadSlot<T> {
    fn run(mut self) {
        while let Some(assignment) = self.threads.next() {
            match assignment {
                Assignment::Request(id, send) => {
                    let reply = catch_panic(send)
                        .unwrap_or_else(|()| Reply::Lost { reason: "internal: a sender thread panicked".to_owned() });
                    self.threads.finish(id, reply);
                }
                Assignment::Task(task) => {
                    let _ = catch_panic(task);
                    self.threads.finish_task();
                }
            }
        }
        // `next` removed this thread from the count, under the lock under which it decided that the thread must end.
        self.is_counted = false;
    }
}

impl<T> Drop for ThreadSlot<T> {
    fn drop(&mut self) {
        if self.is_counted {
            self.threads.lock().alive -= 1;
        }
    }
}

/// Runs the closure and turns a panic into an error.
fn catch_panic<R>(work: impl FnOnce() -> R) -> Result<R, ()> {
    // The payload is leaked: dropping it could panic again, outside any guard, and quoting it could reveal a secret. The panic
    // hook has already logged the location.
    catch_unwind(AssertUnwindSafe(work)).map_err(std::mem::forget)
}
