//! What the pool's owner and its threads share, and what a thread does all day.
//!
//! Called by `net::pool` on the worker's main thread, and by the sender threads themselves. The
//! lock is never held while a job runs, a thread starts or `wake` is called. Must not import: pgrx.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::Done;
use crate::domain::outcome::Reply;
use crate::net::client::Client;
use crate::sys::SignalBlock;

/// More threads than any quota could use.
const MAX_THREADS: usize = 64;

/// Enough for a TLS handshake in a debug build; a job does not recurse.
const STACK: usize = 512 * 1024;

/// What a thread runs for a job.
pub(super) type Work = Box<dyn FnOnce() -> Reply + Send>;

/// What a thread runs besides: it reports by itself.
pub(super) type Errand = Box<dyn FnOnce() + Send>;

/// What a thread has taken.
enum Turn {
    Job(u64, Work),
    Errand(Errand),
}

/// The number of threads that a wish comes to.
pub(super) fn sane(threads: usize) -> usize {
    threads.clamp(1, MAX_THREADS)
}

pub(super) struct Crew<T> {
    pub(super) state: Mutex<State<T>>,
    /// A job came, or threads should end.
    pub(super) work: Condvar,
    /// A job ended.
    pub(super) ended: Condvar,
    pub(super) wake: Box<dyn Fn() + Send + Sync>,
}

pub(super) struct State<T> {
    pub(super) queue: VecDeque<Job<T>>,
    pub(super) running: Vec<Running<T>>,
    pub(super) finished: Vec<Done<T>>,
    /// Jobs taken back before a thread took them.
    pub(super) recalled: Vec<T>,
    pub(super) errands: VecDeque<Errand>,
    /// At most one at a time.
    pub(super) errand_runs: bool,
    /// Jobs at once, and the threads that are there.
    pub(super) wanted: usize,
    pub(super) alive: usize,
    pub(super) next_id: u64,
}

impl<T> State<T> {
    /// Takes back what no thread has taken.
    pub(super) fn recall(&mut self) {
        let (back, stay): (VecDeque<_>, _) = self.queue.drain(..).partition(|job| job.recallable);
        self.queue = stay;
        self.recalled.extend(back.into_iter().map(|job| job.tag));
    }

    /// Threads that should be there: while there are errands one more, so that none takes a job's place.
    fn needed(&self) -> usize {
        let errands = self.errand_runs || !self.errands.is_empty();
        self.wanted + usize::from(errands && self.wanted > 0)
    }
}

pub(super) struct Job<T> {
    /// A bad answer to another job takes it back.
    pub(super) recallable: bool,
    pub(super) tag: T,
    pub(super) client: Option<Client>,
    pub(super) work: Work,
}

/// The part of a job that stays with the pool, so that its tag comes back whatever the thread
/// does.
pub(super) struct Running<T> {
    pub(super) id: u64,
    pub(super) tag: T,
    pub(super) client: Option<Client>,
    pub(super) started_at: DateTime<Utc>,
    pub(super) started: Instant,
}

impl<T> Running<T> {
    pub(super) fn done(self, reply: Reply) -> Done<T> {
        let Self { tag, started_at, started, .. } = self;
        Done { tag, reply, started_at, started, elapsed: started.elapsed() }
    }
}

