//! The set-up of most scenarios: a simulator, and a server with the host's tables, the extension and mapped listings. Called by
//! the tests, on their threads. Uses only the extension's public names.

use crate::cluster::Cluster;
use crate::host;
use crate::options::Options;
use crate::sim::Sim;
use serde_json::Value;
use std::ops::Deref;
use std::time::Duration;

/// A generous limit for what takes moments on an idle machine. Less than the default poll interval of a minute, so that a lost
/// wake-up fails the test.
pub const SOON: Duration = Duration::from_secs(45);

/// A limit for what must not wait for Guestly, in tests in which Guestly hangs for half a minute or longer.
pub const AT_ONCE: Duration = Duration::from_secs(10);

/// An address that refuses connections: only root may listen on this port.
pub const CLOSED_PORT: &str = "127.0.0.1:1";

/// A running site; dereferences to its server. When dropped, the server is released before the simulator stops.
pub struct Site {
    cluster: Cluster,
    /// The simulated Guestly.
    pub sim: Sim,
}

impl Deref for Site {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Site {
    /// A site without rate limits on either side.
    #[must_use]
    pub fn open() -> Self {
        Self::open_with(|options| options)
    }

    /// Like [`Site::open`], with more settings.
    #[must_use]
    pub fn open_with(more: impl FnOnce(Options) -> Options) -> Self {
        let site = Self::bare_with(more);
        host::create_extension(&site);
        host::map_listings(&site);
        host::without_notes(&site);
        site
    }

    /// The host's tables only: the extension is not installed yet.
    #[must_use]
    pub fn bare_with(more: impl FnOnce(Options) -> Options) -> Self {
        let sim = Sim::quick().without_limits();
        let mut options = sim.options();
        for window in ["second", "minute", "hour"] {
            options = options.setting(&format!("guestly_sync.rate_per_{window}"), "0");
        }
        let cluster = Cluster::start(more(options));
        host::load(&cluster);
        Self { cluster, sim }
    }

    /// A site with this simulator and its limits; `more` adds to the settings of `Sim::options`.
    #[must_use]
    pub fn open_on(sim: Sim, more: impl FnOnce(Options) -> Options) -> Self {
        let site = Self::empty_on(sim, more);
        host::set_up(&site);
        site
    }

    /// The same, with nothing in the database yet.
    #[must_use]
    pub fn empty_on(sim: Sim, more: impl FnOnce(Options) -> Options) -> Self {
        let cluster = Cluster::start(more(sim.options()));
        Self { cluster, sim }
    }

    /// Makes `how_many` bookings, pays them in one statement and gives their ids, in order.
    pub fn paid_bookings(&self, how_many: u32) -> Vec<String> {
        let ids = host::make_bookings(self, how_many);
        host::pay(self, &ids);
        ids
    }

    /// One booking, paid.
    pub fn paid_booking(&self) -> String {
        self.paid_bookings(1).remove(0)
    }

    /// The row of a booking as JSON, the slug of its flat added.
    #[track_caller]
    #[must_use]
    pub fn row(&self, id: &str) -> Value {
        self.query_one(&format!(
            "SELECT to_jsonb(b) || jsonb_build_object('slug', p.slug) FROM bookings b \
             JOIN properties p ON p.id = b.property_id WHERE b.id = '{id}'"
        ))
    }

    /// The confirmation code of a booking, which is its reference in the sample data.
    #[track_caller]
    #[must_use]
    pub fn code(&self, id: &str) -> String {
        self.query_one(&format!("SELECT booking_reference FROM bookings WHERE id = '{id}'"))
    }

    /// Waits until the bookings read as `status` in `guestly_sync_status`, and gives the time that took.
    #[track_caller]
    pub fn wait_for_status(&self, ids: &[String], status: &str) -> Duration {
        self.wait_for_status_within(ids, status, SOON)
    }

    /// The same with another limit.
    #[track_caller]
    pub fn wait_for_status_within(&self, ids: &[String], status: &str, limit: Duration) -> Duration {
        let list: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
        let query = format!(
            "SELECT count(*) FILTER (WHERE guestly_sync_status = '{status}') = {}, \
             string_agg(concat_ws(' ', booking_reference, guestly_sync_status, guestly_sync_error), '; ') \
             FILTER (WHERE guestly_sync_status IS DISTINCT FROM '{status}') FROM bookings WHERE id IN ({})",
            ids.len(),
            list.join(", ")
        );
        self.wait_for(&format!("{} bookings to be {status}", ids.len()), limit, &query)
    }

    /// Waits until a booking is synced.
    #[track_caller]
    pub fn wait_synced(&self, id: &str) {
        self.wait_for_status(&[id.to_owned()], "synced");
    }

    /// Waits until a booking has failed, and gives its `guestly_sync_error`.
    #[track_caller]
    pub fn wait_failed(&self, id: &str) -> String {
        self.wait_for_status(&[id.to_owned()], "failed");
        self.query_one(&format!("SELECT guestly_sync_error FROM bookings WHERE id = '{id}'"))
    }

    /// The id of a paid and synced booking.
    #[track_caller]
    #[must_use]
    pub fn synced_booking(&self) -> String {
        let id = self.paid_booking();
        self.wait_all_synced(SOON);
        id
    }

    /// Updates one booking; `changes` is the list after SET.
    #[track_caller]
    pub fn update(&self, id: &str, changes: &str) {
        self.sql(&format!("UPDATE bookings SET {changes} WHERE id = '{id}'"));
    }

    /// Waits until neither the queue nor the recorded changes have anything left to do.
    #[track_caller]
    pub fn wait_at_rest(&self) {
        let left = "SELECT NOT EXISTS (SELECT FROM guestly.queue) AND NOT EXISTS (SELECT FROM guestly.changes), \
                    concat_ws('; ', \
                      (SELECT string_agg(concat_ws(' ', state, error_class, error), '; ') FROM guestly.queue), \
                      (SELECT string_agg(concat_ws(' ', started_at, duration_ms, operation, outcome, error), '; ') \
                       FROM guestly.attempts))";
        self.wait_for("nothing left to do", SOON * 2, left);
    }

    /// Waits until the queue is empty.
    #[track_caller]
    pub fn wait_drained(&self) {
        let left = "SELECT count(*) = 0, string_agg(concat_ws(' ', booking_id, state, error_class, error), '; ') FROM guestly.queue";
        self.wait_for("an empty queue", SOON, left);
    }

    /// The only reservation of a booking, which must have been confirmed by its row.
    ///
    /// # Panics
    /// If there is none, or more than one, or the row names another one.
    #[track_caller]
    #[must_use]
    pub fn only_reservation(&self, id: &str) -> Value {
        let mut found = self.sim.reservations_of(&self.code(id));
        assert!(found.len() == 1, "{} reservations of booking {id}", found.len());
        let (reservation, row) = (found.remove(0), self.row(id));
        assert_eq!(row["guestly_reservation_id"], reservation["reservationId"], "the row names another reservation");
        reservation
    }
}
