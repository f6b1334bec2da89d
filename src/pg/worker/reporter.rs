//! Logs warnings, each message at most once a minute. Part of the worker, main thread.

use std::collections::HashMap;
use std::time::Instant;

use pgrx::PgSqlErrorCode;

use crate::domain::retry::REPORT_EVERY;
use crate::pg::db::report;

/// The messages of the last minute.
#[derive(Default)]
pub(super) struct Reporter {
    reported: HashMap<String, Instant>,
}

impl Reporter {
    /// Logs a WARNING with a hint, unless the same message was logged within the last minute.
    pub(super) fn warn(&mut self, message: &str, hint: &str) {
        self.reported.retain(|_, then| then.elapsed() < REPORT_EVERY);
        if self.reported.contains_key(message) {
            return;
        }
        self.reported.insert(message.to_owned(), Instant::now());
        report::warn(PgSqlErrorCode::ERRCODE_WARNING, format!("guestly_sync: {message}"), hint);
    }

    /// Every message may be logged again: settings were reloaded.
    pub(super) fn clear(&mut self) {
        self.reported.clear();
    }
}
