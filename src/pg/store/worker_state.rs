//! The worker state: levels of the rate limiter, refused credentials, the access token and its requests, and answers for
//! sessions. Called by `pg::worker`; main thread only, inside a transaction.

use std::time::Duration;

use chrono::{DateTime, Utc};
use pgrx::datum::DatumWithOid;

use crate::domain::error::ErrorClass;
use crate::domain::redact::Secret;
use crate::domain::retry::{MAX_RETRY_AFTER, TOKEN_REFUSED_PAUSE};
use crate::domain::send_gate::{Blocked, SendGate};
use crate::domain::token::{Token, is_sendable};
use crate::pg::db::convert::{Named, seconds, time};
use crate::pg::db::session::Result;
use crate::pg::db::statement::{self, Tuple};

/// Changes of the status that do not come from the send gate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusUpdate {
    /// The last success.
    pub success: Option<DateTime<Utc>>,
    /// The last error.
    pub error: Option<String>,
    /// The API's clock minus ours, in milliseconds.
    pub clock_skew_ms: Option<i64>,
}

/// Loads the state of the previous worker into a new send gate. `fingerprint`: that of the credentials.
pub fn load(send_gate: &mut SendGate, fingerprint: Option<&str>, now: Duration) -> Result<()> {
    let found = statement::row(include_str!("../../../sql/queries/worker/load_state.sql"), &[], |row| {
        Ok(Saved {
            levels: row.get_by_name("rate_levels")?,
            levels_age: row.get_by_name("rate_levels_age")?,
            pause_left: row.get_by_name("pause_left")?,
            blocked: blocked(row)?,
            fingerprint: row.text("credentials_fingerprint")?,
        })
    })?;
    if let Some(saved) = found {
        // Retry-After applies to this client, whichever process received it.
        let pause = saved.pause_left.and_then(|left| Duration::try_from_secs_f64(left).ok());
        if let Some(pause) = pause {
            send_gate.limiter.pause_until(now.saturating_add(pause.min(MAX_RETRY_AFTER)));
        }
        let levels: Option<[f64; 3]> = saved.levels.and_then(|levels| levels.try_into().ok());
        if let (Some(levels), Some(age)) = (levels, saved.levels_age) {
            send_gate.limiter.restore(levels, Duration::try_from_secs_f64(age).unwrap_or_default(), now);
        }
        if saved.blocked.is_some() {
            send_gate.tokens.blocked =
                saved.blocked.filter(|_| fingerprint.is_some() && saved.fingerprint.as_deref() == fingerprint);
        }
    }
    if let Some(fingerprint) = fingerprint {
        // An earlier version saved tokens without this check.
        send_gate.tokens.token = load_token(fingerprint)?.filter(|token| is_sendable(token.value.reveal()));
        send_gate.tokens.history = token_history(fingerprint)?;
    }
    Ok(())
}

/// The row of `guestly.worker`, as far as a successor needs it.
struct Saved {
    levels: Option<Vec<f64>>,
    /// Seconds since the levels were saved.
    levels_age: Option<f64>,
    /// Seconds until the end of the pause.
    pause_left: Option<f64>,
    blocked: Option<Blocked>,
    fingerprint: Option<String>,
}

fn blocked(row: &Tuple) -> Result<Option<Blocked>> {
    let (Some(sentence), Some(since)) = (row.text("credentials_error")?, row.time("credentials_error_at")?) else {
        return Ok(None);
    };
    let until = row.time("credentials_until")?.unwrap_or(since + TOKEN_REFUSED_PAUSE);
    let class = row.text("credentials_class")?.and_then(|name| ErrorClass::parse(&name));
    Ok(Some(Blocked { class: class.unwrap_or(ErrorClass::Credentials), sentence, since, until }))
}

