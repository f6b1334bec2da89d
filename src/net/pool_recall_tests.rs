//! Tests of what comes back from the pool's queue before a thread has taken it. Run by cargo test.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::crew::Job;
use super::*;
use crate::domain::outcome::Answer;

fn answered(status: u16) -> Reply {
    Reply::Answer(Answer { status, whole: true, ..Answer::default() })
}

/// One thread, whose first job ends with `reply` once three more wait behind it, two of them calls.
fn after(reply: Reply) -> (Vec<u32>, Vec<u32>) {
    let pool = Pool::<u32>::new(1, || {}).expect("a thread");
    let (go, gate) = channel::<()>();
    let first = reply.clone();
    let push = |tag, recallable, work| pool.push(Job { recallable, tag, client: None, work });
    push(1, true, Box::new(move || gate.recv().map_or(reply, |()| first)));
    let wait = |left: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !left() {
            assert!(began.elapsed() < Duration::from_secs(20), "the pool does not come to an end");
            std::thread::yield_now();
        }
    };
    wait(&|| pool.crew.lock().running.len() == 1);
    push(2, true, Box::new(|| answered(201)));
    push(3, false, Box::new(|| answered(200)));
    push(4, true, Box::new(|| answered(201)));
    go.send(()).expect("the job waits");
    wait(&|| {
        let state = pool.crew.lock();
        state.queue.is_empty() && state.running.is_empty()
    });
    assert_eq!(pool.in_flight(), 4, "what is not handed over yet is still owed");
    let done = pool.finished().into_iter().map(|done| done.tag).collect();
    let back = pool.recalled();
    assert_eq!(pool.in_flight(), 0);
    (done, back)
}

#[test]
fn a_bad_answer_takes_back_the_calls_that_wait() {
    for status in [401, 403, 408, 429, 500, 503] {
        assert_eq!(after(answered(status)), (vec![1, 3], vec![2, 4]), "after {status}");
    }
    assert_eq!(after(Reply::Lost { reason: "cut".to_owned() }), (vec![1, 3], vec![2, 4]));
    assert_eq!(after(Reply::NotSent { reason: "refused".to_owned() }), (vec![1, 3], vec![2, 4]));
}

#[test]
fn an_answer_about_one_booking_takes_back_nothing() {
    for status in [200, 201, 400, 404, 409, 422] {
        assert_eq!(after(answered(status)), (vec![1, 2, 3, 4], vec![]), "after {status}");
    }
}
