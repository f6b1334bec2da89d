//! What the worker remembers across restarts: the token and when tokens were asked for, the quota's levels, refused
//! credentials. Main thread only, inside a transaction.

use std::time::Duration;

use chrono::{DateTime, Utc};
use pgrx::datum::DatumWithOid;

use crate::domain::error::ErrorClass;
use crate::domain::lane::{Blocked, Lane, REFUSED_PAUSE};
use crate::domain::redact::Secret;
use crate::domain::token::{Token, is_sendable};
use crate::pg::db::convert::{seconds, time};
use crate::pg::db::session::Result;
use crate::pg::db::statement;

/// The longest pause that a Retry-After is followed for; more after a restart means that the clock went back.
const LONGEST_HOLD: Duration = Duration::from_secs(3600);

/// What is written beside the lane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusUpdate {
    /// The last success.
    pub success: Option<DateTime<Utc>>,
    /// The last error, in words.
    pub error: Option<String>,
    /// The API's clock minus ours.
    pub clock_skew_ms: Option<i64>,
}

/// Fills a new lane with what the last worker knew. `mark` names the credentials.
pub fn load(lane: &mut Lane, mark: Option<&str>, now: Duration) -> Result<()> {
    let found = statement::row(include_str!("../../../sql/queries/worker/load_state.sql"), &[], |row| {
        let blocked = (row.get::<String>(3)?, row.get::<f64>(4)?, row.get::<f64>(7)?, row.get::<String>(8)?);
        Ok((row.get::<Vec<f64>>(1)?, row.get::<f64>(2)?, blocked, row.get::<String>(5)?, row.get::<f64>(6)?))
    })?;
    if let Some((levels, age, (error, at, until, class), refused, held)) = found {
        // What Retry-After asked for holds for us, not for the process that was told.
        let held = held.and_then(|held| Duration::try_from_secs_f64(held).ok()).map(|held| held.min(LONGEST_HOLD));
        if let Some(held) = held {
            lane.quota.hold(now.saturating_add(held));
        }
        let levels: Option<[f64; 3]> = levels.and_then(|levels| levels.try_into().ok());
        if let (Some(levels), Some(age)) = (levels, age) {
            lane.quota.restore(levels, Duration::try_from_secs_f64(age).unwrap_or_default(), now);
        }
        if let (Some(sentence), Some(at)) = (error, at) {
            let until = until.map_or(time(at) + REFUSED_PAUSE, time);
            let class = class.and_then(|name| ErrorClass::parse(&name)).unwrap_or(ErrorClass::Credentials);
            let blocked = Blocked { class, sentence, since: time(at), until };
            lane.blocked = Some(blocked).filter(|_| mark.is_some() && refused.as_deref() == mark);
        }
    }
    if let Some(mark) = mark {
        // An earlier version kept any.
        lane.token = load_token(mark)?.filter(|token| is_sendable(token.value.reveal()));
        lane.history = token_history(mark)?;
    }
    Ok(())
}

fn load_token(mark: &str) -> Result<Option<Token>> {
    statement::row(include_str!("../../../sql/queries/worker/load_token.sql"), &[mark.into()], |row| {
        Ok(Token {
            value: Secret::new(row.get(1)?.unwrap_or_default()),
            fetched_at: time(row.get(2)?.unwrap_or_default()),
            expires_at: time(row.get(3)?.unwrap_or_default()),
        })
    })
}

fn token_history(mark: &str) -> Result<Vec<DateTime<Utc>>> {
    statement::rows(include_str!("../../../sql/queries/worker/token_requests.sql"), &[mark.into()], |row| {
        Ok(time(row.get(1)?.unwrap_or_default()))
    })
}

/// Writes what a successor should know, and what `guestly.status` shows.
pub fn save(
    lane: &mut Lane,
    news: &StatusUpdate,
    mark: Option<&str>,
    now: Duration,
    wall: DateTime<Utc>,
) -> Result<()> {
    let held =
        lane.quota.held_until().filter(|until| *until > now).map(|until| seconds(wall) + (until - now).as_secs_f64());
    let blocked = lane.blocked.as_ref();
    let args: [DatumWithOid; 11] = [
        lane.breaker.state().as_str().into(),
        held.into(),
        lane.quota.levels(now).to_vec().into(),
        news.success.map(seconds).into(),
        news.error.clone().into(),
        blocked.map(|blocked| blocked.sentence.clone()).into(),
        blocked.map(|blocked| seconds(blocked.since)).into(),
        blocked.and(mark).into(),
        news.clock_skew_ms.into(),
        blocked.map(|blocked| seconds(blocked.until)).into(),
        blocked.map(|blocked| blocked.class.as_str()).into(),
    ];
    statement::run(include_str!("../../../sql/queries/worker/save_state.sql"), &args)
}

/// Keeps a token.
pub fn save_token(token: &Token, mark: &str) -> Result<()> {
    let args: [DatumWithOid; 4] =
        [token.value.reveal().into(), seconds(token.fetched_at).into(), seconds(token.expires_at).into(), mark.into()];
    statement::run(include_str!("../../../sql/queries/worker/save_token.sql"), &args)
}

/// Forgets a token that Guestly rejected.
pub fn delete_token() -> Result<()> {
    statement::run(include_str!("../../../sql/queries/worker/delete_token.sql"), &[])
}

/// A token request is about to leave.
pub fn add_token_request(at: DateTime<Utc>, mark: &str) -> Result<()> {
    statement::run(
        include_str!("../../../sql/queries/worker/add_token_request.sql"),
        &[seconds(at).into(), mark.into()],
    )
}

/// It certainly never left.
pub fn delete_token_request(at: DateTime<Utc>) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/worker/delete_token_request.sql"), &[seconds(at).into()])
}

/// The answer to `guestly_test_alert()`.
pub fn save_test_mail_answer(words: &str) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/worker/save_test_mail_answer.sql"), &[words.into()])
}

/// An alert mail is about to leave, or none is under way: since when, for the doctor.
pub fn save_mail_under_way(leaves: bool) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/worker/save_mail_since.sql"), &[leaves.into()])
}

/// The answer to `guestly_doctor(online => true)`.
pub fn save_doctor_answer(status: &str, words: &str) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/worker/save_doctor_answer.sql"), &[status.into(), words.into()])
}

/// Whose certificates TLS trusts, or why there are none.
pub fn save_tls_roots(roots: std::result::Result<&str, &str>) -> Result<()> {
    let args: [DatumWithOid; 2] = [roots.ok().into(), roots.err().into()];
    statement::run(include_str!("../../../sql/queries/worker/save_tls_roots.sql"), &args)
}

/// Notes what is wrong with the settings of mail, for the doctor.
pub fn save_mail_problem(problem: Option<&str>) -> Result<()> {
    statement::run(include_str!("../../../sql/queries/worker/save_mail_problem.sql"), &[problem.into()])
}
