//! SQL functions written in Rust, in the schema `guestly`, for tasks that SQL cannot do. Called by the public functions of
//! `sql/schema/4_functions.sql`; only the extension's owner may execute them. Main thread of a session.

mod attach;

/// The functions of the schema `guestly`, which `sql/schema` declares.
mod guestly {
    use std::time::{Duration, Instant};

    use chrono::NaiveDate;
    use pgrx::JsonB;
    use pgrx::datum::TimestampWithTimeZone;
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::domain::field::{Field, Row};
    use crate::domain::plan;
    use crate::domain::redact::clean;
    use crate::pg::db::report::{raise, raise_problem, raise_sql};
    use crate::pg::host::bookings::Bookings;
    use crate::pg::{credentials, db::session, settings, shm, store, sys, trigger};

    /// Time that the worker needs besides its calls: to end its cycle and to write the answer.
    const MARGIN: Duration = Duration::from_secs(5);
    const NOT_ATTACHED: &str = "Call SELECT guestly_attach('your_table') on the table that holds the bookings.";

    fn source_table() -> Bookings {
        match Bookings::load() {
            Ok(Some(bookings)) => bookings,
            Ok(None) => raise(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "no table of bookings is attached",
                Some("guestly.attachment has no row."),
                NOT_ATTACHED,
            ),
            Err(error) => raise_sql(&error, NOT_ATTACHED),
        }
    }

    fn read(bookings: &Bookings, booking_id: &str) -> Option<Row> {
        match bookings.read(&[booking_id.to_owned()]) {
            Ok(rows) => rows.into_iter().next(),
            // A mapping expression could raise the same error.
            Err(error) if !bookings.is_key(booking_id) => {
                let message = format!("'{}' is not a booking id", clean(booking_id, 80));
                raise(
                    error.code,
                    message,
                    Some(&error.safe_message()),
                    "Give the primary key of a row of the bookings table.",
                )
            }
            Err(error) => raise_sql(&error, "See guestly.field_map: an expression may be wrong."),
        }
    }

    /// Facts about a booking for SQL functions; null if it does not exist. Errors: not a key of that type.
    #[pg_extern(sql = false)]
    fn booking(booking_id: &str) -> Option<JsonB> {
        let row = read(&source_table(), booking_id)?;
        Some(JsonB(json!({
            "booking_id": row.booking_id,
            "paid": row.is_paid(&settings::paid_statuses()),
            "payment_status": row.get(Field::PaymentStatus),
            "status": row.get(Field::Status),
            "arrival": row.get(Field::CheckIn).and_then(|day| day.get(..10)),
            "reference": row.get(Field::Reference),
        })))
    }

    /// The request that would create the booking's reservation, exactly as it would be sent. Errors: the booking cannot be
    /// mapped.
    #[pg_extern(sql = false)]
    fn preview(booking_id: &str) -> Option<JsonB> {
        let bookings = source_table();
        let row = read(&bookings, booking_id)?;
        let rules = store::rules::load(&bookings, &settings::Settings::load())
            .unwrap_or_else(|error| raise_sql(&error, NOT_ATTACHED));
        let reservation = plan::map(&row, &rules).unwrap_or_else(|problem| raise_problem(&problem, booking_id));
        let request = reservation.create();
        Some(JsonB(json!({ "method": request.method.as_str(), "path": request.path, "body": request.body })))
    }

    /// Resets bookings to `pending`, without error and attempts. Runs as the table's owner.
    #[pg_extern(sql = false)]
    fn mark_pending(booking_ids: Vec<String>) {
        if let Err(error) = source_table().mark_pending(&booking_ids) {
            raise_sql(&error, "Nothing was queued.");
        }
    }

    /// Every paid booking; if the table has `created_at`, those created after `since` (seconds since the Unix epoch). Runs as the
    /// table's owner.
    #[pg_extern(sql = false)]
    #[allow(clippy::type_complexity)] // The columns of a table function are one type to pgrx.
    fn paid_bookings(
        since: default!(Option<f64>, "NULL"),
    ) -> TableIterator<
        'static,
        (
            name!(booking_id, String),
            name!(reservation_id, Option<String>),
            name!(arrival, Option<String>),
            name!(departure, Option<String>),
            name!(reference, Option<String>),
            name!(payment_status, Option<String>),
        ),
    > {
        let found = source_table()
            .paid(&settings::paid_statuses(), since)
            .unwrap_or_else(|error| raise_sql(&error, NOT_ATTACHED));
        let text = |day: Option<NaiveDate>| day.map(|day| day.to_string());
        TableIterator::new(found.into_iter().map(move |paid| {
            let (arrival, departure) = (text(paid.arrival), text(paid.departure));
            (paid.booking_id, paid.reservation_id, arrival, departure, paid.reference, paid.payment_status)
        }))
    }

    /// The distinct statuses of paid bookings. Runs as the table's owner.
    #[pg_extern(sql = false)]
    fn paid_booking_statuses() -> Vec<String> {
        source_table().statuses(&settings::paid_statuses()).unwrap_or_else(|error| raise_sql(&error, NOT_ATTACHED))
    }

