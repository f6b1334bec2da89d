//! The pool's promises: no signal, no lost job, no long shutdown, no needless wake.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::super::test_server::{AT_ONCE, Server, eventually, get, impatient, ok, post};
use super::*;

fn reply(reason: &str) -> Reply {
    Reply::Lost { reason: reason.to_owned() }
}

fn pool(threads: usize) -> Pool<usize> {
    Pool::new(threads, || {}).unwrap()
}

/// Submits a job that waits until the sender is used or dropped.
fn hold(pool: &Pool<usize>, tag: usize) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel();
    let work = move || {
        let _ = held.recv();
        reply("released")
    };
    pool.submit_work(tag, None, Box::new(work));
    release
}

fn collect(pool: &Pool<usize>, count: usize) -> Vec<Done<usize>> {
    let all = std::cell::RefCell::new(Vec::new());
    eventually("all jobs are done", || {
        all.borrow_mut().extend(pool.finished());
        all.borrow().len() >= count
    });
    all.into_inner()
}

#[test]
fn requests_come_back_with_their_tags() {
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
    for done in collect(&pool, 200) {
        let Reply::Answer(answer) = done.reply else {
            panic!("{:?}", done.reply);
        };
        assert_eq!(answer.body, format!("/v1/{}", done.tag).into_bytes());
        assert!(done.started_at <= Utc::now());
        tags.insert(done.tag);
    }
    assert_eq!((tags.len(), pool.in_flight()), (200, 0));
}

#[test]
fn every_signal_is_blocked_on_sender_threads() {
    let (sent, status) = mpsc::channel();
    let pool = pool(1);
    let work = move || {
        sent.send(std::fs::read_to_string("/proc/thread-self/status").unwrap()).unwrap();
        reply("")
    };
    let before = blocked(&std::fs::read_to_string("/proc/thread-self/status").unwrap());
    pool.submit_work(0, None, Box::new(work));
    let status = status.recv().unwrap();
    assert!(status.starts_with("Name:\tguestly sender\n"));
    // KILL and STOP cannot be blocked; 32 and 33 belong to the C library.
    let always: u64 = (1 << (9 - 1)) | (1 << (19 - 1)) | (0b11 << (32 - 1));
    assert_eq!(blocked(&status) | always, u64::MAX, "{status}");
    // The creator's own mask is as before.
    let after = blocked(&std::fs::read_to_string("/proc/thread-self/status").unwrap());
    assert_eq!(after, before);
}

fn blocked(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
}

#[test]
fn threads_that_ureq_starts_are_blocked_too() {
    // A name is resolved on a thread of ureq's own.
    let pool = pool(1);
    pool.submit(impatient("https://guestly.invalid"), 0, get("/"));
    let mut worst = u64::MAX;
    while pool.finished().is_empty() {
        for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            if status.starts_with("Name:\tguestly sender\n") {
                worst &= blocked(&status);
            }
        }
    }
    assert_eq!(worst | (1 << 8) | (1 << 18) | (0b11 << 31), u64::MAX);
}

#[test]
fn a_panic_is_a_reply_and_the_thread_goes_on() {
    let pool = pool(1);
    pool.submit_work(1, None, Box::new(|| panic!("canary")));
    pool.submit_work(2, None, Box::new(|| reply("fine")));
    let done = collect(&pool, 2);
    assert_eq!(done[0].reply, reply("internal: a sender thread panicked"));
    assert_eq!((done[1].tag, &done[1].reply), (2, &reply("fine")));
}

#[test]
fn a_dead_thread_is_replaced() {
    let first = AtomicBool::new(true);
    let wake = move || assert!(!first.swap(false, Ordering::SeqCst), "kills the thread");
    let pool = Pool::new(1, wake).unwrap();
    pool.submit_work(1, None, Box::new(|| reply("one")));
    assert_eq!(collect(&pool, 1)[0].reply, reply("one"));
    pool.submit_work(2, None, Box::new(|| reply("two")));
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
            pool.submit_work(tag, None, Box::new(|| reply("")));
        }
        eventually("the round is done", || pool.crew.lock().finished.len() == 50);
        eventually("it was said", || wakes.load(Ordering::SeqCst) == round);
        assert_eq!(pool.finished().len(), 50);
        assert!(pool.finished().is_empty());
    }
    assert_eq!(wakes.load(Ordering::SeqCst), 3);
}

#[test]
fn in_flight_counts_until_taken() {
    let pool = pool(1);
    let first = hold(&pool, 1);
    let _second = hold(&pool, 2);
    drop(first);
    eventually("one is done", || pool.crew.lock().finished.len() == 1);
    assert_eq!(pool.in_flight(), 2);
    assert_eq!(pool.finished().len(), 1);
    assert_eq!(pool.in_flight(), 1);
}

#[test]
fn resizing() {
    let mut pool = pool(1);
    let held: Vec<_> = (0..4).map(|tag| hold(&pool, tag)).collect();
    eventually("one runs", || pool.crew.lock().running.len() == 1);
    pool.resize(3);
    eventually("three run", || pool.crew.lock().running.len() == 3);
    pool.resize(0);
    drop(held);
    assert_eq!(collect(&pool, 4).len(), 4);
    eventually("one thread stays", || pool.crew.lock().alive == 1);
    pool.submit_work(9, None, Box::new(|| reply("still there")));
    assert_eq!(collect(&pool, 1)[0].tag, 9);
}

