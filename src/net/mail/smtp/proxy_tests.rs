//! A misbehaving mail server cannot exceed the byte limit or the deadline. Run by cargo test.

use std::sync::Weak;

use lettre::transport::smtp::client::SmtpConnection;
use lettre::transport::smtp::extension::ClientId;

use super::*;
use crate::domain::redact::Secret;
use crate::net::mail::fake_smtp::{FakeSmtp, Say};
use crate::net::mail::send::send as send_cancellable;
use crate::net::mail::smtp_tests::{impatient, mail, send, settings};
use crate::net::mail::{MailOutcome, MailSettings};
use crate::net::test_server::{AT_ONCE, eventually};

const NO_PAUSE: Duration = Duration::ZERO;

fn to(server: &FakeSmtp) -> MailSettings {
    MailSettings { smtp_url: Secret::new(server.url("")), ..settings() }
}

fn answering(step: &'static str, bytes: &'static str, pause: Duration) -> FakeSmtp {
    FakeSmtp::start(move |line| line.starts_with(step).then_some(Say::Repeat(bytes, pause)))
}

/// The fields of an unreachable outcome.
fn unreachable(outcome: MailOutcome) -> (bool, String) {
    match outcome {
        MailOutcome::Unreachable { maybe_sent, why } => (maybe_sent, why),
        other => panic!("not unreachable: {other:?}"),
    }
}

fn proxy(server: &FakeSmtp, timeout: Duration) -> SmtpProxy {
    let address = server.address;
    SmtpProxy::open(&address.ip().to_string(), address.port(), timeout, &CancelHandle::default()).unwrap()
}

fn connect_from(proxy: &SmtpProxy, ip: Option<IpAddr>) -> Result<SmtpConnection, lettre::transport::smtp::Error> {
    let name = ClientId::Domain("example.org".to_owned());
    SmtpConnection::connect(proxy.address, Some(AT_ONCE), &name, None, ip)
}

#[test]
fn endless_answer_ends_at_the_byte_limit() {
    let line = |code: &str, end: &str| -> &'static str { format!("{code}{}{end}", "a".repeat(900)).leak() };
    for (step, bytes, maybe) in [
        ("connect", line("220 ", ""), false),
        ("connect", line("220-", "\r\n"), false),
        ("EHLO", line("250-", "\r\n"), false),
        ("DATA", line("354-", "\r\n"), false),
        (".", line("250 ", ""), true),
    ] {
        let server = answering(step, bytes, NO_PAUSE);
        let (maybe_sent, why) = unreachable(send(&to(&server), &mail(), "k"));
        assert_eq!((maybe_sent, why.as_str()), (maybe, "the mail server sent more than 64 kB"), "{step} {bytes}");
    }
}

#[test]
fn dripping_server_is_given_up_at_the_deadline() {
    for (step, bytes, maybe) in
        [("connect", "220-a\r\n", false), ("connect", "2", false), ("RCPT", "250-a\r\n", false), (".", "2", true)]
    {
        let server = answering(step, bytes, Duration::from_millis(50));
        let began = Instant::now();
        let (maybe_sent, why) = unreachable(send(&impatient(to(&server)), &mail(), "k"));
        assert_eq!((maybe_sent, why.as_str()), (maybe, TIMED_OUT), "{step} {bytes}");
        assert!(began.elapsed() < AT_ONCE, "{step}: {:?}", began.elapsed());
    }
}

#[test]
fn silent_tls_server_is_given_up_at_the_deadline() {
    // It neither accepts nor closes a connection.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let starttls = FakeSmtp::start(|line| match line {
        "STARTTLS" => Some(Say::Repeat("220 Go\r\n", AT_ONCE * 360)),
        line if line.starts_with("EHLO") => Some(Say::Line("250-mail.example.org\r\n250 STARTTLS")),
        _ => None,
    });
    for url in [format!("smtps://{}", mute.local_addr().unwrap()), starttls.url("")] {
        let settings = MailSettings { smtp_url: Secret::new(url.clone()), ..settings() };
        let outcome = send(&impatient(settings), &mail(), "k");
        assert_eq!(unreachable(outcome), (false, TIMED_OUT.to_owned()), "{url}");
    }
    assert!(starttls.commands().iter().any(|line| line == "STARTTLS"));
}

