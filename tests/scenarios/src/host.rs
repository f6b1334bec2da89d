//! The host application in a test database: its tables, bookings and payments. Called by the tests, on their threads. Uses only
//! the extension's public names.

use crate::database::Database;
use postgres::types::ToSql;

const SCHEMA: &str = include_str!("../../host/host.sql");
const SYNC_COLUMNS: &str = include_str!("../../host/sync-columns.sql");

/// The flats of `host.sql`, by slug, and their listings, which every fresh simulator has.
pub const LISTINGS: [(&str, &str); 3] = [
    ("canal-loft", "64b1f0aa11bb22cc33dd4401"),
    ("garden-flat", "64b1f0aa11bb22cc33dd4402"),
    ("roof-studio", "64b1f0aa11bb22cc33dd4403"),
];

/// Loads the host's tables, roles and three flats into an empty database.
pub fn load(database: &Database) {
    database.sql(SCHEMA);
}

/// Runs the host's own migration that adds the five sync columns, as on sites that had them before the extension.
pub fn add_sync_columns(database: &Database) {
    database.sql(SYNC_COLUMNS);
}

/// `CREATE EXTENSION guestly_sync`.
pub fn create_extension(database: &Database) {
    database.sql("CREATE EXTENSION guestly_sync");
}

/// Maps each flat to its listing.
pub fn map_listings(database: &Database) {
    for (property, listing) in LISTINGS {
        let query = "INSERT INTO guestly.listings (property, listing_id) VALUES ($1, $2) RETURNING property";
        database.query(query, &[&property, &listing]);
    }
}

/// Removes the notes from the mapping, so that a create is not followed by a delayed second call. For every test that is not
/// about notes.
pub fn without_notes(database: &Database) {
    database.sql("DELETE FROM guestly.field_map WHERE field IN ('special_requests', 'purpose', 'company', 'country')");
}

/// The host's tables, the extension and its listings, in an empty database; without notes.
pub fn set_up(database: &Database) {
    load(database);
    create_extension(database);
    map_listings(database);
    without_notes(database);
}

/// Makes unpaid bookings, none of which overlap, and gives their ids, oldest first.
pub fn make_bookings(database: &Database, how_many: u32) -> Vec<String> {
    database.query_all(&format!("SELECT id::text FROM sample.make_bookings({how_many}) AS id"))
}

/// Sets `payment_status` to `completed` and `status` to `confirmed` for these bookings in one statement.
///
/// # Panics
/// If not every id is a booking.
pub fn pay(database: &Database, ids: &[String]) {
    let query = "UPDATE bookings SET payment_status = 'completed', status = 'confirmed', confirmed_at = now(), \
                 updated_at = now(), stripe_charge_id = 'ch_' || booking_reference \
                 WHERE id = ANY ($1::text[]::uuid[]) RETURNING 1";
    let parameters: [&(dyn ToSql + Sync); 1] = [&ids];
    let paid = database.query(query, &parameters).len();
    assert!(paid == ids.len(), "{paid} of {} bookings were there to be paid", ids.len());
}

/// Sets columns of these bookings in one statement; `before` runs first in the same session, for example to disable triggers.
pub fn update_all(database: &Database, ids: &[String], before: &str, changes: &str) {
    database.sql(&format!("{before}; UPDATE bookings SET {changes} WHERE id IN ('{}')", ids.join("','")));
}

/// Pays one booking as the site's payment webhook does: by its payment intent, as `service_role`.
///
/// # Panics
/// With the server's error, or if the intent belongs to no booking.
pub fn pay_by_webhook(database: &Database, id: &str) {
    let query = "SELECT stripe_payment_intent_id FROM bookings WHERE id = $1::text::uuid";
    let rows = database.query(query, &[&id]);
    let intent: String = rows.first().unwrap_or_else(|| panic!("no booking {id}")).get(0);
    let update = format!(
        "DO $$ BEGIN IF sample.payment_succeeded('{intent}') <> 1 THEN RAISE 'no row for {intent}'; END IF; END $$"
    );
    database.try_sql_as("service_role", &update).unwrap_or_else(|error| panic!("{error}"));
}
