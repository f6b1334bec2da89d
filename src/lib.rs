//! guestly_sync: a paid booking appears in Guestly once, soon, whatever breaks.
//!
//! A map of the crate; three folders, three laws (`tests/architecture.rs` holds them):
//!
//! - [`domain`] **decides**. Pure functions over plain values; the whole behaviour is [`domain::plan`] (what to do next for a
//!   booking), [`domain::transition`] (what becomes of it when a call has ended) and [`domain::send_gate`] (whether a call may go).
//!   Tests run in milliseconds, without a server: `cargo unit`.
//! - `net` **talks**. HTTP on sender threads; never names pgrx.
//! - `pg` **touches Postgres**. Main thread only: `pg/trigger.rs` queues, `pg/launcher.rs` starts one `pg/worker.rs` per
//!   database, which claims, sends through `net`, and records.
//!
//! `sql/` holds the objects of the extension and, one a file, every statement that the worker runs.

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
