//! Reading the bookings of a claim: one whose mapping fails or does not end takes no other down. Part of `pg::claim`; main
//! thread only.

use std::collections::HashMap;
use std::time::Instant;

use pgrx::PgSqlErrorCode;

use crate::domain::field::Row;
use crate::pg::bookings::Bookings;
use crate::pg::host_code;
use crate::pg::record::{Access, Patience};
use crate::pg::session::{Result, SqlError};

/// The result of reading.
#[derive(Default)]
pub struct Reading {
    /// Rows by booking; none: it does not exist. Errors: the row cannot be read, and that does not pass.
    pub rows: HashMap<String, Result<Option<Row>>>,
    /// Bookings that cannot be read at the moment, because of a lock.
    pub busy: Vec<String>,
    /// Some were not looked at: the others have taken too long.
    pub left: bool,
}

/// All bookings together, or one by one where that fails. What is missing in the answer rests (`patience`) or was left.
pub fn read(bookings: &Bookings, ids: &[String], patience: &mut Patience) -> Reading {
    let mut reading = Reading::default();
    let mut locked = false;
    if ids.len() > 1 && !host_code::is_careful() && !patience.is_slow(Access::Read) {
        match host_code::for_several(|| bookings.read(ids)) {
            Ok(rows) => {
                let mut found: HashMap<String, Row> =
                    rows.into_iter().map(|row| (row.booking_id.clone(), row)).collect();
                ids.iter().for_each(|id| patience.over(Access::Read, id));
                reading.rows = ids.iter().map(|id| (id.clone(), Ok(found.remove(id)))).collect();
                return reading;
            }
            Err(error) => locked = waits_for_lock(&error),
        }
    }
    let mut in_turn: Vec<&String> = ids.iter().collect();
    in_turn.sort_by_key(|id| patience.tries(Access::Read, id));
    let began = Instant::now();
    for id in in_turn {
        if began.elapsed() >= host_code::SHORT {
            reading.left = true;
            break;
        }
        let error = read_one(bookings, id, patience, &mut reading);
        if locked && error.is_some_and(|error| waits_for_lock(&error)) {
            // A read waits for no row: the whole table is locked. If it is only this booking's mapping that waits, the next
            // claim goes on without it.
            patience.waits(Access::Read, id);
            reading.busy.extend(ids.iter().filter(|other| !reading.rows.contains_key(*other)).cloned());
            reading.busy.retain(|other| other != id);
            break;
        }
    }
    reading
}

/// Gives the error of one that is tried again.
fn read_one(bookings: &Bookings, id: &String, patience: &mut Patience, reading: &mut Reading) -> Option<SqlError> {
    let limit = patience.limit(Access::Read, id);
    let began = Instant::now();
    match host_code::for_one(id, limit, || bookings.read(std::slice::from_ref(id))) {
        Err(error) if is_lock(&error) => {
            reading.busy.push(id.clone());
            Some(error)
        }
        Err(error) if passes(&error) && patience.bears(Access::Read, id, error.is_cancel()) => {
            if patience.tries(Access::Read, id) == 1 {
                host_code::warn(id, "read", &error);
            }
            Some(error)
        }
        result => {
            if result.is_ok() {
                patience.passed(Access::Read, id, began.elapsed());
            }
            patience.over(Access::Read, id);
            reading.rows.insert(id.clone(), result.map(|rows| rows.into_iter().next()));
            None
        }
    }
}

fn waits_for_lock(error: &SqlError) -> bool {
    error.code == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE
}

/// Someone else's lock, or a full disk: waiting helps, however long it takes.
fn is_lock(error: &SqlError) -> bool {
    error.is_transient() && error.code != PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY
}

/// True for an error of the moment, which says nothing about the booking: it was cancelled, or the server or something that the
/// mapping reads is in trouble.
pub fn passes(error: &SqlError) -> bool {
    // The first two characters of the SQLSTATE, six bits each, lowest first.
    const fn class(first: u8, second: u8) -> i32 {
        (first - b'0') as i32 | (((second - b'0') as i32) << 6)
    }
    const CLASSES: [i32; 6] = [
        class(b'0', b'8'),
        class(b'4', b'0'),
        class(b'5', b'3'),
        class(b'5', b'5'),
        class(b'5', b'7'),
        class(b'5', b'8'),
    ];
    CLASSES.contains(&(error.code as i32 & 0xFFF))
}
