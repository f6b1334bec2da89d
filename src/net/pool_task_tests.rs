//! Tasks of the pool: they run one at a time on an extra thread. Run by cargo test.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::tests::{collect, hold, pool, reply};
use super::*;
use crate::net::test_server::eventually;

/// Runs a task that ends when the sender is used or dropped, and then adds one to the counter.
fn hold_task(pool: &Pool<usize>, ended: &Arc<AtomicUsize>) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let ended = Arc::clone(ended);
    pool.run_task(move || {
        let _ = released.recv();
        ended.fetch_add(1, Ordering::SeqCst);
    });
    release
}

#[test]
fn task_does_not_take_the_thread_of_a_request() {
    let pool = pool(1);
    let _task = hold_task(&pool, &Arc::default());
    eventually("the task runs", || pool.threads.lock().task_running);
    let _request = hold(&pool, 1);
    eventually("a request runs as well", || pool.threads.lock().running.len() == 1);
}

#[test]
fn extra_thread_sends_no_request() {
    let pool = pool(1);
    let _task = hold_task(&pool, &Arc::default());
    eventually("the task runs", || pool.threads.lock().task_running);
    let first = hold(&pool, 1);
    drop(hold(&pool, 2));
    eventually("a request runs", || pool.threads.lock().running.len() == 1);
    assert_eq!(pool.threads.lock().queue.len(), 1);
    drop(first);
    assert_eq!(collect(&pool, 2).len(), 2);
}

#[test]
fn tasks_run_one_at_a_time() {
    let pool = pool(1);
    let ended = Arc::new(AtomicUsize::new(0));
    let first = hold_task(&pool, &ended);
    eventually("the task runs", || pool.threads.lock().task_running);
    drop(hold_task(&pool, &ended));
    // A request that is sent meanwhile shows that the threads had time to start the second task.
    pool.submit_fn(1, None, Box::new(|| reply("sent")));
    collect(&pool, 1);
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    drop(first);
    eventually("both tasks have ended", || ended.load(Ordering::SeqCst) == 2);
}

#[test]
fn extra_thread_ends_after_the_last_task() {
    let pool = pool(1);
    drop(hold_task(&pool, &Arc::default()));
    eventually("the extra thread has ended", || {
        let state = pool.threads.lock();
        !state.task_running && state.tasks.is_empty() && state.alive == 1
    });
    pool.submit_fn(3, None, Box::new(|| reply("sent")));
    assert_eq!(collect(&pool, 1)[0].tag, 3);
}
