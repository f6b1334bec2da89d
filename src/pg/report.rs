//! Errors and warnings for the person at the other end: SQLSTATE, message and hint. Main thread.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::session::SqlError;
use crate::domain::error::{ErrorClass, Problem};

/// Raises an ERROR with a hint that says what to do.
pub fn raise(code: PgSqlErrorCode, message: impl Into<String>, hint: &str) -> ! {
    ErrorReport::new(code, message.into(), "guestly_sync").set_hint(hint).report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// A WARNING with a hint.
pub fn warn(code: PgSqlErrorCode, message: impl Into<String>, hint: &str) {
    ErrorReport::new(code, message.into(), "guestly_sync").set_hint(hint).report(PgLogLevel::WARNING);
}

/// Raises what was wrong with a booking.
pub fn raise_problem(problem: &Problem) -> ! {
    let hint = match problem.class {
        ErrorClass::UnknownListing => {
            "Add the property: INSERT INTO guestly.listings (property, listing_id) VALUES ('…', '…')."
        }
        ErrorClass::UnknownStatus => {
            "Add the status: INSERT INTO guestly.status_map (booking_status, guestly_status) VALUES ('…', 'confirmed')."
        }
        _ => "Correct the booking, or the expression in guestly.field_map.",
    };
    raise(PgSqlErrorCode::ERRCODE_DATA_EXCEPTION, problem.to_string(), hint)
}

/// Raises an SQL error again, with its own SQLSTATE, as far as its words may stand in the server's log.
pub fn raise_sql(error: &SqlError, hint: &str) -> ! {
    raise(error.code, error.words(), hint)
}
