//! The reservations: their committed state, the part that reads show already, and availability. Under the state lock.

use crate::clock::{format_date, parse_date};
use crate::listings::Listing;
use serde_json::Value;
use std::collections::HashMap;

/// The fields that writes change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    pub status: String,
    pub listing: String,
    pub check_in: String,
    pub check_out: String,
    pub guests_count: u64,
    pub number_of_guests: Value,
    pub source: String,
    pub notes: Value,
    pub custom_fields: Value,
    pub cancellation: Value,
    /// Overrides in cents.
    pub fare: Option<i64>,
    pub cleaning: Option<i64>,
    /// Simulated wall clock in µs.
    pub updated: i64,
}

impl Fields {
    pub(crate) fn nights(&self) -> i64 {
        nights(&self.check_in, &self.check_out)
    }
}

/// Nights between two dates.
pub(crate) fn nights(check_in: &str, check_out: &str) -> i64 {
    parse_date(check_out).unwrap_or(0) - parse_date(check_in).unwrap_or(0)
}

/// A former version, which reads show until the next one becomes visible.
#[derive(Clone, Debug)]
pub(crate) struct Older {
    pub until_visible: u64,
    pub until_indexed: u64,
    pub fields: Fields,
}

/// One reservation.
#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub id: String,
    pub guest_id: String,
    pub code: String,
    pub origin: Option<String>,
    pub origin_id: Option<String>,
    /// Made through the API, not by a channel or in the UI.
    pub from_api: bool,
    pub created: i64,
    pub visible_at: u64,
    pub indexed_at: u64,
    pub current: Fields,
    pub older: Vec<Older>,
    pub payments: Vec<Value>,
    pub paid: i64,
    /// The body of the create, as received.
    pub received: String,
    /// When the last write was committed, and the fields that it replaced.
    pub last_write: Option<u64>,
    pub before_last: Option<Box<Fields>>,
}

impl Reservation {
    /// The fields that reads by id show now; `None` if not yet visible.
    pub(crate) fn visible(&self, mono: u64) -> Option<&Fields> {
        let old = self.older.iter().find(|o| o.until_visible > mono);
        (self.visible_at <= mono).then(|| old.map_or(&self.current, |o| &o.fields))
    }

    /// The fields that the search index shows now.
    pub(crate) fn indexed(&self, mono: u64) -> Option<&Fields> {
        let old = self.older.iter().find(|o| o.until_indexed > mono);
        (self.indexed_at <= mono).then(|| old.map_or(&self.current, |o| &o.fields))
    }

    /// Replaces the fields; reads show the old ones until the given times.
    pub(crate) fn write(&mut self, fields: Fields, mono: u64, visible_at: u64, indexed_at: u64) {
        self.older.retain(|o| o.until_visible.max(o.until_indexed) > mono);
        let old = std::mem::replace(&mut self.current, fields);
        if indexed_at.max(visible_at) > mono {
            self.older.push(Older { until_visible: visible_at, until_indexed: indexed_at, fields: old });
        }
    }
}

/// Statuses that count as a booking and block nights.
pub(crate) fn is_active(status: &str) -> bool {
    matches!(status, "confirmed" | "reserved" | "awaiting_payment")
}

/// All reservations in order of their ids.
#[derive(Default)]
pub(crate) struct Reservations {
    pub list: Vec<Reservation>,
    by_id: HashMap<String, usize>,
    by_code: HashMap<String, Vec<usize>>,
    by_listing: HashMap<String, Vec<usize>>,
    guests: HashMap<String, String>,
}

impl Reservations {
    pub(crate) fn add(&mut self, reservation: Reservation) -> usize {
        let index = self.list.len();
        self.by_id.insert(reservation.id.clone(), index);
        self.by_code.entry(reservation.code.clone()).or_default().push(index);
        self.by_listing.entry(reservation.current.listing.clone()).or_default().push(index);
        self.list.push(reservation);
        index
    }

    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn with_code(&self, code: &str) -> &[usize] {
        self.by_code.get(code).map_or(&[], Vec::as_slice)
    }

    /// Reservations that are or were on this listing.
    pub(crate) fn on_listing(&self, listing: &str) -> &[usize] {
        self.by_listing.get(listing).map_or(&[], Vec::as_slice)
    }

    /// Updates the index after a reservation moved to another listing.
    pub(crate) fn moved(&mut self, index: usize, listing: &str) {
        let list = self.by_listing.entry(listing.to_owned()).or_default();
        if !list.contains(&index) {
            list.push(index);
        }
    }

    pub(crate) fn set_code(&mut self, index: usize, code: &str) {
        let Some(reservation) = self.list.get_mut(index) else {
            return;
        };
        if let Some(list) = self.by_code.get_mut(&reservation.code) {
            list.retain(|at| *at != index);
        }
        reservation.code = code.to_owned();
        self.by_code.entry(code.to_owned()).or_default().push(index);
    }

    /// True if a listing has no unit left on some night of the stay, by committed state.
    pub(crate) fn taken(&self, listing: &Listing, check_in: &str, check_out: &str, except: Option<usize>) -> bool {
        let Some(units) = listing.units else {
            return false;
        };
        let others: Vec<&Fields> = self
            .on_listing(&listing.id)
            .iter()
            .filter(|index| Some(**index) != except)
            .filter_map(|index| self.list.get(*index).map(|r| &r.current))
            .filter(|f| is_active(&f.status) && f.listing == listing.id)
            .filter(|f| f.check_in.as_str() < check_out && check_in < f.check_out.as_str())
            .collect();
        if others.len() < units {
            return false;
        }
        let (first, last) = (parse_date(check_in).unwrap_or(0), parse_date(check_out).unwrap_or(0));
        (first..last).any(|day| {
            let night = format_date(day);
            others.iter().filter(|f| f.check_in <= night && night < f.check_out).count() >= units
        })
    }

    /// The guest with this e-mail address.
    pub(crate) fn guest(&self, email: &str) -> Option<&String> {
        self.guests.get(&email.to_lowercase())
    }

    pub(crate) fn add_guest(&mut self, email: &str, id: String) {
        self.guests.insert(email.to_lowercase(), id);
    }

    pub(crate) fn has_guest(&self, id: &str) -> bool {
        self.guests.values().any(|known| known == id)
    }
}
