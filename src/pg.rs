//! Touches Postgres: everything here runs on the main thread of a backend or worker, and nothing here waits for the network.
//!
//! | file | what is in it |
//! |---|---|
//! | `sys.rs`, `sys/` | thin wrappers of the server's C functions |
//! | `shm.rs`, `shm/` | shared memory: which worker serves which database, and the latch at commit |
//! | `db.rs`, `db/` | transactions, prepared statements, errors with SQLSTATE, detail and hint: the only way to SQL |
//! | `settings.rs`, `settings/` | the GUCs, and one owned copy of them for the worker |
//! | `credentials.rs` | where the API credentials come from |
//! | `host_code.rs` | runs the host's triggers and mapping expressions in the worker, each with a time limit |
//! | `host.rs`, `host/` | the door to the host's tables: every statement that names one, as that table's owner |
//! | `store.rs`, `store/` | our own tables, one file a table |
//! | `trigger.rs` | a booking was paid or changed: one row for the worker |
//! | `functions.rs`, `functions/` | SQL functions written in Rust |
//! | `utility_hook.rs` | DROP EXTENSION, and statements that need a database to themselves |
//! | `job.rs`, `job/` | one call, and the rows its outcome becomes |
//! | `claim.rs`, `claim/` | due bookings become calls, the intent written first |
//! | `record_outcomes.rs`, `record_outcomes/` | outcomes, written in one short transaction, and retried while the host's code raises |
//! | `launcher.rs` | one worker per database that has the extension |
//! | `worker.rs`, `worker/` | the loop, and what it calls |
//!
//! Superuser rights are used in these places and nowhere else:
//!
//! | where | why |
//! |---|---|
//! | the script of `CREATE EXTENSION` and of its update | makes the roles and hands every object to `guestly_owner` |
//! | `launcher.rs` | reads the shared catalog of databases; runs no SQL |
//! | `worker.rs`, between transactions | a role without LOGIN cannot connect (`BackgroundWorkerInitializeConnectionByOid`); `db::session::transaction` runs each transaction, its commit included, as `guestly_owner` |
//! | `credentials.rs` | Vault's view belongs to a superuser, and is read as its owner, like every table that is not of this extension |

pub(crate) mod claim;
pub(crate) mod credentials;
pub(crate) mod db;
pub(crate) mod functions;
pub(crate) mod host;
pub(crate) mod host_code;
pub(crate) mod job;
pub(crate) mod launcher;
pub(crate) mod record_outcomes;
pub(crate) mod settings;
pub(crate) mod shm;
pub(crate) mod store;
pub(crate) mod sys;
pub(crate) mod trigger;
pub(crate) mod utility_hook;
pub(crate) mod worker;
