//! A hermetic HTTP server that plays the Guesty Open API on the loopback interface and checks its client.
//!
//! Used by the scenario tests and the benchmark, and as a program of its own. It shares no type with the client: a shared
//! struct would hide a wrong field name. State lives in memory. Every call is a row of the call log, and the invariants
//! are decided by what the server saw.
//!
//! # Admin calls
//!
//! All under `/__sim`, with JSON bodies; never limited, counted or checked. A bad body is answered with 400 `{"error": "…"}`.
//!
//! | call | body (example) | what it does |
//! |---|---|---|
//! | `POST /__sim/reset` | `{"profile":"observed","seed":7,"lag_scale":0.02}` | discards all state; knobs are the profile's, overridden by the body's |
//! | `POST /__sim/knobs` | `{"conflict_status":409,"per_second":5}` | changes any subset of [`Knobs`]; `GET` shows them |
//! | `POST /__sim/faults` | a rule or an array of rules, see below | adds rules; `GET` shows them with `seen` and `fired` |
//! | `DELETE /__sim/faults` | | removes all rules |
//! | `POST /__sim/release` | | releases all held calls and removes the `hold` rules |
//! | `POST /__sim/listings` | `{"id":"64b1f0aa11bb22cc33dd4499","units":1,"min_nights":3,"tax":0.13}` | adds or replaces one or an array |
//! | `POST /__sim/foreign-reservation` | `{"listingId":"…","checkInDateLocalized":"2027-05-10","checkOutDateLocalized":"2027-05-14"}` | adds a booking that the client did not make |
//! | `POST /__sim/reservations/{id or code}` | `{"status":"canceled"}` | edits a reservation as in the UI; also dates, listing, guests, notes |
//! | `POST /__sim/tokens/revoke` | | revokes all tokens |
//! | `POST /__sim/clock/advance` | `{"seconds":86400}` | advances token expiry, 24 h windows and rate buckets, but not the lags |
//! | `POST /__sim/connections/close` | | closes all open connections |
//! | `GET /__sim/calls?since=&operation=&code=&limit=` | | `{"rows":[…],"kept":n,"dropped":n}` |
//! | `GET /__sim/state?code=` | | all reservations, with the create's body as received |
//! | `GET /__sim/violations` | | `{"violations":[{"id":"I8","severity":"fatal",…}],"counts":{"I8":{"warn":0,"fatal":1}}}` |
//! | `GET /__sim/metrics?brief=1` | | counters; `brief` omits the maps per code |
//! | `GET /__sim/health` | | 200 |
//!
//! # Fault rules
//!
//! `{"match":{…},"effect":{"kind":"…",…}}`; rules are tried in order, and every rule that matches takes effect.
//!
//! `match`: `method`, `path` (substring of path or query), `operation` (`token`, `create`, `search`, `get`, `update`,
//! `payment`, `listing`), `body_contains`, `nth` (from 1), `every`, `prob`, `count` (at most), `after_ms`, `for_ms`
//! (real time since the rule was added: an outage that begins and ends).
//!
//! | effect | |
//! |---|---|
//! | `{"kind":"latency","ms":50,"max_ms":200,"when":"before"}` | uniform distribution; `when`: `before` or `after` the commit |
//! | `{"kind":"hang","ms":30000,"when":"after"}` | the same, longer than the client waits; the commit happens even if the client disconnects |
//! | `{"kind":"hold","when":"after"}` | the same, until the next `POST /__sim/release`: for tests that must not depend on timing |
//! | `{"kind":"drop_before_accept","how":"rst"}` | not committed; `rst`, `fin` |
//! | `{"kind":"drop_after_accept","how":"half_body"}` | committed; `rst`, `fin`, `half_body`, `wrong_length` (longer than the body), `short_length` |
//! | `{"kind":"late_commit","ms":400,"status":502}` | answers now (without `status`: disconnects by `how`), commits after so many real ms |
//! | `{"kind":"status","code":503,"body":"html","retry_after":"2","committed":true}` | `body`: `json`, `html`, `empty`, `string` or any text |
//! | `{"kind":"rate_limit","retry_after":"3"}` | 429; any text, a number, or `null` for none |
//! | `{"kind":"token_expire_now"}`, `{"kind":"token_revoke"}` | the call's token, or all tokens |
//! | `{"kind":"oauth_down","status":503}` | replaces the answer (match it with `"operation":"token"`) |
//! | `{"kind":"calendar_conflict","status":409}` | another booking takes the nights first |
//! | `{"kind":"garbage","shape":"no_id","status":201}` | garbles a success: `invalid_json`, `no_id`, `underscore_id`, `nul_in_id`, `invalid_utf8`, `huge_20mb`, `html`, `extra_fields`, `null_fields` |
//! | `{"kind":"redirect","to":"http://127.0.0.1:1/trap","code":307}` | following a redirect to a path with `/trap` is a violation |
//! | `{"kind":"slow_body","bytes_per_s":100}` | |
//! | `{"kind":"status_silent_ignore"}` | an update is answered with 200 and changes nothing |
//!
//! # Invariants
//!
//! I1 no duplicates, I3 no overbooking, I4 no ignore flags, I5 tokens, I6 rate limits and Retry-After, I7 calls in flight,
//! I8 no second create without a look-up, I9 no racing writes, I10 payments, I11 no cancellation of others' bookings,
//! I12 tokens and secrets, I13 retries (warning), I14 no legacy endpoints, ROUTE unknown routes, SCHEMA unknown fields
//! (warning). Invariants that need the client's side (I2, I15) are for the tests to compare with `GET /__sim/state`.

mod admin;
mod answer;
mod arrival;
mod call;
mod call_log;
mod clock;
mod config;
mod create;
mod execute;
mod fault_answers;
mod faults;
mod http;
mod invariants;
mod limits;
mod listings;
mod metrics;
mod payments;
mod profiles;
mod reads;
mod reservations;
mod rng;
mod schema;
mod search;
mod server;
mod state;
mod third_parties;
mod tokens;
mod update_fields;
mod updates;
mod validate;

pub use config::{Config, Knobs, Profile};

use clock::Clock;
use server::{Shared, accept_loop};
use state::State;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// A running simulator. Dropping it stops it.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

impl Simulator {
    /// Starts listening on 127.0.0.1. It accepts calls when this returns.
    ///
    /// # Errors
    /// When the port is taken or a thread cannot be started.
    pub fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port))?;
        let address = listener.local_addr()?;
        let clock = Arc::new(Clock::new());
        let shared = Arc::new(Shared::new(State::new(config.knobs, Arc::clone(&clock), 1), clock));
        let for_acceptor = Arc::clone(&shared);
        let acceptor =
            thread::Builder::new().name("sim-accept".into()).spawn(move || accept_loop(&listener, &for_acceptor))?;
        Ok(Self { shared, address, acceptor: Mutex::new(Some(acceptor)) })
    }

    /// `http://127.0.0.1:PORT`, without a trailing slash. The API's base URL is this plus `/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops listening and closes all connections. A second call does nothing.
    pub fn stop(&self) {
        let acceptor = self.acceptor.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(acceptor) = acceptor else { return };
        self.shared.stopping.store(true, Ordering::Release);
        // Wakes the acceptor, so that it reads the flag.
        let _ = TcpStream::connect(self.address);
        self.shared.close_connections();
        let _ = acceptor.join();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}
