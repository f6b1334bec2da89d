//! The listener, and one thread for each connection. Owns the shared state; the API itself is in state.rs.

use crate::admin;
use crate::answer::{Answer, Delivery, deliver};
use crate::arrival::Delay;
use crate::call::{Call, Ending};
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

/// The interval at which a held call checks for its release, in ms.
const POLL_MS: u64 = 5;

/// The last part of a delay is slept: a socket's timeout may come two kernel ticks late (8 ms at 250 Hz), a sleep is exact.
const SLEPT_TAIL: Duration = Duration::from_millis(10);

/// State that all threads share.
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

    /// Closes every open connection, and returns their number.
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
            // Out of file descriptors: the other threads need time to close some.
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
    // A reset is sent only when no handle is left, so the registered one is dropped before the stream.
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
            Ok(request) => handle_call(&mut connection, request, shared),
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

/// Handles one API call. Without delays it takes the state lock once.
fn handle_call(connection: &mut Connection, request: Request, shared: &Shared) -> bool {
    let (in_flight, count) = InFlight::enter(&shared.in_flight);
    let started = Instant::now();
    let keep_alive = request.keep_alive;
    let mut call = Call::new(request);
    call.in_flight = count;

    let mut state = shared.lock();
    let arrival = state.arrive(&mut call);
    if !arrival.before.is_none() {
        drop(state);
        if let Some(left) = delay_call(connection, arrival.before, shared) {
            drop(in_flight);
            shared.lock().finish(&call, Ending::ClientGone, &Answer::default());
            finish_delay(left, shared);
            let mut state = shared.lock();
            let outcome = state.execute(&mut call, &arrival);
            state.committed_without_client(&call, &outcome.answer);
            return false;
        }
        state = shared.lock();
    }
    let outcome = state.execute(&mut call, &arrival);
    if !arrival.after.is_none() {
        drop(state);
        if delay_call(connection, arrival.after, shared).is_some() {
            drop(in_flight);
            shared.lock().finish(&call, Ending::ClientGone, &outcome.answer);
            return false;
        }
        state = shared.lock();
    }
    state.finish(&call, outcome.ending(), &outcome.answer);
    drop(state);
    drop(in_flight);
    let slow = started.elapsed() > Duration::from_millis(200);
    send(connection, &call, &outcome, keep_alive, slow, shared)
}

fn send(c: &mut Connection, call: &Call, outcome: &Outcome, keep: bool, slow: bool, shared: &Shared) -> bool {
    let date = shared.clock.now(0).wall;
    // A write to a closed socket often succeeds, so the connection of a slow call is checked first.
    let gone = slow && outcome.ending() == Ending::Answered && wait(c, 1, shared).is_some();
    let sent = deliver(&mut c.stream, &outcome.answer, outcome.delivery, keep, date);
    if gone || (sent.is_err() && outcome.ending() == Ending::Answered) {
        shared.lock().client_gone(call);
    }
    sent.unwrap_or(false) && !gone
}

/// Delays a call; `Some(rest)` if the client disconnected meanwhile.
fn delay_call(connection: &Connection, delay: Delay, shared: &Shared) -> Option<Delay> {
    if let Some(left) = wait(connection, delay.ms, shared) {
        return Some(Delay { ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX), ..delay });
    }
    while is_held(delay, shared) {
        if wait(connection, POLL_MS, shared).is_some() {
            return Some(Delay { ms: 0, ..delay });
        }
    }
    None
}

/// Waits for the rest of a delay, after the client has disconnected.
fn finish_delay(delay: Delay, shared: &Shared) {
    pause(Duration::from_millis(delay.ms), shared);
    while is_held(delay, shared) {
        pause(Duration::from_millis(POLL_MS), shared);
    }
}

fn is_held(delay: Delay, shared: &Shared) -> bool {
    delay.until_release.is_some_and(|releases| !shared.stopped() && shared.lock().releases == releases)
}

/// Waits; `Some(rest)` if the client disconnected meanwhile.
fn wait(connection: &Connection, ms: u64, shared: &Shared) -> Option<Duration> {
    let end = Instant::now() + Duration::from_millis(ms);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        if left <= SLEPT_TAIL {
            pause(left, shared);
            return is_gone(connection).then_some(Duration::ZERO);
        }
        let _ = connection.stream.set_read_timeout(Some(left - SLEPT_TAIL));
        let peeked = if connection.has_more() { Ok(1) } else { connection.stream.peek(&mut [0_u8; 1]) };
        if means_gone(&peeked) {
            return Some(end.saturating_duration_since(Instant::now()));
        }
        if peeked.is_ok() {
            pause(left, shared);
        }
    }
}

/// True if the client has closed or reset its connection.
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

/// Sleeps, but not longer than the simulator runs.
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
