//! Library and SQL objects of one version, or nothing is done: other tables have other columns. Part of the worker, main thread.

use std::time::Instant;

use super::{VERSION, Worker};
use crate::domain::retry::FIRST_SWEEP_AFTER;
use crate::net::roots;
use crate::pg::queue::Gate;
use crate::pg::session::{self, Result};
use crate::pg::{memory, queue};

impl Worker {
    /// Looked at before anything else, until it fits: then the worker begins. Until then outcomes of calls are written, and
    /// nothing else is done.
    pub(super) fn look_at_version(&mut self) {
        if self.fits == Some(true) {
            return;
        }
        let now = Instant::now();
        if self.fits.is_none() || now >= self.next_probe {
            if self.in_transaction(Self::gate).is_some() && self.fits == Some(true) {
                return self.begin();
            }
            self.next_probe = now + self.settings.poll_interval;
        }
        (self.more, self.next_due) = (false, None);
    }

    /// With SQL objects of this version, first of all or again.
    fn begin(&mut self) {
        self.next_probe = Instant::now() + self.settings.poll_interval.min(FIRST_SWEEP_AFTER);
        self.more = true;
        self.look_at_mail_settings();
        let roots = roots::look();
        self.in_transaction(|_| memory::note_roots(roots));
        self.in_transaction(|worker| {
            worker.look_for_credentials();
            Ok(())
        });
    }

    /// The switches, read at each claim so that they work at once.
    pub(super) fn gate(&mut self) -> Result<Gate> {
        let gate = queue::gate()?;
        self.fits = Some(gate.version.as_deref() == Some(VERSION));
        if self.fits == Some(false) {
            let sql = gate.version.clone().unwrap_or_default();
            self.report(&format!("{}: nothing is sent", unlike(&sql)), update_hint(&sql));
        }
        Ok(gate)
    }

    /// Something failed because the SQL objects have become others; that is reported.
    pub(super) fn has_become_unlike(&mut self) -> bool {
        let looked = session::transaction(c"guestly_sync: looking at the version", || self.gate());
        looked.is_ok() && self.fits == Some(false)
    }

    /// Why Guestly may not be asked anything from here, in words; none if it may.
    pub(super) fn why_silent(&mut self) -> Option<String> {
        let gate = self.in_transaction(Self::gate)?;
        let sql = gate.version.unwrap_or_default();
        match (self.fits, gate.armed) {
            (Some(true), true) => None,
            (Some(true), false) => Some("this is a copy: nothing is asked".to_owned()),
            _ => Some(format!("{}: nothing is asked. {}", unlike(&sql), update_hint(&sql))),
        }
    }
}

fn unlike(sql_version: &str) -> String {
    format!("the library is version {VERSION} and the SQL objects are version {sql_version}")
}

/// What to do where library and SQL objects are not of one version.
fn update_hint(sql_version: &str) -> &'static str {
    let numbers =
        |version: &str| -> Vec<u32> { version.split('.').map(|part| part.parse().unwrap_or_default()).collect() };
    match numbers(sql_version) < numbers(VERSION) {
        true => "Run ALTER EXTENSION guestly_sync UPDATE.",
        false => "Restart the server: it still runs the older library.",
    }
}
