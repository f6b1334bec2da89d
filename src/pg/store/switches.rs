//! The switches that stop all sending: the pause, the armed server, and the version of the SQL objects. Main thread only,
//! inside a transaction.

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;

use crate::pg::db::convert::Named;
use crate::pg::db::session::Result;
use crate::pg::db::statement;
use crate::pg::{settings, sys};

/// The switches; sending needs all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// `guestly_pause()` was called.
    pub paused: bool,
    /// This server and database are armed.
    pub armed: bool,
    /// Version of the SQL objects.
    pub version: Option<String>,
}

/// This server, database and environment, as `guestly.installations` names them.
pub fn installation() -> (String, pg_sys::Oid, String) {
    (sys::system_identifier().to_string(), sys::my_database(), settings::environment())
}

/// Reads the switches.
pub fn load() -> Result<Switches> {
    let (server, database, environment) = installation();
    let here: [DatumWithOid; 3] = [server.into(), database.into(), environment.into()];
    let switches = statement::row(include_str!("../../../sql/queries/switches/can_send.sql"), &here, |row| {
        Ok(Switches {
            paused: row.get_by_name("paused")?.unwrap_or(true),
            armed: row.flag("armed")?,
            version: row.text("version")?,
        })
    })?;
    Ok(switches.unwrap_or_default())
}
