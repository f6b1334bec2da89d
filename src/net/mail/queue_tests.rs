//! Mails on the sender threads: each outcome is returned once, and no mail delays a request. Run by cargo test.

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
fn every_mail_is_returned_with_its_tag() {
    let server = FakeSmtp::start(|_| None);
    let wakes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&wakes);
    let pool: Pool<()> = Pool::new(1, move || {
        count.fetch_add(1, Ordering::SeqCst);
    })
    .unwrap();
    let queue = MailQueue::default();
    for tag in 0..3 {
        queue.send(&pool, tag, to(&server), mail(), format!("key-{tag}"));
    }
    assert_eq!(pool.in_flight(), 0, "mails are not requests");
    eventually("three mails", || wakes.load(Ordering::SeqCst) == 3);
    let finished = queue.take_finished();
    assert_eq!(finished.iter().map(|mail| mail.tag).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(finished.iter().all(|mail| matches!(mail.outcome, MailOutcome::Accepted { .. })), "{finished:?}");
    assert!(pool.take_finished().is_empty() && queue.take_finished().is_empty());
}

#[test]
fn slow_mail_does_not_delay_a_request() {
    let mails = FakeSmtp::start(|line| (line == "connect").then_some(Say::Nothing));
    let api = Server::answering(ok("{}"));
    let pool: Pool<u8> = Pool::new(1, || ()).unwrap();
    let queue = MailQueue::default();
    for tag in 0..2 {
        queue.send(&pool, tag, to(&mails), mail(), "key".to_owned());
    }
    pool.submit(api.client(), 7, get("/reservations-v3"));
    let mut replies = Vec::new();
    eventually("the reply", || {
        replies.extend(pool.take_finished());
        !replies.is_empty()
    });
    assert!(matches!(replies[0].reply, Reply::Answer(_)), "{replies:?}");
    assert!(queue.take_finished().is_empty(), "the mail server has not answered yet");
}

/// One mail was being sent and another was queued when the pool was shut down; the outcomes in this order.
fn shut_down_with_two_mails() -> (FakeSmtp, Vec<MailOutcome>) {
    let server = FakeSmtp::start(|line| {
        if line == "DATA" {
            std::thread::sleep(Duration::from_millis(200));
        }
        None
    });
    let pool: Pool<()> = Pool::new(1, || ()).unwrap();
    let queue = MailQueue::default();
    queue.send(&pool, 1, to(&server), mail(), "a".to_owned());
    eventually("the first mail is being sent", || server.commands().iter().any(|line| line == "DATA"));
    queue.send(&pool, 2, to(&server), mail(), "b".to_owned());
    assert!(pool.shutdown(Duration::from_secs(30)).is_empty());
    let mut finished = queue.take_finished();
    finished.sort_by_key(|mail| mail.tag);
    (server, finished.into_iter().map(|mail| mail.outcome).collect())
}

#[test]
fn shutdown_waits_for_the_mail_being_sent() {
    let (_, outcomes) = shut_down_with_two_mails();
    assert!(matches!(outcomes[0], MailOutcome::Accepted { .. }), "{outcomes:?}");
}

#[test]
fn shutdown_returns_queued_mails_unsent() {
    let (server, outcomes) = shut_down_with_two_mails();
    assert_eq!(outcomes[1..], [not_started()]);
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn panic_while_sending_is_reported() {
    let (sender, receiver) = channel();
    let pool: Pool<()> = Pool::new(1, || ()).unwrap();
    let report = Report { tag: Some(1), sender, outcome: not_started() };
    pool.run_task(move || {
        let _report = report;
        panic!("as in a library");
    });
    let finished: FinishedMail<i32> = receiver.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(finished.tag, 1);
}

#[test]
fn thread_survives_a_panic_in_a_task() {
    let pool: Pool<()> = Pool::new(1, || ()).unwrap();
    pool.run_task(|| panic!("as in a library"));
    let (sender, receiver) = channel();
    pool.run_task(move || sender.send(()).unwrap());
    assert_eq!(receiver.recv_timeout(Duration::from_secs(30)), Ok(()));
}
