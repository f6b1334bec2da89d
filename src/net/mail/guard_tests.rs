//! What a mail server may do to a conversation: nothing beyond the byte limit and the deadline.

use std::sync::Weak;

use lettre::transport::smtp::client::SmtpConnection;
use lettre::transport::smtp::extension::ClientId;

use super::super::fake_smtp::{FakeSmtp, Say};
use super::super::smtp_tests::{impatient, mail, send, settings};
use super::super::{MailOutcome, MailSettings};
use super::*;
use crate::domain::redact::Secret;
use crate::net::test_server::{AT_ONCE, eventually};

const NO_PAUSE: Duration = Duration::ZERO;

fn to(server: &FakeSmtp) -> MailSettings {
    MailSettings { smtp_url: Secret::new(server.url("")), ..settings() }
}

fn answering(step: &'static str, bytes: &'static str, pause: Duration) -> FakeSmtp {
    FakeSmtp::start(move |line| line.starts_with(step).then_some(Say::Again(bytes, pause)))
}

/// Whether the mail may have been taken, and why the conversation ended.
fn broken(outcome: MailOutcome) -> (bool, String) {
    match outcome {
        MailOutcome::Unreachable { maybe_sent, why } => (maybe_sent, why),
        other => panic!("not broken: {other:?}"),
    }
}

fn guard(server: &FakeSmtp, timeout: Duration) -> Guard {
    let address = server.address;
    Guard::open(&address.ip().to_string(), address.port(), timeout, &Hangup::default()).unwrap()
}

fn connect_from(guard: &Guard, ip: Option<IpAddr>) -> Result<SmtpConnection, lettre::transport::smtp::Error> {
    let name = ClientId::Domain("example.org".to_owned());
    SmtpConnection::connect(guard.address, Some(AT_ONCE), &name, None, ip)
}

#[test]
fn an_endless_answer_is_cut_at_the_byte_limit() {
    let line = |code: &str, end: &str| -> &'static str { format!("{code}{}{end}", "a".repeat(900)).leak() };
    for (step, bytes, maybe) in [
        ("connect", line("220 ", ""), false),
        ("connect", line("220-", "\r\n"), false),
        ("EHLO", line("250-", "\r\n"), false),
        ("DATA", line("354-", "\r\n"), false),
        (".", line("250 ", ""), true),
    ] {
        let server = answering(step, bytes, NO_PAUSE);
        let (maybe_sent, why) = broken(send(&to(&server), &mail(), "k"));
        assert_eq!((maybe_sent, why.as_str()), (maybe, "the mail server said more than 64 kB"), "{step} {bytes}");
    }
}

#[test]
fn a_dripping_server_is_given_up_at_the_deadline() {
    for (step, bytes, maybe) in
        [("connect", "220-a\r\n", false), ("connect", "2", false), ("RCPT", "250-a\r\n", false), (".", "2", true)]
    {
        let server = answering(step, bytes, Duration::from_millis(50));
        let began = Instant::now();
        let (maybe_sent, why) = broken(send(&impatient(to(&server)), &mail(), "k"));
        assert_eq!((maybe_sent, why.as_str()), (maybe, TOO_LONG), "{step} {bytes}");
        assert!(began.elapsed() < AT_ONCE, "{step}: {:?}", began.elapsed());
    }
}

#[test]
fn a_server_that_says_nothing_over_tls_is_given_up_too() {
    // It neither accepts nor closes.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let starttls = FakeSmtp::start(|line| match line {
        "STARTTLS" => Some(Say::Again("220 Go\r\n", AT_ONCE * 360)),
        line if line.starts_with("EHLO") => Some(Say::Line("250-mail.example.org\r\n250 STARTTLS")),
        _ => None,
    });
    for url in [format!("smtps://{}", mute.local_addr().unwrap()), starttls.url("")] {
        let settings = MailSettings { smtp_url: Secret::new(url.clone()), ..settings() };
        let outcome = send(&impatient(settings), &mail(), "k");
        assert_eq!(broken(outcome), (false, TOO_LONG.to_owned()), "{url}");
    }
    assert!(starttls.told().iter().any(|line| line == "STARTTLS"));
}

