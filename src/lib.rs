//! guestly_sync: a paid booking appears in Guestly once and soon, even if something fails on the way.
//!
//! A map of the crate. Three folders, whose laws `tests/architecture.rs` checks (`src/README.md` lists them). `src/domain.rs`,
//! `src/net.rs` and `src/pg.rs` each list their files: start there.
//!
//! - [`domain`] **decides**. Pure functions over plain values; the whole behaviour is [`domain::plan`] (what to do next for a
//!   booking), [`domain::transition`] (its next state when a call has ended) and [`domain::send_gate`] (permission to send a call).
//!   Tests run in milliseconds, without a server: `cargo unit`.
//! - `net` **talks**. HTTP on sender threads; never names pgrx.
//! - `pg` **touches Postgres**. Main thread only: `pg/trigger.rs` queues, `pg/launcher.rs` starts one `pg/worker.rs` per
//!   database, which claims, sends through `net`, and records.
//!
//! `sql/` holds the objects of the extension and, one a file, every statement that the worker runs. `src/README.md` has the life of
//! a booking with the function of each step, the pauses in one table, and recipes for changes.
//!
//! # Glossary
//!
//! One word for one thing, in the code, the statements, the log and the documents.
//!
//! | term | meaning |
//! |---|---|
//! | Guestly | the remote service, under the name that the host uses; the second line of README.md has the vendor's name |
//! | source table | the host's table of bookings that is attached; one per database |
//! | baseline | what was paid in the source table before it was attached; never sent unless a person asks for it |
//! | dirty booking | a booking whose change or deletion a trigger recorded, and that the worker has not queued yet |
//! | queue row | a row of `guestly.queue`: one booking that may differ from Guestly, and when it is due |
//! | claim | the worker takes a due queue row: state `sending`, a new fencing token, and the intent ("about to send") committed before a byte leaves |
//! | fencing token | the number of a claim (`claim_id`); an outcome is written only while its row still has that number |
//! | prefetch | claim up to `concurrency` bookings more than may be in flight, so that a finished call is replaced at once |
//! | reservation | what Guestly should have for a booking: the booking after the mapping |
//! | snapshot | what Guestly is known to have: the last confirmed value of each aspect |
//! | aspect | a part of a reservation with an endpoint of its own: status, listing, dates, guests, notes, payment |
//! | diff | the first aspect in which reservation and snapshot differ, as the operation (one call) that removes it |
//! | plan | the next step for a booking: one call, wait, done, withdraw, or fail. Made anew at each claim |
//! | outcome | the meaning of a reply: confirmed, refused, throttled, not sent, unavailable or unknown |
//! | transition | from a claimed row and an outcome to the row's next state |
//! | uncertain outcome | a create or change that may have taken effect; the next call is a look-up, never a create |
//! | ping | a look-up that is about no booking: it shows if credentials and network work |
//! | source (of a call) | the booking and the kind of a call, to which the breaker attributes failures |
//! | propagation delay | how long a write may stay invisible to reads; the setting `settle` |
//! | adopt | record a reservation that a look-up found, instead of creating it |
//! | confirmation code | derived from the booking alone and the same in every attempt; look-ups search for it |
//! | send gate | decides if a call may be sent now: rate limiter, breaker and access token together; its answer is a permit for some calls, or a wait |
//! | rate limiter | three token buckets (second, minute, hour), lowered by what answers say remains |
//! | breaker | the circuit breaker: opens in an outage, then lets one probe through at a time |
//! | backoff | growing pauses with jitter; the policies are in `domain::retry`; `domain::transition` applies the one between attempts |
//! | sweep | once a `poll_interval`: find paid bookings that no trigger queued |
//! | reconcile | once a day: compare future stays with their snapshots |
//! | armed server | a server and database that may send; a copy is not armed |
//! | worker state | what the worker saves for its successor: rate limiter, breaker, last success and error |
//! | host code | triggers, rules and mapping expressions of the host, run in the worker with a time limit |
//! | waker | the pipe through which sender threads wake the worker's main thread |

pub mod domain;
mod net;
mod pg;
mod sys;
mod version;

use pgrx::prelude::*;

::pgrx::pg_module_magic!(name, version);

#[cfg(not(panic = "unwind"))]
compile_error!("a panic in a sender thread must not take the server down: build with panic = \"unwind\"");

extension_sql_file!("../sql/schema/1_tables.sql", name = "tables");
extension_sql_file!("../sql/schema/2_attach.sql", name = "attach", requires = ["tables"]);
extension_sql_file!("../sql/schema/3_triggers.sql", name = "triggers", requires = ["attach"]);
extension_sql_file!("../sql/schema/4_functions.sql", name = "functions", requires = ["triggers"]);
extension_sql_file!("../sql/schema/5_status_and_doctor.sql", name = "status_and_doctor", requires = ["functions"]);
extension_sql_file!("../sql/schema/6_rights.sql", name = "rights", requires = ["status_and_doctor"]);
extension_sql_file!("../sql/schema/7_install.sql", name = "install", requires = ["rights"]);

/// Called by the server when it loads the library: in the postmaster, or later in a session that uses a function.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    if pg::sys::is_binary_upgrade() {
        return;
    }
    pg::settings::init();
    pg::sys::reserve_prefix(c"guestly_sync");
    if pg::sys::is_preloading() {
        pg::shm::init();
        pg::utility_hook::init();
        pg::launcher::register();
    }
}
