//! Touches Postgres: everything here runs on the main thread of a backend or worker, and nothing here waits for the network.
//!
//! | file | contents |
//! |---|---|
//! | `sys.rs`, `sys/` | thin wrappers around the server's C functions |
//! | `shm.rs`, `shm/` | shared memory: the worker of each database, and the latch that a commit sets |
//! | `db.rs`, `db/` | transactions, prepared statements, errors with SQLSTATE, detail and hint: all SQL goes through it |
//! | `settings.rs`, `settings/` | the GUCs, and an owned copy of them for the worker |
//! | `credentials.rs` | reads the API credentials |
//! | `host_code.rs` | runs the host's triggers and mapping expressions in the worker, each with a time limit |
//! | `host.rs`, `host/` | every statement on the host's tables, run as the table's owner |
//! | `store.rs`, `store/` | our own tables, one file a table |
//! | `trigger.rs` | queues bookings that were paid or changed |
//! | `functions.rs`, `functions/` | SQL functions written in Rust |
//! | `utility_hook.rs` | DROP EXTENSION, and statements that need a database to themselves |
//! | `job.rs`, `job/` | one call, and the rows that its outcome becomes |
//! | `claim.rs`, `claim/` | turns due bookings into calls, and writes their intents |
//! | `record_outcomes.rs`, `record_outcomes/` | writes outcomes in one short transaction, and retries while the host's code fails |
//! | `launcher.rs` | one worker per database that has the extension |
//! | `worker.rs`, `worker/` | the worker's loop and its parts |
//!
//! Superuser rights are used in these places and nowhere else:
//!
//! | where | reason |
//! |---|---|
//! | the script of `CREATE EXTENSION` and of its update | creates the roles, and gives every object to `guestly_owner` |
//! | `launcher.rs` | reads the shared catalog of databases; runs no SQL |
//! | `worker.rs`, between transactions | a role without LOGIN cannot connect (`BackgroundWorkerInitializeConnectionByOid`); `db::session::transaction` runs each transaction, its commit included, as `guestly_owner` |
//! | `credentials.rs` | Vault's view belongs to a superuser and, like every table of others, is read as its owner |

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