#[test]
fn shutdown_with_a_hanging_server() {
    let server = Server::start(|connection| {
        connection.request();
        connection.hang();
    });
    let pool = pool(2);
    let patient = Client::new(crate::net::client::Endpoint {
        base_url: format!("http://{}", server.address),
        token_url: format!("http://{}", server.address),
        connect_timeout: Duration::from_secs(60),
        request_timeout: Duration::from_secs(60),
    })
    .unwrap();
    for tag in 0..5 {
        pool.submit(patient.clone(), tag, post());
    }
    eventually("two are on their way", || server.seen().len() == 2);
    let since = Instant::now();
    // A quarter of the time is for what is cut to come in.
    let mut all = pool.shutdown(Duration::from_secs(6));
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    all.sort_by_key(|done| done.tag);
    assert_eq!(all.iter().map(|done| done.tag).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    for done in &all[..2] {
        // Cut by the client, not given up by the pool.
        assert!(matches!(&done.reply, Reply::Lost { reason } if reason.contains("Guestly")), "{done:?}");
    }
    for done in &all[2..] {
        let reason = "stopped before sending".to_owned();
        assert_eq!(done.reply, Reply::NotSent { reason });
    }
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn shutdown_gives_up_what_cannot_be_cut_and_takes_what_ends() {
    let pool = pool(2);
    let stuck = hold(&pool, 1);
    let ends = hold(&pool, 2);
    eventually("both run", || pool.crew.lock().running.len() == 2);
    drop(ends);
    eventually("one has ended", || pool.crew.lock().finished.len() == 1);
    let since = Instant::now();
    let mut all = pool.shutdown(Duration::from_millis(200));
    assert!(since.elapsed() < AT_ONCE);
    all.sort_by_key(|done| done.tag);
    assert_eq!(all[0].reply, reply("interrupted"));
    assert_eq!(all[1].reply, reply("released"));
    assert_eq!(all.len(), 2);
    drop(stuck);
}

#[test]
fn what_is_about_to_come_in_is_gathered_but_not_waited_for_long() {
    let pool = pool(2);
    let slow = hold(&pool, 1);
    // Nothing came in: there is nothing to gather for.
    pool.gather(Duration::from_secs(600));
    let quick = hold(&pool, 2);
    eventually("both run", || pool.crew.lock().running.len() == 2);
    drop(quick);
    eventually("one has ended", || pool.crew.lock().finished.len() == 1);
    pool.gather(Duration::from_millis(5));
    assert_eq!(pool.crew.lock().running.len(), 1);
    drop(slow);
    pool.gather(Duration::from_secs(600));
    assert_eq!(pool.finished().len(), 2);
}

#[test]
fn a_reply_is_waited_for_while_there_may_be_one() {
    let pool = pool(2);
    let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(600));
    // Nothing is under way: none will come.
    pool.wait_for_reply(later);
    let (slow, quick) = (hold(&pool, 1), hold(&pool, 2));
    eventually("both run", || pool.crew.lock().running.len() == 2);
    pool.wait_for_reply(now);
    assert!(pool.crew.lock().finished.is_empty(), "the moment had come");
    drop(quick);
    pool.wait_for_reply(later);
    assert_eq!(pool.finished().len(), 1, "one is enough");
    drop(slow);
    pool.wait_for_reply(later);
    assert_eq!(pool.finished().len(), 1);
    // Not taken by a thread yet, and its reply may come all the same.
    let waiting = hold(&pool, 3);
    drop(waiting);
    pool.wait_for_reply(later);
    assert_eq!(pool.finished().len(), 1);
}

#[test]
fn an_idle_pool_stops_at_once() {
    let pool = pool(3);
    let crew = Arc::clone(&pool.crew);
    let since = Instant::now();
    assert!(pool.shutdown(Duration::from_secs(30)).is_empty());
    assert!(since.elapsed() < AT_ONCE);
    eventually("the threads are gone", || crew.lock().alive == 0);
}

#[test]
fn a_dropped_pool_leaves_no_thread() {
    let pool = pool(3);
    let held = hold(&pool, 1);
    let crew = Arc::clone(&pool.crew);
    drop(pool);
    drop(held);
    eventually("the threads are gone", || crew.lock().alive == 0);
}

#[test]
fn an_errand_has_a_thread_of_its_own_for_as_long_as_it_takes() {
    let pool = pool(1);
    let (release, held) = mpsc::channel::<()>();
    let errands = std::sync::Arc::new(AtomicUsize::new(0));
    let ended = std::sync::Arc::clone(&errands);
    pool.run(move || {
        let _ = held.recv();
        ended.fetch_add(1, Ordering::SeqCst);
    });
    eventually("the errand runs", || pool.crew.lock().errand_runs);
    let first = hold(&pool, 1);
    let second = hold(&pool, 2);
    eventually("a job runs beside it", || pool.crew.lock().running.len() == 1);
    let ended = std::sync::Arc::clone(&errands);
    pool.run(move || {
        ended.fetch_add(1, Ordering::SeqCst);
    });
    drop(second);
    assert_eq!(pool.crew.lock().running.len(), 1, "no more jobs at once than before");
    drop(first);
    assert_eq!(collect(&pool, 2).len(), 2);
    assert_eq!(errands.load(Ordering::SeqCst), 0, "one errand at a time");
    drop(release);
    eventually("both errands", || errands.load(Ordering::SeqCst) == 2);
    eventually("the thread is gone", || pool.crew.lock().alive == 1);
    pool.submit_work(3, None, Box::new(|| reply("still there")));
    assert_eq!(collect(&pool, 1)[0].tag, 3);
}