fn load_token(fingerprint: &str) -> Result<Option<Token>> {
    statement::row(include_str!("../../../sql/queries/worker/load_token.sql"), &[fingerprint.into()], |row| {
        Ok(Token {
            value: Secret::new(row.text("access_token")?.unwrap_or_default()),
            fetched_at: row.time("fetched_at")?.unwrap_or_default(),
            expires_at: row.time("expires_at")?.unwrap_or_default(),
        })
    })
}

fn token_history(fingerprint: &str) -> Result<Vec<DateTime<Utc>>> {
    statement::rows(include_str!("../../../sql/queries/worker/token_requests.sql"), &[fingerprint.into()], |row| {
        Ok(time(row.get(1)?.unwrap_or_default()))
    })
}

/// Saves the state for a successor and for `guestly.status`.
pub fn save(
    send_gate: &mut SendGate,
    update: &StatusUpdate,
    fingerprint: Option<&str>,
    now: Duration,
    wall: DateTime<Utc>,
) -> Result<()> {
    let paused_until = send_gate
        .limiter
        .paused_until()
        .filter(|until| *until > now)
        .map(|until| seconds(wall) + (until - now).as_secs_f64());
    let blocked = send_gate.tokens.blocked.as_ref();
    let args: [DatumWithOid; 11] = [
        send_gate.breaker.state().as_str().into(),
        paused_until.into(),
        send_gate.limiter.levels(now).to_vec().into(),
        update.success.map(seconds).into(),
        update.error.clone().into(),
        blocked.map(|blocked| blocked.sentence.clone()).into(),
        blocked.map(|blocked| seconds(blocked.since)).into(),
        blocked.and(fingerprint).into(),
        update.clock_skew_ms.into(),
        blocked.map(|blocked| seconds(blocked.until)).into(),
        blocked.map(|blocked| blocked.class.as_str()).into(),
    ];
    statement::run(include_str!("../../../sql/queries/worker/save_state.sql"), &args)
}

/// Saves the token.
pub fn save_token(token: &Token, fingerprint: &str) -> Result<()> {
    let args: [DatumWithOid; 4] = [
        token.value.reveal().into(),
        seconds(token.fetched_at).into(),
        seconds(token.expires_at).into(),
        fingerprint.into(),
    ];
    statement::run(include_str!("../../../sql/queries/worker/save_token.sql"), &args)
}

/// Deletes a token that Guestly rejected.
pub fn delete_token() -> Result<()> {
    statement::run(include_str!("../../../sql/queries/worker/delete_token.sql"), &[])
}

/// Records a token request before it is sent.
pub fn add_token_request(at: DateTime<Utc>, fingerprint: &str) -> Result<()> {
    statement::run(
        include_str!("../../../sql/queries/worker/add_token_request.sql"),
        &[seconds(at).into(), fingerprint.into()],
    )
}

/// Deletes the record of a token request that was certainly not sent.
pub fn delete_token_request(at: DateTime<Utc>) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/worker/delete_token_request.sql"), &[seconds(at).into()])
}

/// Saves the answer to `guestly_test_alert()`.
pub fn save_test_mail_answer(text: &str) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/worker/save_test_mail_answer.sql"), &[text.into()])
}

/// Saves, for the doctor, that an alert mail is about to be sent, or that none is being sent.
pub fn save_mail_under_way(leaves: bool) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/worker/save_mail_since.sql"), &[leaves.into()])
}

/// Saves the answer to `guestly_doctor(online => true)`.
pub fn save_doctor_answer(status: &str, text: &str) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/worker/save_doctor_answer.sql"), &[status.into(), text.into()])
}

/// Saves the source of TLS certificates, or the reason why there are none.
pub fn save_tls_roots(roots: std::result::Result<&str, &str>) -> Result<()> {
    let args: [DatumWithOid; 2] = [roots.ok().into(), roots.err().into()];
    statement::run(include_str!("../../../sql/queries/worker/save_tls_roots.sql"), &args)
}

/// Saves the problem with the mail settings, for the doctor.
pub fn save_mail_problem(problem: Option<&str>) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/worker/save_mail_problem.sql"), &[problem.into()])
}
