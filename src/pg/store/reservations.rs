//! `guestly.reservations`: what Guestly is known to hold. Main thread only, inside a transaction.

use chrono::NaiveDate;
use pgrx::datum::DatumWithOid;

use crate::domain::held::{Aspects, Known, Party};
use crate::domain::payment::Recording;
use crate::domain::transition::Learned;
use crate::pg::db::convert::{column, signed, time};
use crate::pg::db::session::Result;
use crate::pg::db::statement::{self, Tuple};

/// The first column of `guestly.reservations` in the answer.
pub(super) const KNOWN: usize = 14;

/// What Guestly is known to hold now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    /// Guestly's id.
    pub reservation_id: String,
    /// Its confirmation code.
    pub code: String,
    /// Found instead of created.
    pub adopted: bool,
    /// What a call told; what it did not tell stays as it was.
    pub learned: Learned,
    /// What the guest paid, to be compared with the total that Guestly reports.
    pub paid: Option<f64>,
}

/// Writes what Guestly holds: (booking, what).
pub fn upsert(rows: &[(String, Held)]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let aspects = |row: &(String, Held)| row.1.learned.aspects.clone();
    let day = |day: Option<NaiveDate>| day.map(|day| day.to_string());
    let count = |row: &(String, Held), of: fn(Party) -> u32| row.1.learned.aspects.party.map(|party| signed(of(party)));
    let args: [DatumWithOid; 19] = [
        column(rows, |row| row.0.clone()).into(),
        column(rows, |row| row.1.reservation_id.clone()).into(),
        column(rows, |row| row.1.code.clone()).into(),
        column(rows, |row| aspects(row).status).into(),
        column(rows, |row| aspects(row).listing_id).into(),
        column(rows, |row| day(aspects(row).check_in)).into(),
        column(rows, |row| day(aspects(row).check_out)).into(),
        column(rows, |row| count(row, |party| party.adults)).into(),
        column(rows, |row| count(row, |party| party.children)).into(),
        column(rows, |row| count(row, |party| party.infants)).into(),
        column(rows, |row| count(row, |party| party.pets)).into(),
        column(rows, |row| row.1.adopted).into(),
        column(rows, |row| row.1.learned.verified).into(),
        column(rows, |row| row.1.learned.ended).into(),
        column(rows, |row| row.1.learned.changed).into(),
        column(rows, |row| aspects(row).notes).into(),
        column(rows, |row| aspects(row).payment.map(Recording::as_str)).into(),
        column(rows, |row| row.1.learned.total.clone()).into(),
        column(rows, |row| row.1.paid).into(),
    ];
    statement::run(include_str!("../../../sql/queries/reservations/upsert.sql"), &args)
}

/// Before the payments of these bookings are recorded: whatever comes of it, they are asked for before they are recorded again.
pub fn mark_payments_sent(ids: Vec<String>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    statement::run(include_str!("../../../sql/queries/reservations/mark_payment_sent.sql"), &[ids.into()])
}

/// A reservation of a stay to come.
pub struct Upcoming {
    /// The booking.
    pub booking_id: String,
    /// Day of departure.
    pub check_out: String,
    /// What is held.
    pub known: Known,
}

/// Up to `limit` of them after this day of departure and booking, in that order.
pub fn upcoming(day: &str, booking_id: &str, limit: usize) -> Result<Vec<Upcoming>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let args: [DatumWithOid; 3] = [day.into(), booking_id.into(), limit.into()];
    statement::rows(include_str!("../../../sql/queries/reservations/upcoming.sql"), &args, |row| {
        Ok(Upcoming {
            booking_id: row.get(1)?.unwrap_or_default(),
            check_out: row.get(2)?.unwrap_or_default(),
            known: known(row)?.unwrap_or_default(),
        })
    })
}

/// What is held, from the columns that all statements about it share.
pub(super) fn known(row: &Tuple) -> Result<Option<Known>> {
    let Some(reservation_id) = row.get::<String>(KNOWN)? else { return Ok(None) };
    let day =
        |column| Ok::<_, pgrx::spi::Error>(row.get::<String>(column)?.and_then(|day| day.parse::<NaiveDate>().ok()));
    let party = match row.get::<i32>(KNOWN + 6)? {
        Some(_) => Some(Party {
            adults: natural(row, KNOWN + 6)?,
            children: natural(row, KNOWN + 7)?,
            infants: natural(row, KNOWN + 8)?,
            pets: natural(row, KNOWN + 9)?,
        }),
        None => None,
    };
    Ok(Some(Known {
        reservation_id,
        code: row.get(KNOWN + 1)?.unwrap_or_default(),
        aspects: Aspects {
            status: row.get(KNOWN + 2)?,
            listing_id: row.get(KNOWN + 3)?,
            check_in: day(KNOWN + 4)?,
            check_out: day(KNOWN + 5)?,
            party,
            notes: row.get(KNOWN + 13)?,
            payment: row.get::<String>(KNOWN + 14)?.and_then(|name| Recording::parse(&name)),
        },
        verified: row.get(KNOWN + 10)?.unwrap_or_default(),
        ended: row.get(KNOWN + 11)?.unwrap_or_default(),
        changed_at: row.get::<f64>(KNOWN + 12)?.map(time),
    }))
}

pub(super) fn natural(row: &Tuple, column: usize) -> Result<u32> {
    Ok(row.get::<i32>(column)?.and_then(|number| u32::try_from(number).ok()).unwrap_or_default())
}
