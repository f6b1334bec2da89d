//! Touches Postgres: everything here runs on the main thread of a backend or worker, and nothing here waits for the network.
//!
//! | file | what is in it |
//! |---|---|
//! | `settings.rs` | the GUCs, and one owned copy of them for the worker |
//! | `secrets.rs` | where the API credentials come from |
//! | `session.rs` | transactions, subtransactions and the owner's rights: the only way to SQL |
//! | `statement.rs` | named statements of `sql/queries`, prepared once |
//! | `trigger.rs` | a booking was paid or changed: one row for the worker |
//! | `host.rs`, `host/` | the door to the host's tables: every statement that names one, as that table's owner |
//! | `queue.rs`, `queue/` | the worker's statements: claim, record, rescue, sweep |
//! | `claim.rs` | what is due becomes calls, the intent written first |
//! | `host_code.rs` | running the host's triggers and mapping expressions in the worker, each with a time limit |
//! | `job.rs` | one call, and the rows its outcome becomes |
//! | `alerts.rs` | what the owner should hear about |
//! | `record.rs` | outcomes, written in one short transaction, and again for a while where the host's trigger raises |
//! | `memory.rs` | what the worker remembers across restarts: token, quota, breaker |
//! | `functions.rs` | SQL functions written in Rust |
//! | `report.rs` | errors with SQLSTATE, detail and hint |
//! | `utility.rs` | DROP EXTENSION, and statements that need a database to themselves |
//! | `wake.rs` | shared memory: who works where, and the latch at commit |
//! | `launcher.rs` | one worker per database that has the extension |
//! | `worker.rs`, `worker/` | the loop, and what it calls |
//! | `alarm.rs` | how sender threads wake the main thread |
//! | `sys.rs`, `sys/` | thin wrappers of the server's C functions |
//!
//! Superuser rights are used in these places and nowhere else:
//!
//! | where | why |
//! |---|---|
//! | the script of `CREATE EXTENSION` and of its update | makes the roles and hands every object to `guestly_owner` |
//! | `launcher.rs` | reads the shared catalog of databases; runs no SQL |
//! | `worker.rs`, between transactions | a role without LOGIN cannot connect (`BackgroundWorkerInitializeConnectionByOid`); `session::transaction` runs each transaction, its commit included, as `guestly_owner` |
//! | `secrets.rs` | Vault's view belongs to a superuser, and is read as its owner, like every table that is not of this extension |

pub(crate) mod alerts;
pub(crate) mod claim;
pub(crate) mod functions;
pub(crate) mod host;
pub(crate) mod host_code;
pub(crate) mod job;
pub(crate) mod launcher;
pub(crate) mod memory;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod secrets;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod statement;
pub(crate) mod sys;
pub(crate) mod trigger;
pub(crate) mod utility;
pub(crate) mod wake;
pub(crate) mod worker;

pub(crate) use host::bookings;
