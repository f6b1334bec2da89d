//! The sender threads as the worker uses them: requests in, replies out, and the caller never waits for the network.
//!
//! Owned and called by the worker's main thread. Threads are started with all signals blocked. Must not import: pgrx.

mod state;
mod threads;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::state::FinishedRequest;
use self::state::{QueuedRequest, clamp_threads};
use self::threads::Threads;
use super::client::Client;
use crate::domain::outcome::Reply;
use crate::domain::request::Request;

/// Threads that send requests. `T` is the caller's tag for a request, returned with its reply.
pub struct Pool<T> {
    threads: Arc<Threads<T>>,
}

/// Takes replies independently of the pool. It keeps no thread alive.
pub struct Replies<T> {
    threads: Arc<Threads<T>>,
}

impl<T> Replies<T> {
    /// Takes the requests that have ended and were not taken yet, in the order in which they ended.
    pub fn take(&self) -> Vec<FinishedRequest<T>> {
        std::mem::take(&mut self.threads.lock().finished)
    }
}

impl<T: Send + 'static> Pool<T> {
    /// Starts one thread (1 to 64) for each request that may run at once. `wake` is called on a sender thread when the first
    /// reply is ready to be taken; it must return quickly and must not call the pool.
    ///
    /// # Errors
    ///
    /// A sentence, if no thread can be started.
    pub fn new(threads: usize, wake: impl Fn() + Send + Sync + 'static) -> Result<Self, String> {
        let threads = Arc::new(Threads::new(threads, Box::new(wake)));
        let spawned = Threads::spawn_missing(&threads);
        if threads.lock().alive == 0 {
            spawned.map_err(|error| format!("no sender thread could be started: {error}"))?;
        }
        Ok(Pool { threads })
    }

    /// Queues a request and returns at once. A call (not a token request) that no thread has taken yet is released, see
    /// [`Pool::take_released`], when another request is refused, rate-limited or lost.
    pub fn submit(&self, client: Client, tag: T, request: Request) {
        let sender = client.clone();
        let releasable = matches!(request, Request::Call { .. });
        self.push(QueuedRequest {
            releasable,
            tag,
            client: Some(client),
            send: Box::new(move || sender.send(&request)),
        });
    }

    /// Releases the calls that no thread has taken yet.
    pub fn release_unsent(&self) {
        self.threads.lock().release_unsent();
    }

    /// Takes the tags of the released calls. None of them was sent.
    pub fn take_released(&self) -> Vec<T> {
        std::mem::take(&mut self.threads.lock().released)
    }

    /// Queues work other than a request to Guestly, for example a mail, and returns at once. Tasks run one at a time on an extra
    /// thread, so no request waits for them, and they do not count as in flight. A task reports its own result; `wake` is called
    /// when it has ended. A task that is never started is dropped.
    pub fn run_task(&self, task: impl FnOnce() + Send + 'static) {
        self.threads.lock().tasks.push_back(Box::new(task));
        self.threads.work_available.notify_one();
        let _ = Threads::spawn_missing(&self.threads);
    }

    #[cfg(test)]
    fn submit_fn(&self, tag: T, client: Option<Client>, send: self::state::SendFn) {
        self.push(QueuedRequest { releasable: false, tag, client, send });
    }

    fn push(&self, request: QueuedRequest<T>) {
        self.threads.lock().queue.push_back(request);
        self.threads.work_available.notify_one();
        // Replaces a thread that died. If that fails, the next call tries again.
        let _ = Threads::spawn_missing(&self.threads);
    }

    /// Waits, at most for `limit`, until every running request has ended, so that their outcomes can be committed together.
    /// Returns at once if none has ended yet.
    pub fn linger(&self, limit: Duration) {
        let state = self.threads.lock();
        if !state.finished.is_empty() {
            drop(self.threads.wait_idle(state, Instant::now() + limit));
        }
    }

    /// Waits until a request has ended, no request is left, or `deadline` is reached.
    pub fn wait_for_reply(&self, deadline: Instant) {
        let state = self.threads.lock();
        drop(self.threads.wait_while(state, deadline, |state| {
            state.finished.is_empty() && !(state.running.is_empty() && state.queue.is_empty())
        }));
    }

    /// Takes the requests that have ended, in the order in which they ended.
    pub fn take_finished(&self) -> Vec<FinishedRequest<T>> {
        let _ = Threads::spawn_missing(&self.threads);
        std::mem::take(&mut self.threads.lock().finished)
    }

    /// Returns a handle that can take replies at any later time, without the pool.
    pub fn replies(&self) -> Replies<T> {
        Replies { threads: Arc::clone(&self.threads) }
    }

    /// Counts the requests submitted and not yet returned by [`Pool::take_finished`] or [`Pool::take_released`].
    pub fn in_flight(&self) -> usize {
        let state = self.threads.lock();
        state.queue.len() + state.running.len() + state.finished.len() + state.released.len()
    }

    /// Changes the number of threads (1 to 64). Surplus threads end after their current request.
    pub fn resize(&mut self, threads: usize) {
        self.threads.lock().target = clamp_threads(threads);
        let _ = Threads::spawn_missing(&self.threads);
        self.threads.work_available.notify_all();
    }

    /// Ends the pool within `wait` and returns every request not yet taken. Requests that were never started are `NotSent`.
    /// Running requests get three quarters of the time to end by themselves. Then their clients are shut down (for all clones),
    /// and requests that have still not ended at the deadline are `Lost`. To abort at once, call [`Client::shutdown`] first. A
    /// running task is waited for too; tasks never started are dropped.
    pub fn shutdown(self, wait: Duration) -> Vec<FinishedRequest<T>> {
        let deadline = Instant::now() + wait;
        let mut state = self.threads.lock();
        state.target = 0;
        let unsent: Vec<_> = state.queue.drain(..).collect();
        let tasks = std::mem::take(&mut state.tasks);
        self.threads.work_available.notify_all();
        state = self.threads.wait_idle(state, deadline - wait / 4);
        let clients: Vec<_> = state.running.iter().filter_map(|running| running.client.clone()).collect();
        drop(state);
        for client in &clients {
            client.shutdown();
        }
        let mut state = self.threads.wait_idle(self.threads.lock(), deadline);
        let mut all = std::mem::take(&mut state.finished);
        let interrupted = || Reply::Lost { reason: "interrupted".to_owned() };
        all.extend(state.running.drain(..).map(|running| running.finish(interrupted())));
        drop(state);
        // Not under the lock: a task may report when it is dropped.
        drop(tasks);
        all.extend(unsent.into_iter().map(|request| FinishedRequest::not_started(request, "stopped before sending")));
        all
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        // If the pool is dropped without `shutdown`, its threads end after their current request.
        let mut state = self.threads.lock();
        state.target = 0;
        state.queue.clear();
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        drop(tasks);
        self.threads.work_available.notify_all();
    }
}

#[cfg(test)]
#[path = "pool_release_tests.rs"]
mod release_tests;
#[cfg(test)]
#[path = "pool_shutdown_tests.rs"]
mod shutdown_tests;
#[cfg(test)]
#[path = "pool_task_tests.rs"]
mod task_tests;
#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
