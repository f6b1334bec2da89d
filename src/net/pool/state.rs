//! Data that the pool and its threads share, behind one lock.
//!
//! Used by `net::pool` on the worker's main thread and by `net::pool::threads` on the sender threads. Must not import: pgrx.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::domain::outcome::Reply;
use crate::net::client::Client;

/// Upper limit for the threads of a pool: more than any rate limit can use.
const MAX_THREADS: usize = 64;

/// Sends a request.
pub(super) type SendFn = Box<dyn FnOnce() -> Reply + Send>;

/// Work other than a request. It reports its result itself.
pub(super) type Task = Box<dyn FnOnce() + Send>;

/// A request that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedRequest<T> {
    /// The tag that `submit` was given.
    pub tag: T,
    /// The answer, or the reason why there is none.
    pub reply: Reply,
    /// When a thread took the request, by the wall clock.
    pub started_at: DateTime<Utc>,
    /// When a thread took the request, by the monotonic clock.
    pub started: Instant,
    /// Time from then until the request ended; zero if it was never started.
    pub elapsed: Duration,
}

impl<T> FinishedRequest<T> {
    /// The result of a request that no thread has taken.
    pub(super) fn not_started(request: QueuedRequest<T>, reason: &str) -> Self {
        FinishedRequest {
            tag: request.tag,
            reply: Reply::NotSent { reason: reason.to_owned() },
            started_at: Utc::now(),
            started: Instant::now(),
            elapsed: Duration::ZERO,
        }
    }
}

pub(super) struct QueuedRequest<T> {
    /// May be released by `State::release_unsent`.
    pub(super) releasable: bool,
    pub(super) tag: T,
    pub(super) client: Option<Client>,
    pub(super) send: SendFn,
}

/// The part of a request that stays with the pool while a thread sends it: the tag is returned whatever happens to the thread.
pub(super) struct RunningRequest<T> {
    pub(super) id: u64,
    tag: T,
    pub(super) client: Option<Client>,
    started_at: DateTime<Utc>,
    started: Instant,
}

impl<T> RunningRequest<T> {
    pub(super) fn finish(self, reply: Reply) -> FinishedRequest<T> {
        let Self { tag, started_at, started, .. } = self;
        FinishedRequest { tag, reply, started_at, started, elapsed: started.elapsed() }
    }
}

pub(super) struct State<T> {
    pub(super) queue: VecDeque<QueuedRequest<T>>,
    pub(super) running: Vec<RunningRequest<T>>,
    pub(super) finished: Vec<FinishedRequest<T>>,
    /// Tags of requests that were released before a thread took them.
    pub(super) released: Vec<T>,
    pub(super) tasks: VecDeque<Task>,
    /// True while a task runs: tasks run one at a time.
    pub(super) task_running: bool,
    /// Number of requests that may run at once.
    pub(super) target: usize,
    /// Number of threads that exist.
    pub(super) alive: usize,
    next_id: u64,
}

impl<T> State<T> {
    pub(super) fn new(threads: usize) -> Self {
        State {
            queue: VecDeque::new(),
            running: Vec::new(),
            finished: Vec::new(),
            released: Vec::new(),
            tasks: VecDeque::new(),
            task_running: false,
            target: clamp_threads(threads),
            alive: 0,
            next_id: 0,
        }
    }

    /// Removes the releasable requests that no thread has taken from the queue.
    pub(super) fn release_unsent(&mut self) {
        let (released, kept): (VecDeque<_>, _) = self.queue.drain(..).partition(|request| request.releasable);
        self.queue = kept;
        self.released.extend(released.into_iter().map(|request| request.tag));
    }

    /// Number of threads that should exist. Tasks get one extra thread so that none takes the place of a request.
    pub(super) fn needed(&self) -> usize {
        let has_tasks = self.task_running || !self.tasks.is_empty();
        self.target + usize::from(has_tasks && self.target > 0)
    }

    /// Takes the next request out of the queue and marks it as running, if another one may run.
    pub(super) fn start_request(&mut self) -> Option<(u64, SendFn)> {
        if self.running.len() >= self.target {
            return None;
        }
        let QueuedRequest { tag, client, send, .. } = self.queue.pop_front()?;
        let id = self.next_id;
        self.next_id += 1;
        self.running.push(RunningRequest { id, tag, client, started_at: Utc::now(), started: Instant::now() });
        Some((id, send))
    }

    /// Takes the next task and marks it as running, unless another one runs.
    pub(super) fn start_task(&mut self) -> Option<Task> {
        if self.task_running {
            return None;
        }
        let task = self.tasks.pop_front()?;
        self.task_running = true;
        Some(task)
    }
}

/// Limits the number of threads to 1 to 64.
pub(super) fn clamp_threads(threads: usize) -> usize {
    threads.clamp(1, MAX_THREADS)
}
