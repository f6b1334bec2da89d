//! Unit tests of the pool: signals are blocked, no request is lost, wakes are coalesced, waits end. Run by cargo test.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use chrono::Utc;

use super::super::test_server::{AT_ONCE, Server, eventually, get, impatient, ok};
use super::*;

pub(super) fn reply(reason: &str) -> Reply {
    Reply::Lost { reason: reason.to_owned() }
}

pub(super) fn pool(threads: usize) -> Pool<usize> {
    Pool::new(threads, || {}).unwrap()
}

/// Submits a request that ends when the sender is used or dropped.
pub(super) fn hold(pool: &Pool<usize>, tag: usize) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel();
    let send = move || {
        let _ = released.recv();
        reply("released")
    };
    pool.submit_fn(tag, None, Box::new(send));
    release
}

pub(super) fn collect(pool: &Pool<usize>, count: usize) -> Vec<FinishedRequest<usize>> {
    let all = std::cell::RefCell::new(Vec::new());
    eventually("all requests have ended", || {
        all.borrow_mut().extend(pool.take_finished());
        all.borrow().len() >= count
    });
    all.into_inner()
}

#[test]
fn replies_are_returned_with_their_tags() {
    let server = Server::start(|connection| {
        while let Some(request) = connection.request() {
            let path = request.split(' ').nth(1).unwrap().to_owned();
            connection.write(&ok(&path));
        }
    });
    let pool = pool(4);
    let client = server.client();
    for tag in 0..200 {
        pool.submit(client.clone(), tag, get(&format!("/{tag}")));
    }
    let mut tags = HashSet::new();
    for finished in collect(&pool, 200) {
        let Reply::Answer(answer) = finished.reply else {
            panic!("{:?}", finished.reply);
        };
        assert_eq!(answer.body, format!("/v1/{}", finished.tag).into_bytes());
        assert!(finished.started_at <= Utc::now());
        tags.insert(finished.tag);
    }
    assert_eq!((tags.len(), pool.in_flight()), (200, 0));
}

#[test]
fn all_signals_are_blocked_on_sender_threads() {
    let (sent, status) = mpsc::channel();
    let pool = pool(1);
    let send = move || {
        sent.send(std::fs::read_to_string("/proc/thread-self/status").unwrap()).unwrap();
        reply("")
    };
    pool.submit_fn(0, None, Box::new(send));
    let status = status.recv().unwrap();
    assert!(status.starts_with("Name:\tguestly sender\n"));
    assert_eq!(blocked(&status) | UNBLOCKABLE, u64::MAX, "{status}");
}

#[test]
fn signal_mask_of_the_creator_is_restored() {
    let own_mask = || blocked(&std::fs::read_to_string("/proc/thread-self/status").unwrap());
    let before = own_mask();
    let _pool = pool(1);
    assert_eq!(own_mask(), before);
}

/// KILL and STOP cannot be blocked; 32 and 33 belong to the C library.
const UNBLOCKABLE: u64 = (1 << (9 - 1)) | (1 << (19 - 1)) | (0b11 << (32 - 1));

fn blocked(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
}

#[test]
fn all_signals_are_blocked_on_threads_of_ureq() {
    // ureq resolves a name on a thread of its own.
    let pool = pool(1);
    pool.submit(impatient("https://guestly.invalid"), 0, get("/"));
    let mut common = u64::MAX;
    while pool.take_finished().is_empty() {
        for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            if status.starts_with("Name:\tguestly sender\n") {
                common &= blocked(&status);
            }
        }
    }
    assert_eq!(common | UNBLOCKABLE, u64::MAX);
}

#[test]
fn panic_becomes_a_reply() {
    let pool = pool(1);
    pool.submit_fn(1, None, Box::new(|| panic!("canary")));
    assert_eq!(collect(&pool, 1)[0].reply, reply("internal: a sender thread panicked"));
}

#[test]
fn thread_survives_a_panic() {
    let pool = pool(1);
    pool.submit_fn(1, None, Box::new(|| panic!("canary")));
    pool.submit_fn(2, None, Box::new(|| reply("fine")));
    let finished = collect(&pool, 2);
    assert_eq!((finished[1].tag, &finished[1].reply), (2, &reply("fine")));
}

#[test]
fn dead_thread_is_replaced() {
    let first = AtomicBool::new(true);
    let wake = move || assert!(!first.swap(false, Ordering::SeqCst), "kills the thread");
    let pool = Pool::new(1, wake).unwrap();
    pool.submit_fn(1, None, Box::new(|| reply("one")));
    assert_eq!(collect(&pool, 1)[0].reply, reply("one"));
    pool.submit_fn(2, None, Box::new(|| reply("two")));
    assert_eq!(collect(&pool, 1)[0].reply, reply("two"));
}