    /// Checks a mapping expression. Errors: the problem with it.
    #[pg_extern(sql = false)]
    fn check_expression(field: &str, expression: &str) {
        if !Field::ALL.iter().any(|known| known.name() == field) {
            let names: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
            let fields = format!("The fields are {}.", names.join(", "));
            raise(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                format!("'{}' is not a field of a reservation", clean(field, 60)),
                Some(&fields),
                "Use one of these fields.",
            );
        }
        // Without a source table there is nothing to check against; guestly_attach checks all expressions.
        let Ok(Some(bookings)) = Bookings::load() else { return };
        if let Err(error) = bookings.check(expression) {
            let message = format!("the expression for '{field}' is wrong: {}", error.message);
            let hint = match error.code {
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE => {
                    "It runs with the rights of the table's owner, who must be allowed to read what it names, and every row (ALTER TABLE … NO FORCE ROW LEVEL SECURITY)."
                }
                _ => "Write one SQL expression over the booking row b, e.g. b.total.",
            };
            raise(error.code, message, Some(&format!("The expression is: {}", clean(expression, 500))), hint);
        }
    }

    /// The columns that the mapping reads, by number; 0 is the whole row. Errors: an expression is wrong.
    #[pg_extern(sql = false)]
    fn mapped_columns() -> Vec<i16> {
        let hint = "See guestly.field_map: an expression may be wrong.";
        source_table().columns_read().unwrap_or_else(|error| raise_sql(&error, hint))
    }

    /// True for a payment status that means paid.
    #[pg_extern(sql = false)]
    fn is_paid(payment_status: &str) -> bool {
        trigger::is_paid(payment_status)
    }

    /// Wakes this database's worker when the transaction commits.
    #[pg_extern(sql = false)]
    fn wake_worker() {
        shm::wake_at_commit();
    }

    /// The live worker of this database; no row if there is none.
    #[pg_extern(sql = false)]
    fn live_worker() -> TableIterator<'static, (name!(pid, i32), name!(since, TimestampWithTimeZone))> {
        let epoch = |micros: i64| pgrx::datum::to_timestamp(micros as f64 / 1e6);
        TableIterator::new(shm::live_worker().map(|(pid, since)| (pid, epoch(since))))
    }

    /// Asks the worker to test the credentials and waits for its answer, at most for the time of a token request and a look-up;
    /// false if there is no worker or no answer in time.
    #[pg_extern(sql = false)]
    fn ask_worker() -> bool {
        if shm::live_worker().is_none() {
            return false;
        }
        let Some(question) = shm::ask_doctor() else { return false };
        let timeout = settings::Settings::load().request_timeout.saturating_mul(2) + MARGIN;
        wait_for(timeout, |slot| is_reached(slot.answered, question))
    }

    /// Asks the worker for a test mail and waits for the mail server's answer; false if there is none in time.
    #[pg_extern(sql = false)]
    fn ask_for_mail() -> bool {
        if shm::live_worker().is_none() {
            return false;
        }
        let Some(question) = shm::ask_test_mail() else { return false };
        // Another mail may be ahead of it; each takes at most 30 s.
        wait_for(Duration::from_secs(70), |slot| is_reached(slot.mail_answered, question))
    }

    /// True if `question` or a later one was answered: an answer counts for all earlier questions. The numbers wrap around.
    fn is_reached(answered: u32, question: u32) -> bool {
        answered.wrapping_sub(question) < u32::MAX / 2
    }

    /// Waits until the worker has answered; false after `timeout`, or if the worker ends.
    fn wait_for(timeout: Duration, answered: impl Fn(&shm::Slot) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        while !answered(&shm::slot(sys::my_database())) {
            if Instant::now() > deadline || shm::live_worker().is_none() {
                return false;
            }
            pgrx::check_for_interrupts!();
            sys::wait(None, Some(Duration::from_millis(20)));
        }
        true
    }

    /// True when the library was loaded through shared_preload_libraries.
    #[pg_extern(sql = false)]
    fn is_preloaded() -> bool {
        shm::is_preloaded()
    }

    /// The setting shared_preload_libraries, which otherwise only members of pg_read_all_settings may read.
    #[pg_extern(sql = false)]
    fn preloaded_libraries() -> String {
        sys::setting(c"shared_preload_libraries").unwrap_or_default()
    }

    /// Version of the loaded library.
    #[pg_extern(sql = false)]
    fn library_version() -> &'static str {
        crate::version::VERSION
    }

    /// The search path of the session at its last CREATE EXTENSION, which sets another one for its script.
    #[pg_extern(sql = false)]
    fn caller_search_path() -> Option<String> {
        shm::caller_search_path()
    }

    /// The settings in effect: set, from the environment, or the defaults. No secrets.
    #[pg_extern(sql = false)]
    fn setting_values() -> JsonB {
        let settings = settings::Settings::load();
        let credentials = session::subtransaction(|| Ok(credentials::load())).ok().flatten();
        JsonB(json!({
            "enabled": settings.enabled,
            "test_mode": settings.test_mode,
            "environment": settings::environment(),
            "credentials": credentials.map(|credentials| credentials.source),
            "mail": settings.mail.is_configured(),
            "mail_to": settings.mail.to,
            "payment_method": settings.payments.method.as_ref().map(|method| &method.method),
            "payment_problem": settings.payments.problem,
            "paid_statuses": settings::paid_statuses(),
            "stale_after_seconds": settings::stale_after().as_secs(),
        }))
    }

    /// This server and database, as `guestly.installations` names them.
    #[pg_extern(sql = false)]
    fn this_installation() -> TableIterator<
        'static,
        (name!(system_identifier, String), name!(database_oid, pg_sys::Oid), name!(environment, String)),
    > {
        TableIterator::once(store::switches::installation())
    }
}
