//! Reads the bookings of a claim. A booking whose mapping fails or does not end in time does not stop the others. Part of
//! `pg::claim`; main thread only.

use std::collections::HashMap;
use std::time::Instant;

use pgrx::PgSqlErrorCode;

use crate::domain::field::Row;
use crate::pg::db::session::{Result, SqlError};
use crate::pg::host::bookings::Bookings;
use crate::pg::host_code;
use crate::pg::record_outcomes::{Access, WriteRetries};

/// The result of reading.
#[derive(Default)]
pub struct Reading {
    /// Rows by booking; `None`: it does not exist. Errors are permanent.
    pub rows: HashMap<String, Result<Option<Row>>>,
    /// Bookings that cannot be read now because of a lock.
    pub locked: Vec<String>,
    /// Some were not read, because the others have taken too long.
    pub is_incomplete: bool,
}

/// Reads all bookings together or, if that fails, one by one. Bookings missing in the result wait (`retries`) or were not read.
pub fn read(bookings: &Bookings, ids: &[String], retries: &mut WriteRetries) -> Reading {
    let mut reading = Reading::default();
    let mut table_locked = false;
    if ids.len() > 1 && !host_code::is_cautious() && !retries.is_slow(Access::Read) {
        match host_code::for_several(|| bookings.read(ids)) {
            Ok(rows) => {
                let mut found: HashMap<String, Row> =
                    rows.into_iter().map(|row| (row.booking_id.clone(), row)).collect();
                ids.iter().for_each(|id| retries.clear(Access::Read, id));
                reading.rows = ids.iter().map(|id| (id.clone(), Ok(found.remove(id)))).collect();
                return reading;
            }
            Err(error) => table_locked = waits_for_lock(&error),
        }
    }
    let mut in_order: Vec<&String> = ids.iter().collect();
    in_order.sort_by_key(|id| retries.tries(Access::Read, id));
    let began = Instant::now();
    for id in in_order {
        if began.elapsed() >= host_code::SHORT_LIMIT {
            reading.is_incomplete = true;
            break;
        }
        let error = read_one(bookings, id, retries, &mut reading);
        if table_locked && error.is_some_and(|error| waits_for_lock(&error)) {
            // Reads do not wait for row locks: the whole table is locked. If only this booking's mapping waits, the next claim
            // skips it.
            retries.record_wait(Access::Read, id);
            reading.locked.extend(ids.iter().filter(|other| !reading.rows.contains_key(*other)).cloned());
            reading.locked.retain(|other| other != id);
            break;
        }
    }
    reading
}

/// Reads one booking. Returns the error if it will be tried again.
fn read_one(bookings: &Bookings, id: &String, retries: &mut WriteRetries, reading: &mut Reading) -> Option<SqlError> {
    let limit = retries.limit(Access::Read, id);
    let began = Instant::now();
    match host_code::for_one(id, limit, || bookings.read(std::slice::from_ref(id))) {
        Err(error) if is_lock(&error) => {
            reading.locked.push(id.clone());
            Some(error)
        }
        Err(error) if is_temporary(&error) && retries.record_failure(Access::Read, id, error.is_cancel()) => {
            if retries.tries(Access::Read, id) == 1 {
                host_code::warn(id, "read", &error);
            }
            Some(error)
        }
        result => {
            if result.is_ok() {
                retries.record_duration(Access::Read, id, began.elapsed());
            }
            retries.clear(Access::Read, id);
            reading.rows.insert(id.clone(), result.map(|rows| rows.into_iter().next()));
            None
        }
    }
}

fn waits_for_lock(error: &SqlError) -> bool {
    error.code == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE
}

/// True for another transaction's lock or a full disk: retried without limit.
fn is_lock(error: &SqlError) -> bool {
    error.is_transient() && error.code != PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY
}

/// True for an error that is not about the booking: the statement was cancelled, or the server or a source that the mapping
/// reads has a temporary problem.
pub fn is_temporary(error: &SqlError) -> bool {
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
