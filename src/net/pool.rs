//! The sender threads: jobs in, replies out, the caller never waits.
//!
//! Owned and called by the worker's main thread. Threads are spawned with all signals blocked.
//! Must not import: pgrx.

mod crew;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use self::crew::{Crew, Job};
use super::client::Client;
use crate::domain::outcome::Reply;
use crate::domain::request::Request;

/// A finished job.
#[derive(Clone, Debug, PartialEq)]
pub struct Done<T> {
    /// What `submit` was given.
    pub tag: T,
    /// How it ended.
    pub reply: Reply,
    /// When a thread took the job, by the wall clock.
    pub started_at: DateTime<Utc>,
    /// The same, by the monotonic clock.
    pub started: Instant,
    /// From then to its end; zero for a job that was never started.
    pub elapsed: Duration,
}

/// Threads that send requests. `T` is the caller's mark on a job, given back with its reply.
pub struct Pool<T> {
    crew: Arc<Crew<T>>,
}

/// Takes replies without the pool. It keeps no thread alive.
pub struct Replies<T> {
    crew: Arc<Crew<T>>,
}

impl<T> Replies<T> {
    /// The replies that have come in and were not taken yet, in the order in which they came.
    pub fn take(&self) -> Vec<Done<T>> {
        std::mem::take(&mut self.crew.lock().finished)
    }
}

impl<T: Send + 'static> Pool<T> {
    /// Starts the threads (1 to 64), as many as jobs may run at once. `wake` is called from a sender thread when replies have
    /// become available after there were none; it must be quick and must not call back into the
    /// pool. Fails in plain words when no thread can be started.
    pub fn new(threads: usize, wake: impl Fn() + Send + Sync + 'static) -> Result<Self, String> {
        let crew = Arc::new(Crew::new(threads, Box::new(wake)));
        let staffed = Crew::staff(&crew);
        if crew.lock().alive == 0 {
            staffed.map_err(|e| format!("no sender thread could be started: {e}"))?;
        }
        Ok(Pool { crew })
    }

    /// Queues a request; never waits for the network. A call (not a token request) that no thread has taken yet comes back
    /// through [`Pool::recalled`] when another one is refused, limited or lost.
    pub fn submit(&self, client: Client, tag: T, request: Request) {
        let sender = client.clone();
        let recallable = matches!(request, Request::Call { .. });
        self.push(Job { recallable, tag, client: Some(client), work: Box::new(move || sender.send(&request)) });
    }

    /// Takes back the calls that no thread has taken yet.
    pub fn recall(&self) {
        self.crew.lock().recall();
    }

    /// Calls that certainly never left.
    pub fn recalled(&self) -> Vec<T> {
        std::mem::take(&mut self.crew.lock().recalled)
    }

    /// Queues something else than a request to Guestly, e.g. a mail; never waits. Errands run one at a time and have a
    /// thread more while there are any: no request waits for one. They do not count as in flight. An errand reports by
    /// itself; `wake` is called when it has ended. One whose turn never comes is dropped.
    pub fn run(&self, errand: impl FnOnce() + Send + 'static) {
        self.crew.lock().errands.push_back(Box::new(errand));
        self.crew.work.notify_one();
        let _ = Crew::staff(&self.crew);
    }

    #[cfg(test)]
    fn submit_work(&self, tag: T, client: Option<Client>, work: self::crew::Work) {
        self.push(Job { recallable: false, tag, client, work });
    }

    fn push(&self, job: Job<T>) {
        self.crew.lock().queue.push_back(job);
        self.crew.work.notify_one();
        // A thread that died is replaced here; if that fails, the next call tries again.
        let _ = Crew::staff(&self.crew);
    }

    /// Where some replies have come in and others are about to, waits for those: at most `patience`, and not while there is
    /// none at all.
    pub fn gather(&self, patience: Duration) {
        let state = self.crew.lock();
        if !state.finished.is_empty() {
            drop(self.crew.wait_idle(state, Instant::now() + patience));
        }
    }

    /// Waits until a reply is there, nothing is under way any more, or that moment has come.
    pub fn wait_for_reply(&self, until: Instant) {
        let state = self.crew.lock();
        drop(self.crew.wait_while(state, until, |state| {
            state.finished.is_empty() && !(state.running.is_empty() && state.queue.is_empty())
        }));
    }

    /// Takes the replies that have come in, in the order in which they came.
    pub fn finished(&self) -> Vec<Done<T>> {
        let _ = Crew::staff(&self.crew);
        std::mem::take(&mut self.crew.lock().finished)
    }

    /// A handle that takes the replies that have come in, at any later time.
    pub fn replies(&self) -> Replies<T> {
        Replies { crew: Arc::clone(&self.crew) }
    }

    /// Jobs submitted and not yet returned by [`Pool::finished`] or [`Pool::recalled`].
    pub fn in_flight(&self) -> usize {
        let state = self.crew.lock();
        state.queue.len() + state.running.len() + state.finished.len() + state.recalled.len()
    }

    /// Changes the number of threads (1 to 64). Surplus threads end after their present job.
    pub fn resize(&mut self, threads: usize) {
        self.crew.lock().wanted = crew::sane(threads);
        let _ = Crew::staff(&self.crew);
        self.crew.work.notify_all();
    }

    /// Ends the pool within `wait` and returns every job that is still owed. Jobs never started
    /// come back as `NotSent`. Requests under way get three quarters of the time to end by
    /// themselves, then their clients are shut down (for all clones), and what has not even then
    /// come back is `Lost`. To cut at once, call [`Client::shutdown`] before. An errand under way is
    /// waited for as well; errands never started are dropped.
    pub fn shutdown(self, wait: Duration) -> Vec<Done<T>> {
        let deadline = Instant::now() + wait;
        let mut state = self.crew.lock();
        state.wanted = 0;
        let unsent: Vec<_> = state.queue.drain(..).collect();
        let errands = std::mem::take(&mut state.errands);
        self.crew.work.notify_all();
        state = self.crew.wait_idle(state, deadline - wait / 4);
        let clients: Vec<_> = state.running.iter().filter_map(|r| r.client.clone()).collect();
        drop(state);
        for client in &clients {
            client.shutdown();
        }
        let mut state = self.crew.wait_idle(self.crew.lock(), deadline);
        let mut all = std::mem::take(&mut state.finished);
        all.extend(state.running.drain(..).map(|running| {
            let reason = "interrupted".to_owned();
            running.done(Reply::Lost { reason })
        }));
        drop(state);
        // Not under the lock: an errand may report as it is dropped.
        drop(errands);
        all.extend(unsent.into_iter().map(|job| Done {
            tag: job.tag,
            reply: Reply::NotSent { reason: "stopped before sending".to_owned() },
            started_at: Utc::now(),
            started: Instant::now(),
            elapsed: Duration::ZERO,
        }));
        all
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        // Threads of a pool that was dropped without `shutdown` end after their present job.
        let mut state = self.crew.lock();
        state.wanted = 0;
        state.queue.clear();
        let errands = std::mem::take(&mut state.errands);
        drop(state);
        drop(errands);
        self.crew.work.notify_all();
    }
}

#[cfg(test)]
#[path = "pool_recall_tests.rs"]
mod recall_tests;
#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
