//! Requests that are released from the pool's queue before a thread has taken them. Run by cargo test.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::state::QueuedRequest;
use super::*;
use crate::domain::outcome::Answer;

fn answered(status: u16) -> Reply {
    Reply::Answer(Answer { status, whole: true, ..Answer::default() })
}

/// Ends the first request of a pool with one thread with `reply` while three more are queued, two of them calls. Returns the tags
/// of the finished and of the released ones.
fn after(reply: Reply) -> (Vec<u32>, Vec<u32>) {
    let pool = Pool::<u32>::new(1, || {}).expect("a thread");
    let (open_gate, gate) = channel::<()>();
    let first = reply.clone();
    let push = |tag, releasable, send| pool.push(QueuedRequest { releasable, tag, client: None, send });
    push(1, true, Box::new(move || gate.recv().map_or(reply, |()| first)));
    let wait = |condition: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < Duration::from_secs(20), "the pool makes no progress");
            std::thread::yield_now();
        }
    };
    wait(&|| pool.threads.lock().running.len() == 1);
    push(2, true, Box::new(|| answered(201)));
    push(3, false, Box::new(|| answered(200)));
    push(4, true, Box::new(|| answered(201)));
    open_gate.send(()).expect("the request waits");
    wait(&|| {
        let state = pool.threads.lock();
        state.queue.is_empty() && state.running.is_empty()
    });
    assert_eq!(pool.in_flight(), 4, "requests that were not taken yet count too");
    let finished = pool.take_finished().into_iter().map(|finished| finished.tag).collect();
    let released = pool.take_released();
    assert_eq!(pool.in_flight(), 0);
    (finished, released)
}

#[test]
fn queued_calls_are_released_after_a_general_refusal() {
    for status in [401, 403, 408, 429, 500, 503] {
        assert_eq!(after(answered(status)), (vec![1, 3], vec![2, 4]), "after {status}");
    }
}

#[test]
fn queued_calls_are_released_after_a_request_without_an_answer() {
    assert_eq!(after(Reply::Lost { reason: "cut".to_owned() }), (vec![1, 3], vec![2, 4]));
    assert_eq!(after(Reply::NotSent { reason: "refused".to_owned() }), (vec![1, 3], vec![2, 4]));
}

#[test]
fn queued_calls_stay_after_an_answer_about_one_booking() {
    for status in [200, 201, 400, 404, 409, 422] {
        assert_eq!(after(answered(status)), (vec![1, 2, 3, 4], vec![]), "after {status}");
    }
}