#[test]
fn wakes_are_coalesced() {
    let wakes = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&wakes);
    let wake = move || {
        counter.fetch_add(1, Ordering::SeqCst);
    };
    let pool = Pool::new(4, wake).unwrap();
    for round in 1..=3 {
        for tag in 0..50 {
            pool.submit_fn(tag, None, Box::new(|| reply("")));
        }
        eventually("the round has ended", || pool.threads.lock().finished.len() == 50);
        eventually("the wake is called", || wakes.load(Ordering::SeqCst) == round);
        assert_eq!(pool.take_finished().len(), 50);
        assert!(pool.take_finished().is_empty());
    }
    assert_eq!(wakes.load(Ordering::SeqCst), 3);
}

#[test]
fn in_flight_includes_replies_that_were_not_taken() {
    let pool = pool(1);
    let first = hold(&pool, 1);
    let _second = hold(&pool, 2);
    drop(first);
    eventually("one has ended", || pool.threads.lock().finished.len() == 1);
    assert_eq!(pool.in_flight(), 2);
    assert_eq!(pool.take_finished().len(), 1);
    assert_eq!(pool.in_flight(), 1);
}

#[test]
fn resize_adds_threads() {
    let mut pool = pool(1);
    let _held: Vec<_> = (0..4).map(|tag| hold(&pool, tag)).collect();
    eventually("one runs", || pool.threads.lock().running.len() == 1);
    pool.resize(3);
    eventually("three run", || pool.threads.lock().running.len() == 3);
}

#[test]
fn resize_to_zero_keeps_one_thread() {
    let mut pool = pool(3);
    let held: Vec<_> = (0..4).map(|tag| hold(&pool, tag)).collect();
    eventually("three run", || pool.threads.lock().running.len() == 3);
    pool.resize(0);
    drop(held);
    assert_eq!(collect(&pool, 4).len(), 4);
    eventually("one thread is left", || pool.threads.lock().alive == 1);
    pool.submit_fn(9, None, Box::new(|| reply("sent")));
    assert_eq!(collect(&pool, 1)[0].tag, 9);
}

#[test]
fn linger_returns_at_once_without_a_reply() {
    let pool = pool(1);
    let _slow = hold(&pool, 1);
    let since = Instant::now();
    pool.linger(Duration::from_secs(600));
    assert!(since.elapsed() < AT_ONCE);
}

#[test]
fn linger_is_limited() {
    let pool = pool(2);
    let _slow = hold(&pool, 1);
    let quick = hold(&pool, 2);
    eventually("both run", || pool.threads.lock().running.len() == 2);
    drop(quick);
    eventually("one has ended", || pool.threads.lock().finished.len() == 1);
    pool.linger(Duration::from_millis(5));
    assert_eq!(pool.threads.lock().running.len(), 1);
}

#[test]
fn linger_waits_for_running_requests() {
    let pool = pool(2);
    let (slow, quick) = (hold(&pool, 1), hold(&pool, 2));
    eventually("both run", || pool.threads.lock().running.len() == 2);
    drop(quick);
    eventually("one has ended", || pool.threads.lock().finished.len() == 1);
    drop(slow);
    pool.linger(Duration::from_secs(600));
    assert_eq!(pool.take_finished().len(), 2);
}

#[test]
fn wait_for_reply_returns_at_once_on_an_idle_pool() {
    let since = Instant::now();
    pool(2).wait_for_reply(since + Duration::from_secs(600));
    assert!(since.elapsed() < AT_ONCE);
}

#[test]
fn wait_for_reply_ends_at_the_deadline() {
    let pool = pool(1);
    let _slow = hold(&pool, 1);
    pool.wait_for_reply(Instant::now());
    assert!(pool.take_finished().is_empty());
}

#[test]
fn wait_for_reply_returns_after_the_first_reply() {
    let pool = pool(2);
    let (_slow, quick) = (hold(&pool, 1), hold(&pool, 2));
    eventually("both run", || pool.threads.lock().running.len() == 2);
    drop(quick);
    let since = Instant::now();
    pool.wait_for_reply(since + Duration::from_secs(600));
    assert!(since.elapsed() < AT_ONCE);
    assert_eq!(pool.take_finished().len(), 1);
}

#[test]
fn wait_for_reply_includes_queued_requests() {
    let pool = pool(1);
    // It may not have been taken by a thread yet.
    drop(hold(&pool, 1));
    pool.wait_for_reply(Instant::now() + Duration::from_secs(600));
    assert_eq!(pool.take_finished().len(), 1);
}
