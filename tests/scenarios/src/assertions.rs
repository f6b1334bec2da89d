//! Assertions about bookings on both sides: the simulator's calls and reservations, and the host's rows. Called by the tests,
//! on their threads. Uses only the extension's public names.

use crate::database::Database;
use crate::sim::Sim;
use crate::site::Site;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The five columns of a booking, and its reference, which is its confirmation code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// `booking_reference`.
    pub code: String,
    /// `pending`, `synced` or `failed`.
    pub status: String,
    /// Guestly's id.
    pub reservation: Option<String>,
    /// `<class>: <sentence>`.
    pub error: Option<String>,
    /// Attempts since it was last queued.
    pub attempts: i32,
}

impl Site {
    /// One booking's columns.
    ///
    /// # Panics
    /// If there is no such booking.
    #[track_caller]
    #[must_use]
    pub fn booking(&self, id: &str) -> Booking {
        booking(self, id)
    }

    /// Waits until every paid booking is synced.
    #[track_caller]
    pub fn wait_all_synced(&self, timeout: Duration) -> Duration {
        wait_all_synced(self, timeout)
    }

    /// Waits until a booking's queue row is in this state.
    #[track_caller]
    pub fn wait_for_state(&self, id: &str, state: &str, timeout: Duration) -> Duration {
        let query = format!(
            "SELECT q.state = '{state}', q.state || ' ' || q.attempts || coalesce(' ' || q.error, '') \
             FROM guestly.queue q WHERE q.booking_id = '{id}'"
        );
        self.wait_for(&format!("booking {id} to be {state}"), timeout, &query)
    }

    /// The log of one booking, oldest first, each row as `operation:outcome`.
    #[track_caller]
    #[must_use]
    pub fn log_of(&self, id: &str) -> Vec<String> {
        let query =
            "SELECT operation || ':' || outcome FROM guestly.attempts WHERE booking_id = $1 ORDER BY started_at";
        self.query(query, &[&id]).iter().map(|row| row.get(0)).collect()
    }

    /// The logged calls of one code, oldest first.
    #[track_caller]
    #[must_use]
    pub fn calls_of(&self, code: &str) -> Vec<Value> {
        let mut calls = self.sim.call_log(None);
        calls.retain(|row| row["confirmationCode"] == code);
        // The call log is in the order of the calls' ends.
        calls.sort_by_key(|row| row["seq"].as_u64());
        calls
    }

    /// The operations that Guestly saw for one code, oldest first: `create`, `search`, ….
    #[track_caller]
    #[must_use]
    pub fn operations_of(&self, code: &str) -> Vec<String> {
        self.calls_of(code).iter().map(|row| row["operation"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// [`assert_once_each`], and the simulator saw no fatal violation.
    #[track_caller]
    pub fn assert_once_each(&self, ids: &[String]) {
        assert_once_each(self, &self.sim, ids);
        self.sim.assert_no_violation();
    }
}

/// One booking's columns.
///
/// # Panics
/// If there is no such booking.
#[track_caller]
#[must_use]
pub fn booking(database: &Database, id: &str) -> Booking {
    let query = "SELECT booking_reference, guestly_sync_status, guestly_reservation_id, guestly_sync_error, \
                 guestly_sync_attempts FROM bookings WHERE id = $1::text::uuid";
    let rows = database.query(query, &[&id]);
    let [row] = rows.as_slice() else { panic!("no booking {id}") };
    Booking { code: row.get(0), status: row.get(1), reservation: row.get(2), error: row.get(3), attempts: row.get(4) }
}

/// Waits until every paid booking is synced and the queue is empty.
#[track_caller]
pub fn wait_all_synced(database: &Database, timeout: Duration) -> Duration {
    database.wait_for(
        "every paid booking to be synced",
        timeout,
        "SELECT count(*) FILTER (WHERE b.guestly_sync_status <> 'synced') = 0 AND NOT EXISTS (SELECT FROM guestly.queue), \
                count(*) FILTER (WHERE b.guestly_sync_status <> 'synced') || ' of ' || count(*) || ' are not; the queue: ' \
                || coalesce((SELECT string_agg(concat_ws(' ', q.state, q.attempts, q.error_class, q.error), '; ') \
                             FROM (SELECT * FROM guestly.queue LIMIT 5) q), 'empty') \
         FROM bookings b WHERE b.payment_status = 'completed'",
    )
}

/// On both sides: each booking is synced and Guestly has exactly one reservation with its code, whose id the booking
/// and `guestly.reservations` name.
///
/// # Panics
/// With the first booking for which that is not true.
#[track_caller]
pub fn assert_once_each(database: &Database, sim: &Sim, ids: &[String]) {
    let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in sim.state() {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        held.entry(text("confirmationCode")).or_default().push(text("reservationId"));
    }
    let rows = database.query(
        "SELECT b.id::text, b.booking_reference, b.guestly_sync_status, b.guestly_reservation_id, r.reservation_id, \
                b.guestly_sync_error FROM bookings b LEFT JOIN guestly.reservations r ON r.booking_id = b.id::text \
         WHERE b.id = ANY ($1::text[]::uuid[])",
        &[&ids],
    );
    assert_eq!(rows.len(), ids.len(), "bookings are missing");
    for row in rows {
        let (id, code, status): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let (named, kept): (Option<String>, Option<String>) = (row.get(3), row.get(4));
        let error: Option<String> = row.get(5);
        let guestly = held.get(&code).cloned().unwrap_or_default();
        let story = json!({"booking": id, "code": code, "status": status, "error": error, "held": guestly});
        assert!(status == "synced" && error.is_none() && guestly.len() == 1, "not exactly once: {story}");
        assert_eq!((named.as_ref(), kept.as_ref()), (guestly.first(), guestly.first()), "another id: {story}");
    }
}