#[test]
fn cancelling_ends_a_hanging_session() {
    for (step, maybe) in [("connect", false), ("DATA", false), (".", true)] {
        let (asked, ended) = (Arc::new(Mutex::new(false)), Arc::new(Mutex::new(false)));
        let asked_in_script = Arc::clone(&asked);
        let server = FakeSmtp::start(move |line| {
            line.starts_with(step).then(|| {
                *asked_in_script.lock().unwrap() = true;
                Say::Nothing
            })
        });
        let (settings, cancel) = (to(&server), CancelHandle::default());
        let (cancel_of_mail, ended_in_thread) = (cancel.clone(), Arc::clone(&ended));
        let sending = thread::spawn(move || {
            let outcome = send_cancellable(&settings, &mail(), "k", &cancel_of_mail);
            *ended_in_thread.lock().unwrap() = true;
            outcome
        });
        eventually("the step", || *asked.lock().unwrap());
        assert!(!*ended.lock().unwrap(), "{step}: it did not hang");
        cancel.cancel();
        assert_eq!(unreachable(sending.join().unwrap()), (maybe, CANCELLED.to_owned()), "{step}");
    }
}

#[test]
fn cancelled_mail_is_not_sent() {
    let cancel = CancelHandle::default();
    cancel.cancel();
    let server = FakeSmtp::start(|_| None);
    let outcome = send_cancellable(&to(&server), &mail(), "k", &cancel);
    assert_eq!((unreachable(outcome), server.commands().len()), ((false, CANCELLED.to_owned()), 0));
}

#[test]
fn connection_of_another_process_is_closed() {
    let server = FakeSmtp::start(|_| None);
    let proxy = proxy(&server, AT_ONCE);
    let mut stranger = TcpStream::connect(proxy.address).unwrap();
    assert_ne!(stranger.local_addr().unwrap().ip(), proxy.address.ip(), "a random address");
    let read = stranger.read(&mut [0; 100]);
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    connect_from(&proxy, Some(proxy.address.ip())).unwrap();
}

#[test]
fn threads_end_at_the_deadline() {
    let server = FakeSmtp::start(|line| (line == "connect").then_some(Say::Nothing));
    let proxy = proxy(&server, Duration::from_millis(300));
    let threads = proxy.weak_link();
    assert!(connect_from(&proxy, Some(proxy.address.ip())).is_err());
    eventually("the deadline", || Weak::strong_count(&threads) == 1);
    assert_eq!(proxy.close_reason().as_deref(), Some(TIMED_OUT));
}

#[test]
fn threads_end_when_the_proxy_is_dropped() {
    let server = FakeSmtp::start(|line| (line == "connect").then_some(Say::Nothing));
    let proxy = proxy(&server, AT_ONCE * 10);
    let threads = proxy.weak_link();
    drop(proxy);
    eventually("the end", || Weak::strong_count(&threads) == 0);
}

#[test]
fn server_that_stops_reading_is_given_up_at_the_deadline() {
    let ((mut source, from), (to, deaf)) = (pair(), pair());
    let writer = thread::spawn(move || while source.write_all(&[b'a'; 8192]).is_ok() {});
    let deadline = Instant::now() + Duration::from_millis(500);
    assert_eq!(copy_bytes(&from, &to, usize::MAX, deadline), Err(TIMED_OUT.to_owned()));
    drop((from, deaf));
    writer.join().unwrap();
}

/// Two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

#[test]
fn all_signals_are_blocked_on_the_threads() {
    let server = FakeSmtp::start(|line| (line == "connect").then_some(Say::Nothing));
    let proxy = proxy(&server, AT_ONCE * 6);
    let (address, ip) = (proxy.address, proxy.address.ip());
    let client = thread::spawn(move || {
        let name = ClientId::Domain("example.org".to_owned());
        SmtpConnection::connect(address, Some(AT_ONCE * 6), &name, None, Some(ip)).map(drop)
    });
    let mut masks = Vec::new();
    eventually("both threads", || {
        masks = masks_of("guestly mail");
        masks.len() >= 2
    });
    // KILL and STOP cannot be blocked; 32 and 33 belong to the C library.
    let always: u64 = (1 << (9 - 1)) | (1 << (19 - 1)) | (0b11 << (32 - 1));
    assert!(masks.iter().all(|mask| mask | always == u64::MAX), "{masks:x?}");
    drop(proxy);
    assert!(client.join().unwrap().is_err());
}

/// The signal masks of the threads with this name.
fn masks_of(name: &str) -> Vec<u64> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let status = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    let matching = status.filter(|status| status.starts_with(&format!("Name:\t{name}\n")));
    let mask = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?.trim().to_owned();
        u64::from_str_radix(&line, 16).ok()
    };
    matching.filter_map(mask).collect()
}
