//! Raises errors and warnings with SQLSTATE, message, detail and hint. Called by `pg`; main thread.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::session::SqlError;
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::redact::clean;

/// Raises an ERROR with an optional detail, and a hint that says what to do.
pub fn raise(code: PgSqlErrorCode, message: impl Into<String>, detail: Option<&str>, hint: &str) -> ! {
    let report = ErrorReport::new(code, message.into(), "guestly_sync").set_hint(hint);
    let report = if let Some(detail) = detail { report.set_detail(detail) } else { report };
    report.report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// Raises a WARNING with a hint.
pub fn warn(code: PgSqlErrorCode, message: impl Into<String>, hint: &str) {
    ErrorReport::new(code, message.into(), "guestly_sync").set_hint(hint).report(PgLogLevel::WARNING);
}

/// Raises the problem of a booking as an ERROR.
pub fn raise_problem(problem: &Problem, booking_id: &str) -> ! {
    let hint = match problem.class {
        ErrorClass::UnknownListing => {
            "Add the property: INSERT INTO guestly.listings (property, listing_id) VALUES ('…', '…')."
        }
        ErrorClass::UnknownStatus => {
            "Add the status: INSERT INTO guestly.status_map (booking_status, guestly_status) VALUES ('…', 'confirmed')."
        }
        _ => "Correct the booking, or the expression in guestly.field_map.",
    };
    let detail = format!("Booking {} cannot be sent as it is.", clean(booking_id, 80));
    raise(PgSqlErrorCode::ERRCODE_DATA_EXCEPTION, problem.to_string(), Some(&detail), hint)
}

/// Raises an SQL error again with its SQLSTATE and detail, reduced to text that may appear in the server's log.
pub fn raise_sql(error: &SqlError, hint: &str) -> ! {
    raise(error.code, error.safe_message(), error.safe_detail().as_deref(), hint)
}
