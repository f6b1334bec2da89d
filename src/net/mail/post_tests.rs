//! Mails through the sender threads: each comes back once, and none keeps a request waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::fake_smtp::{FakeSmtp, Say};
use super::super::smtp_tests::{mail, settings};
use super::*;
use crate::domain::outcome::Reply;
use crate::domain::redact::Secret;
use crate::net::test_server::{Server, eventually, get, ok};

fn to(server: &FakeSmtp) -> MailSettings {
    MailSettings { smtp_url: Secret::new(server.url("")), timeout: Duration::from_secs(60), ..settings() }
}

#[test]
fn a_mail_comes_back_with_its_tag_and_wakes_the_worker() {
    let server = FakeSmtp::start(|_| None);
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    let pool: Pool<()> = Pool::new(1, move || {
        count.fetch_add(1, Ordering::SeqCst);
    })
    .unwrap();
    let post = PostOffice::default();
    for tag in 0..3 {
        post.send(&pool, tag, to(&server), mail(), format!("key-{tag}"));
    }
    assert_eq!(pool.in_flight(), 0, "mails are not calls");
    eventually("three mails", || woken.load(Ordering::SeqCst) == 3);
    let delivered = post.delivered();
    assert_eq!(delivered.iter().map(|mail| mail.tag).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(delivered.iter().all(|mail| matches!(mail.outcome, MailOutcome::Accepted { .. })), "{delivered:?}");
    assert!(pool.finished().is_empty() && post.delivered().is_empty());
}

#[test]
fn slow_mail_takes_no_call_s_thread() {
    let mails = FakeSmtp::start(|line| (line == "connect").then_some(Say::Nothing));
    let api = Server::answering(ok("{}"));
    let pool: Pool<u8> = Pool::new(1, || ()).unwrap();
    let post = PostOffice::default();
    for tag in 0..2 {
        post.send(&pool, tag, to(&mails), mail(), "key".to_owned());
    }
    pool.submit(api.client(), 7, get("/reservations-v3"));
    let mut done = Vec::new();
    eventually("the call", || {
        done.extend(pool.finished());
        !done.is_empty()
    });
    assert!(matches!(done[0].reply, Reply::Answer(_)), "{done:?}");
    assert!(post.delivered().is_empty(), "the mail server has not said anything yet");
}

#[test]
fn a_stop_waits_for_a_mail_under_way_and_gives_back_the_others() {
    let server = FakeSmtp::start(|line| {
        if line == "DATA" {
            std::thread::sleep(Duration::from_millis(200));
        }
        None
    });
    let pool: Pool<()> = Pool::new(1, || ()).unwrap();
    let post = PostOffice::default();
    post.send(&pool, "first", to(&server), mail(), "a".to_owned());
    eventually("the first is under way", || server.told().iter().any(|line| line == "DATA"));
    post.send(&pool, "second", to(&server), mail(), "b".to_owned());
    assert!(pool.shutdown(Duration::from_secs(30)).is_empty());
    let mut delivered = post.delivered();
    delivered.sort_by_key(|mail| mail.tag);
    assert!(matches!(delivered[0].outcome, MailOutcome::Accepted { .. }), "{delivered:?}");
    assert_eq!(delivered[1].outcome, unsent());
    assert_eq!((delivered.len(), server.mails().len()), (2, 1));
}

#[test]
fn a_panic_is_an_outcome_too() {
    let (out, back) = channel();
    let pool: Pool<()> = Pool::new(1, || ()).unwrap();
    let slip = Slip { tag: Some(1), out, outcome: unsent() };
    pool.run(move || {
        let _slip = slip;
        panic!("as in a library");
    });
    let delivered: Delivered<i32> = back.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(delivered.tag, 1);
    let (sender, receiver) = channel();
    pool.run(move || sender.send(()).unwrap());
    assert_eq!(receiver.recv_timeout(Duration::from_secs(30)), Ok(()), "the thread goes on");
}
