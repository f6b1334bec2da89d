//! Shutdown of the pool: every request is returned, within the allowed time. Run by cargo test.

use std::sync::LazyLock;

use super::tests::{hold, pool, reply};
use super::*;
use crate::net::test_server::{AT_ONCE, Server, eventually, post};

/// The number of requests that the server has read, and what `shutdown` returned.
type Ended = (usize, Vec<FinishedRequest<usize>>);

/// Five requests to a server that never answers, in a pool of two threads that was shut down.
static HANGING: LazyLock<Ended> = LazyLock::new(|| {
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
    eventually("two are in flight", || server.seen().len() == 2);
    let since = Instant::now();
    // The last quarter is for the aborted requests to return.
    let mut all = pool.shutdown(Duration::from_secs(6));
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    all.sort_by_key(|finished| finished.tag);
    (server.seen().len(), all)
});

#[test]
fn shutdown_returns_every_request() {
    let (sent, all) = &*HANGING;
    assert_eq!(all.iter().map(|finished| finished.tag).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(*sent, 2);
}

#[test]
fn shutdown_aborts_requests_in_flight() {
    for finished in &HANGING.1[..2] {
        // Aborted by the client, not given up by the pool.
        assert!(matches!(&finished.reply, Reply::Lost { reason } if reason.contains("Guestly")), "{finished:?}");
    }
}

#[test]
fn shutdown_does_not_send_queued_requests() {
    for finished in &HANGING.1[2..] {
        let reason = "stopped before sending".to_owned();
        assert_eq!(finished.reply, Reply::NotSent { reason });
    }
}

#[test]
fn shutdown_gives_up_a_request_that_does_not_end() {
    let pool = pool(1);
    let stuck = hold(&pool, 1);
    eventually("it runs", || pool.threads.lock().running.len() == 1);
    let since = Instant::now();
    let all = pool.shutdown(Duration::from_millis(200));
    assert!(since.elapsed() < AT_ONCE);
    assert_eq!(all.iter().map(|finished| &finished.reply).collect::<Vec<_>>(), [&reply("interrupted")]);
    drop(stuck);
}

#[test]
fn shutdown_returns_replies_that_were_not_taken() {
    let pool = pool(2);
    let stuck = hold(&pool, 1);
    let ending = hold(&pool, 2);
    eventually("both run", || pool.threads.lock().running.len() == 2);
    drop(ending);
    eventually("one has ended", || pool.threads.lock().finished.len() == 1);
    let mut all = pool.shutdown(Duration::from_millis(200));
    all.sort_by_key(|finished| finished.tag);
    assert_eq!((all.len(), &all[1].reply), (2, &reply("released")));
    drop(stuck);
}

#[test]
fn idle_pool_shuts_down_at_once() {
    let pool = pool(3);
    let since = Instant::now();
    assert!(pool.shutdown(Duration::from_secs(30)).is_empty());
    assert!(since.elapsed() < AT_ONCE);
}

#[test]
fn shutdown_ends_every_thread() {
    let pool = pool(3);
    let threads = Arc::clone(&pool.threads);
    pool.shutdown(Duration::from_secs(30));
    eventually("the threads have ended", || threads.lock().alive == 0);
}

#[test]
fn dropping_the_pool_ends_every_thread() {
    let pool = pool(3);
    let held = hold(&pool, 1);
    let threads = Arc::clone(&pool.threads);
    drop(pool);
    drop(held);
    eventually("the threads have ended", || threads.lock().alive == 0);
}
