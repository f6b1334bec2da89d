//! `guestly.reservations`: the snapshots, what Guestly is known to have. Main thread only, inside a transaction.

use chrono::NaiveDate;
use pgrx::datum::DatumWithOid;

use crate::domain::guests::GuestCount;
use crate::domain::snapshot::PaymentState;
use crate::domain::snapshot::{RemoteReservation, Snapshot};
use crate::domain::transition::SnapshotUpdate;
use crate::pg::db::convert::{Named, column, signed};
use crate::pg::db::session::Result;
use crate::pg::db::statement::{self, Tuple};

/// New facts about a reservation, from an outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReservationUpdate {
    /// Guestly's id.
    pub reservation_id: String,
    /// Its confirmation code.
    pub code: String,
    /// Found instead of created.
    pub adopted: bool,
    /// The confirmed values; the others are unchanged.
    pub update: SnapshotUpdate,
    /// The amount that the guest paid, to be compared with the total that Guestly reports.
    pub paid: Option<f64>,
}

/// Stores reservations with their bookings, even if the claim is no longer in force.
pub fn upsert(rows: &[(String, ReservationUpdate)]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let snapshot = |row: &(String, ReservationUpdate)| row.1.update.snapshot.clone();
    let day = |day: Option<NaiveDate>| day.map(|day| day.to_string());
    let count = |row: &(String, ReservationUpdate), of: fn(GuestCount) -> u32| {
        row.1.update.snapshot.guests.map(|guests| signed(of(guests)))
    };
    let args: [DatumWithOid; 19] = [
        column(rows, |row| row.0.clone()).into(),
        column(rows, |row| row.1.reservation_id.clone()).into(),
        column(rows, |row| row.1.code.clone()).into(),
        column(rows, |row| snapshot(row).status).into(),
        column(rows, |row| snapshot(row).listing_id).into(),
        column(rows, |row| day(snapshot(row).check_in)).into(),
        column(rows, |row| day(snapshot(row).check_out)).into(),
        column(rows, |row| count(row, |guests| guests.adults)).into(),
        column(rows, |row| count(row, |guests| guests.children)).into(),
        column(rows, |row| count(row, |guests| guests.infants)).into(),
        column(rows, |row| count(row, |guests| guests.pets)).into(),
        column(rows, |row| row.1.adopted).into(),
        column(rows, |row| row.1.update.verified).into(),
        column(rows, |row| row.1.update.ended).into(),
        column(rows, |row| row.1.update.changed).into(),
        column(rows, |row| snapshot(row).notes).into(),
        column(rows, |row| snapshot(row).payment.map(PaymentState::as_str)).into(),
        column(rows, |row| row.1.update.total.clone()).into(),
        column(rows, |row| row.1.paid).into(),
    ];
    statement::run(include_str!("../../../sql/queries/reservations/upsert.sql"), &args)
}

/// Marks the payments of these bookings as sent, before the calls: they are listed before they are recorded again.
pub fn mark_payments_sent(ids: Vec<String>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    statement::run(include_str!("../../../sql/queries/reservations/mark_payment_sent.sql"), &[ids.into()])
}

/// The reservation of a future stay.
pub struct Upcoming {
    /// The booking.
    pub booking_id: String,
    /// Day of departure.
    pub check_out: String,
    /// The reservation.
    pub remote: RemoteReservation,
}

/// Up to `limit` future stays after this day of departure and booking, in that order.
pub fn upcoming(day: &str, booking_id: &str, limit: usize) -> Result<Vec<Upcoming>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let args: [DatumWithOid; 3] = [day.into(), booking_id.into(), limit.into()];
    statement::rows(include_str!("../../../sql/queries/reservations/upcoming.sql"), &args, |row| {
        Ok(Upcoming {
            booking_id: row.text("booking_id")?.unwrap_or_default(),
            check_out: row.text("check_out")?.unwrap_or_default(),
            remote: remote(row)?.unwrap_or_default(),
        })
    })
}

/// The reservation, from the columns that claim_due.sql and upcoming.sql share.
pub(super) fn remote(row: &Tuple) -> Result<Option<RemoteReservation>> {
    let Some(reservation_id) = row.text("reservation_id")? else { return Ok(None) };
    let guests = match row.get_by_name::<i32, _>("adults")? {
        Some(_) => Some(GuestCount {
            adults: row.count("adults")?,
            children: row.count("children")?,
            infants: row.count("infants")?,
            pets: row.count("pets")?,
        }),
        None => None,
    };
    Ok(Some(RemoteReservation {
        reservation_id,
        code: row.text("confirmation_code")?.unwrap_or_default(),
        snapshot: Snapshot {
            status: row.text("status")?,
            listing_id: row.text("listing_id")?,
            check_in: row.day("check_in")?,
            check_out: row.day("check_out")?,
            guests,
            notes: row.text("notes")?,
            payment: row.text("payment")?.and_then(|name| PaymentState::parse(&name)),
        },
        verified: row.flag("verified")?,
        ended: row.flag("ended")?,
        changed_at: row.time("changed_at")?,
    }))
}
