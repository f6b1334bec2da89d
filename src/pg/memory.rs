//! What the worker remembers across restarts: the token and when tokens were asked for, the quota's levels, refused
//! credentials. Main thread only, inside a transaction.

use std::time::Duration;

use chrono::{DateTime, Utc};
use pgrx::datum::DatumWithOid;

use super::queue::{seconds, time};
use super::session::Result;
use super::statement;
use crate::domain::error::ErrorClass;
use crate::domain::redact::Secret;
use crate::domain::retry::MAX_RETRY_AFTER;
use crate::domain::retry::TOKEN_REFUSED_PAUSE;
use crate::domain::send_gate::{Blocked, SendGate};
use crate::domain::token::{Token, is_sendable};

/// What is written beside the send gate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// The last success.
    pub success: Option<DateTime<Utc>>,
    /// The last error, in words.
    pub error: Option<String>,
    /// The API's clock minus ours.
    pub clock_skew_ms: Option<i64>,
}

/// Fills a new send gate with what the last worker knew. `mark` names the credentials.
pub fn recall(send_gate: &mut SendGate, mark: Option<&str>, now: Duration) -> Result<()> {
    let found = statement::row(include_str!("../../sql/queries/recall.sql"), &[], |row| {
        let blocked = (row.get::<String>(3)?, row.get::<f64>(4)?, row.get::<f64>(7)?, row.get::<String>(8)?);
        Ok((row.get::<Vec<f64>>(1)?, row.get::<f64>(2)?, blocked, row.get::<String>(5)?, row.get::<f64>(6)?))
    })?;
    if let Some((levels, age, (error, at, until, class), refused, held)) = found {
        // What Retry-After asked for holds for us, not for the process that was told.
        let held = held.and_then(|held| Duration::try_from_secs_f64(held).ok()).map(|held| held.min(MAX_RETRY_AFTER));
        if let Some(held) = held {
            send_gate.limiter.pause_until(now.saturating_add(held));
        }
        let levels: Option<[f64; 3]> = levels.and_then(|levels| levels.try_into().ok());
        if let (Some(levels), Some(age)) = (levels, age) {
            send_gate.limiter.restore(levels, Duration::try_from_secs_f64(age).unwrap_or_default(), now);
        }
        if let (Some(sentence), Some(at)) = (error, at) {
            let until = until.map_or(time(at) + TOKEN_REFUSED_PAUSE, time);
            let class = class.and_then(|name| ErrorClass::parse(&name)).unwrap_or(ErrorClass::Credentials);
            let blocked = Blocked { class, sentence, since: time(at), until };
            send_gate.tokens.blocked = Some(blocked).filter(|_| mark.is_some() && refused.as_deref() == mark);
        }
    }
    if let Some(mark) = mark {
        // An earlier version kept any.
        send_gate.tokens.token = load_token(mark)?.filter(|token| is_sendable(token.value.reveal()));
        send_gate.tokens.history = token_history(mark)?;
    }
    Ok(())
}

fn load_token(mark: &str) -> Result<Option<Token>> {
    statement::row(include_str!("../../sql/queries/token_load.sql"), &[mark.into()], |row| {
        Ok(Token {
            value: Secret::new(row.get(1)?.unwrap_or_default()),
            fetched_at: time(row.get(2)?.unwrap_or_default()),
            expires_at: time(row.get(3)?.unwrap_or_default()),
        })
    })
}

fn token_history(mark: &str) -> Result<Vec<DateTime<Utc>>> {
    statement::rows(include_str!("../../sql/queries/token_history.sql"), &[mark.into()], |row| {
        Ok(time(row.get(1)?.unwrap_or_default()))
    })
}

/// Writes what a successor should know, and what `guestly.status` shows.
pub fn remember(
    send_gate: &mut SendGate,
    news: &News,
    mark: Option<&str>,
    now: Duration,
    wall: DateTime<Utc>,
) -> Result<()> {
    let held = send_gate
        .limiter
        .paused_until()
        .filter(|until| *until > now)
        .map(|until| seconds(wall) + (until - now).as_secs_f64());
    let blocked = send_gate.tokens.blocked.as_ref();
    let args: [DatumWithOid; 11] = [
        send_gate.breaker.state().as_str().into(),
        held.into(),
        send_gate.limiter.levels(now).to_vec().into(),
        news.success.map(seconds).into(),
        news.error.clone().into(),
        blocked.map(|blocked| blocked.sentence.clone()).into(),
        blocked.map(|blocked| seconds(blocked.since)).into(),
        blocked.and(mark).into(),
        news.clock_skew_ms.into(),
        blocked.map(|blocked| seconds(blocked.until)).into(),
        blocked.map(|blocked| blocked.class.as_str()).into(),
    ];
    statement::run(include_str!("../../sql/queries/remember.sql"), &args)
}

/// Keeps a token.
pub fn save_token(token: &Token, mark: &str) -> Result<()> {
    let args: [DatumWithOid; 4] =
        [token.value.reveal().into(), seconds(token.fetched_at).into(), seconds(token.expires_at).into(), mark.into()];
    statement::run(include_str!("../../sql/queries/token_save.sql"), &args)
}

/// Forgets a token that Guestly rejected.
pub fn drop_token() -> Result<()> {
    statement::run(include_str!("../../sql/queries/token_drop.sql"), &[])
}

/// A token request is about to leave.
pub fn intend_token(at: DateTime<Utc>, mark: &str) -> Result<()> {
    statement::run(include_str!("../../sql/queries/token_intent.sql"), &[seconds(at).into(), mark.into()])
}

/// It certainly never left.
pub fn token_unsent(at: DateTime<Utc>) -> Result<()> {
    statement::run(include_str!("../../sql/queries/token_unsent.sql"), &[seconds(at).into()])
}

/// The answer to `guestly_test_alert()`.
pub fn answer_test_mail(words: &str) -> Result<()> {
    statement::run(include_str!("../../sql/queries/mail_answer.sql"), &[words.into()])
}

/// An alert mail is about to leave, or none is under way: since when, for the doctor.
pub fn mail_leaves(leaves: bool) -> Result<()> {
    statement::run(include_str!("../../sql/queries/mail_since.sql"), &[leaves.into()])
}

/// The answer to `guestly_doctor(online => true)`.
pub fn answer_doctor(status: &str, words: &str) -> Result<()> {
    statement::run(include_str!("../../sql/queries/answer_doctor.sql"), &[status.into(), words.into()])
}

/// Whose certificates TLS trusts, or why there are none.
pub fn note_roots(roots: std::result::Result<&str, &str>) -> Result<()> {
    let args: [DatumWithOid; 2] = [roots.ok().into(), roots.err().into()];
    statement::run(include_str!("../../sql/queries/tls_roots.sql"), &args)
}
