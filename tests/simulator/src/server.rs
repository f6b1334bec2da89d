//! The listener and one thread per connection. Owns the shared state; the API itself is in state.rs.

use crate::admin;
use crate::answer::{Answer, Delivery, deliver};
use crate::arrive::Stay;
use crate::call::{Call, Fate};
use crate::clock::Clock;
use crate::execute::Outcome;
use crate::http::{Connection, NoRequest, Request};
use crate::state::State;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often a held call looks whether it may go on.
const LOOK_MS: u64 = 5;

/// The end of a wait is slept: a socket's timeout comes up to two of the kernel's ticks late (8 ms at 250 Hz), a sleep does
/// not, and the latency should be what was asked for.
const SLEPT_AT_THE_END: Duration = Duration::from_millis(10);

/// What all threads share.
pub(crate) struct Shared {
    pub clock: Arc<Clock>,
    state: Mutex<State>,
    in_flight: AtomicU32,
    pub stopping: AtomicBool,
    connections: Mutex<HashMap<u64, TcpStream>>,
}

impl Shared {
    pub(crate) fn new(state: State, clock: Arc<Clock>) -> Self {
        Self {
            clock,
            state: Mutex::new(state),
            in_flight: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            connections: Mutex::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts every open connection. Returns how many there were.
    pub(crate) fn close_connections(&self) -> usize {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in connections.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        connections.len()
    }

    fn register(&self, number: u64, stream: Option<TcpStream>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        match stream {
            Some(stream) => connections.insert(number, stream),
            None => connections.remove(&number),
        };
    }

    fn stopped(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// Counts a call as in flight until it is dropped.
struct InFlight<'a>(&'a AtomicU32);

impl<'a> InFlight<'a> {
    fn enter(counter: &'a AtomicU32) -> (Self, u32) {
        let before = counter.fetch_add(1, Ordering::AcqRel);
        (Self(counter), before + 1)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Accepts until the simulator stops.
pub(crate) fn accept_loop(listener: &TcpListener, shared: &Arc<Shared>) {
    for number in 0_u64.. {
        let accepted = listener.accept();
        if shared.stopped() {
            return;
        }
        let Ok((stream, _)) = accepted else {
            // Out of file handles: give the other threads time to close some.
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(shared);
        let builder = thread::Builder::new().name("sim-conn".into()).stack_size(512 * 1024);
        let _ = builder.spawn(move || serve(stream, number, &shared));
    }
}

fn serve(stream: TcpStream, number: u64, shared: &Shared) {
    // A reset goes out only when no handle is left, so the registered one must go before the stream does.
    shared.register(number, stream.try_clone().ok());
    let mut connection = Connection::new(stream);
    loop {
        let idle = shared.lock().knobs.keep_alive_ms;
        let idle = (idle > 0).then(|| Duration::from_millis(idle));
        let keep = match connection.read_request(idle) {
            Err(NoRequest::Closed) => false,
            Err(NoRequest::Bad(status)) => {
                let answer = Answer::nest(status, "the request cannot be read");
                let _ = deliver(&mut connection.stream, &answer, Delivery::Whole, false, 0);
                false
            }
            Ok(request) if request.path.starts_with("/__sim") => admin_call(&mut connection, &request, shared),
            Ok(request) => exchange(&mut connection, request, shared),
        };
        if !keep || shared.stopped() {
            break;
        }
    }
    shared.register(number, None);
}

fn admin_call(connection: &mut Connection, request: &Request, shared: &Shared) -> bool {
    let answer = admin::handle(shared, request);
    let date = shared.clock.now(0).wall;
    deliver(&mut connection.stream, &answer, Delivery::Whole, request.keep_alive, date).unwrap_or(false)
}

/// One API call. Without latencies it takes the state lock once.
fn exchange(connection: &mut Connection, request: Request, shared: &Shared) -> bool {
    let (in_flight, count) = InFlight::enter(&shared.in_flight);
    let started = Instant::now();
    let keep_alive = request.keep_alive;
    let mut call = Call::new(request);
    call.in_flight = count;

    let mut state = shared.lock();
    let plan = state.begin(&mut call);
    if !plan.before.is_none() {
        drop(state);
        if let Some(left) = stay(connection, plan.before, shared) {
            drop(in_flight);
            shared.lock().finish(&call, Fate::Gone, &Answer::default());
            sit_out(left, shared);
            let mut state = shared.lock();
            let outcome = state.execute(&mut call, &plan);
            state.committed_alone(&call, &outcome.answer);
            return false;
        }
        state = shared.lock();
    }
    let outcome = state.execute(&mut call, &plan);
    if !plan.after.is_none() {
        drop(state);
        if stay(connection, plan.after, shared).is_some() {
            drop(in_flight);
            shared.lock().finish(&call, Fate::Gone, &outcome.answer);
            return false;
        }
        state = shared.lock();
    }
    state.finish(&call, outcome.fate(), &outcome.answer);
    drop(state);
    drop(in_flight);
    let slow = started.elapsed() > Duration::from_millis(200);
    send(connection, &call, &outcome, keep_alive, slow, shared)
}

fn send(c: &mut Connection, call: &Call, outcome: &Outcome, keep: bool, slow: bool, shared: &Shared) -> bool {
    let date = shared.clock.now(0).wall;
    // A write into a closed socket often succeeds, so a call that took long is checked first.
    let gone = slow && outcome.fate() == Fate::Answered && wait(c, 1, shared).is_some();
    let sent = deliver(&mut c.stream, &outcome.answer, outcome.delivery, keep, date);
    if gone || (sent.is_err() && outcome.fate() == Fate::Answered) {
        shared.lock().lost(call);
    }
    sent.unwrap_or(false) && !gone
}

/// Keeps a call waiting; `Some(rest)` when the client went away meanwhile.
fn stay(connection: &Connection, stay: Stay, shared: &Shared) -> Option<Stay> {
    if let Some(left) = wait(connection, stay.ms, shared) {
        return Some(Stay { ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX), ..stay });
    }
    while is_held(stay, shared) {
        if wait(connection, LOOK_MS, shared).is_some() {
            return Some(Stay { ms: 0, ..stay });
        }
    }
    None
}

/// The rest of it, without the client.
fn sit_out(stay: Stay, shared: &Shared) {
    pause(Duration::from_millis(stay.ms), shared);
    while is_held(stay, shared) {
        pause(Duration::from_millis(LOOK_MS), shared);
    }
}

fn is_held(stay: Stay, shared: &Shared) -> bool {
    stay.held.is_some_and(|releases| !shared.stopped() && shared.lock().releases == releases)
}

/// Waits; `Some(rest)` when the client went away meanwhile.
fn wait(connection: &Connection, ms: u64, shared: &Shared) -> Option<Duration> {
    let end = Instant::now() + Duration::from_millis(ms);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        if left <= SLEPT_AT_THE_END {
            pause(left, shared);
            return is_gone(connection).then_some(Duration::ZERO);
        }
        let _ = connection.stream.set_read_timeout(Some(left - SLEPT_AT_THE_END));
        let peeked = if connection.has_more() { Ok(1) } else { connection.stream.peek(&mut [0_u8; 1]) };
        if means_gone(&peeked) {
            return Some(end.saturating_duration_since(Instant::now()));
        }
        if peeked.is_ok() {
            pause(left, shared);
        }
    }
}

/// The client has closed or reset its connection.
fn is_gone(connection: &Connection) -> bool {
    let stream = &connection.stream;
    if connection.has_more() || stream.set_nonblocking(true).is_err() {
        return false;
    }
    let peeked = stream.peek(&mut [0_u8; 1]);
    let _ = stream.set_nonblocking(false);
    means_gone(&peeked)
}

fn means_gone(peeked: &std::io::Result<usize>) -> bool {
    match peeked {
        Ok(read) => *read == 0,
        Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted),
    }
}

/// Sleeps, but not beyond the end of the simulator.
fn pause(time: Duration, shared: &Shared) {
    let end = Instant::now() + time;
    while !shared.stopped() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}