impl<T> Crew<T> {
    /// A crew without anybody in it yet: see `staff`.
    pub(super) fn new(threads: usize, wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Crew {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                running: Vec::new(),
                finished: Vec::new(),
                recalled: Vec::new(),
                errands: VecDeque::new(),
                errand_runs: false,
                wanted: sane(threads),
                alive: 0,
                next_id: 0,
            }),
            work: Condvar::new(),
            ended: Condvar::new(),
            wake,
        }
    }

    /// The state stays usable after a panic: each change to it is complete in itself.
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait_idle<'a>(&'a self, state: MutexGuard<'a, State<T>>, until: Instant) -> MutexGuard<'a, State<T>> {
        self.wait_while(state, until, |state| !state.running.is_empty() || state.errand_runs)
    }

    pub(super) fn wait_while<'a>(
        &'a self,
        state: MutexGuard<'a, State<T>>,
        until: Instant,
        goes_on: impl Fn(&State<T>) -> bool,
    ) -> MutexGuard<'a, State<T>> {
        let left = until.saturating_duration_since(Instant::now());
        self.ended.wait_timeout_while(state, left, |state| goes_on(state)).unwrap_or_else(PoisonError::into_inner).0
    }

    /// The next job or, where there is none, errand; `None` when this thread should end.
    fn take(&self) -> Option<Turn> {
        let mut state = self.lock();
        loop {
            if state.alive > state.needed() {
                state.alive -= 1;
                // What woke this thread is for one that stays.
                self.work.notify_one();
                return None;
            }
            if state.running.len() < state.wanted
                && let Some(job) = state.queue.pop_front()
            {
                let id = state.next_id;
                state.next_id += 1;
                state.running.push(Running {
                    id,
                    tag: job.tag,
                    client: job.client,
                    started_at: Utc::now(),
                    started: Instant::now(),
                });
                return Some(Turn::Job(id, job.work));
            }
            if !state.errand_runs
                && let Some(errand) = state.errands.pop_front()
            {
                state.errand_runs = true;
                return Some(Turn::Errand(errand));
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn errand_ended(&self) {
        self.lock().errand_runs = false;
        // The next errand may be waiting for this one.
        self.work.notify_one();
        self.ended.notify_all();
        (self.wake)();
    }

    fn put(&self, id: u64, reply: Reply) {
        let mut state = self.lock();
        let Some(at) = state.running.iter().position(|running| running.id == id) else {
            // `shutdown` has already given it up.
            return;
        };
        let first = state.finished.is_empty();
        if brakes(&reply) {
            state.recall();
        }
        let done = state.running.swap_remove(at).done(reply);
        state.finished.push(done);
        drop(state);
        self.ended.notify_all();
        if first {
            (self.wake)();
        }
    }
}

impl<T: Send + 'static> Crew<T> {
    /// Starts the threads that are missing.
    pub(super) fn staff(crew: &Arc<Self>) -> std::io::Result<()> {
        loop {
            let mut state = crew.lock();
            if state.alive >= state.needed() {
                return Ok(());
            }
            state.alive += 1;
            drop(state);
            let desk = Desk { crew: Arc::clone(crew), taken: true };
            let _block = SignalBlock::new()?;
            thread::Builder::new().name("guestly sender".to_owned()).stack_size(STACK).spawn(move || desk.serve())?;
        }
    }
}

/// After such a reply nothing more should leave before somebody has looked at it.
fn brakes(reply: &Reply) -> bool {
    match reply {
        Reply::Answer(answer) => matches!(answer.status, 401 | 403 | 408 | 429 | 500..),
        Reply::NotSent { .. } | Reply::Unsendable { .. } | Reply::Lost { .. } => true,
    }
}

/// A thread's place. However it is left (also by a panic, or when the thread could not be started
/// at all), the count is right and `staff` can fill it again.
struct Desk<T> {
    crew: Arc<Crew<T>>,
    taken: bool,
}

impl<T> Desk<T> {
    fn serve(mut self) {
        while let Some(turn) = self.crew.take() {
            match turn {
                Turn::Job(id, work) => {
                    let reply = guarded(work);
                    self.crew.put(
                        id,
                        reply.unwrap_or_else(|()| Reply::Lost {
                            reason: "internal: a sender thread panicked".to_owned(),
                        }),
                    );
                }
                Turn::Errand(errand) => {
                    let _ = guarded(errand);
                    self.crew.errand_ended();
                }
            }
        }
        // `take` has counted this thread out, under the lock that told it to go.
        self.taken = false;
    }
}

/// Runs it; a panic ends here.
fn guarded<R>(work: impl FnOnce() -> R) -> Result<R, ()> {
    // Dropping the payload could panic again, now outside of any guard; quoting it could quote a secret. The panic hook
    // has already logged where it was.
    catch_unwind(AssertUnwindSafe(work)).map_err(std::mem::forget)
}

impl<T> Drop for Desk<T> {
    fn drop(&mut self) {
        if self.taken {
            self.crew.lock().alive -= 1;
        }
    }
}