#[test]
fn hanging_up_ends_a_conversation_that_hangs() {
    for (step, maybe) in [("connect", false), ("DATA", false), (".", true)] {
        let (asked, seen) = (Arc::new(Mutex::new(false)), Arc::new(Mutex::new(false)));
        let own = Arc::clone(&asked);
        let server = FakeSmtp::start(move |line| {
            line.starts_with(step).then(|| {
                *own.lock().unwrap() = true;
                Say::Nothing
            })
        });
        let (settings, hangup) = (to(&server), Hangup::default());
        let (line, done) = (hangup.clone(), Arc::clone(&seen));
        let mail = thread::spawn(move || {
            let outcome = super::super::send(&settings, &mail(), "k", &line);
            *done.lock().unwrap() = true;
            outcome
        });
        eventually("the step", || *asked.lock().unwrap());
        assert!(!*seen.lock().unwrap(), "{step}: it did not hang");
        hangup.hang_up();
        assert_eq!(broken(mail.join().unwrap()), (maybe, ABANDONED.to_owned()), "{step}");
    }
    let hangup = Hangup::default();
    hangup.hang_up();
    let server = FakeSmtp::start(|_| None);
    let outcome = super::super::send(&to(&server), &mail(), "k", &hangup);
    assert_eq!((broken(outcome), server.told().len()), ((false, ABANDONED.to_owned()), 0));
}

#[test]
fn a_stranger_does_not_get_the_connection() {
    let server = FakeSmtp::start(|_| None);
    let guard = guard(&server, AT_ONCE);
    let mut stranger = TcpStream::connect(guard.address).unwrap();
    assert_ne!(stranger.local_addr().unwrap().ip(), guard.address.ip(), "a random address");
    let said = stranger.read(&mut [0; 100]);
    assert!(matches!(said, Ok(0) | Err(_)), "{said:?}");
    connect_from(&guard, Some(guard.address.ip())).unwrap();
}

#[test]
fn no_thread_outlives_the_deadline_or_the_guard() {
    let server = FakeSmtp::start(|line| (line == "connect").then_some(Say::Nothing));
    let short = guard(&server, Duration::from_millis(300));
    let threads = short.watch();
    assert!(connect_from(&short, Some(short.address.ip())).is_err());
    eventually("the deadline", || Weak::strong_count(&threads) == 1);
    assert_eq!(short.why().as_deref(), Some(TOO_LONG));
    let unused = guard(&server, AT_ONCE * 10);
    let threads = unused.watch();
    drop(unused);
    eventually("the end", || Weak::strong_count(&threads) == 0);
}

#[test]
fn a_server_that_stops_reading_is_given_up_at_the_deadline() {
    let ((mut source, from), (to, deaf)) = (pair(), pair());
    let writer = thread::spawn(move || while source.write_all(&[b'a'; 8192]).is_ok() {});
    let until = Instant::now() + Duration::from_millis(500);
    assert_eq!(pump(&from, &to, usize::MAX, until), Err(TOO_LONG.to_owned()));
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
fn every_signal_is_blocked_on_the_guard_s_threads() {
    let server = FakeSmtp::start(|line| (line == "connect").then_some(Say::Nothing));
    let guard = guard(&server, AT_ONCE * 6);
    let (address, ip) = (guard.address, guard.address.ip());
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
    drop(guard);
    assert!(client.join().unwrap().is_err());
}

/// The signals that each thread of this name has blocked.
fn masks_of(name: &str) -> Vec<u64> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let status = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    let ours = status.filter(|status| status.starts_with(&format!("Name:\t{name}\n")));
    let mask = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?.trim().to_owned();
        u64::from_str_radix(&line, 16).ok()
    };
    ours.filter_map(mask).collect()
}
