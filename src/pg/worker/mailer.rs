//! The mailer: selects alerts for mails, sends them on a sender thread, and writes their outcomes. Part of the worker, main
//! thread.

mod state;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use pgrx::warning;

use self::state::MailPurpose;
use super::api::Purpose;
use super::completion::jitter;
use super::context::Ctx;
use crate::domain::alert::{Mail, MailBatch, MailLimits, MailStep, digest, mail_pause, select_for_mail, test_mail};
use crate::domain::redact::clean;
use crate::domain::retry::MAIL_TRANSACTION_PAUSE;
use crate::net::mail::{MailOutcome, MailSettings, check};
use crate::net::pool::Pool;
use crate::pg::db::session::Result;
use crate::pg::{settings, shm, store, sys};
use crate::version::VERSION;

pub(super) use self::state::Mailer;

/// The longest that one mail may take.
const MAIL_TIMEOUT: Duration = Duration::from_secs(30);
/// Marks the log line about alerts that are not mailed, so that a log watcher can find it.
const LOG_CODE: &str = "GUESTLY-ALERT";

/// The next step for the waiting alerts.
enum Step {
    Nothing,
    /// Check again after that time, or when there is a new alert.
    Later(Duration),
    Send(MailBatch, Mail),
}

impl Mailer {
    /// Writes the outcomes of sent mails, and sends the next mail that is due.
    pub(super) fn tick(&mut self, ctx: &mut Ctx, pool: Option<&Pool<Purpose>>) {
        self.complete(ctx, pool);
        self.send_test_mail_if_asked(ctx, pool);
        if store::alerts::take_raised() {
            (self.waiting, self.check_at) = (true, None);
        }
        if self.pause() != Some(Duration::ZERO) {
            return;
        }
        let wall = Utc::now();
        let after = |pause: Duration| Some(Instant::now() + pause);
        let step = ctx.transaction(|ctx| self.next_step(ctx, wall));
        self.waiting = !matches!(step, Some(Step::Nothing));
        self.check_at = match step {
            Some(Step::Send(batch, mail)) => {
                self.sending = true;
                let key = batch.key.clone();
                self.send(ctx, pool, MailPurpose::Alerts(batch), mail, key);
                None
            }
            Some(Step::Later(pause)) => after(pause),
            Some(Step::Nothing) => None,
            None => after(MAIL_TRANSACTION_PAUSE),
        };
    }

    /// Writes the outcomes of sent mails.
    pub(super) fn complete(&mut self, ctx: &mut Ctx, pool: Option<&Pool<Purpose>>) {
        for delivered in self.queue.take_finished() {
            match delivered.tag {
                MailPurpose::Alerts(batch) => self.ended = Some((batch, delivered.outcome)),
                MailPurpose::Test(question, used) => {
                    self.complete_test_mail(ctx, pool, question, &used, &delivered.outcome);
                }
            }
        }
        if self.ended.is_some() && self.not_before.is_none_or(|then| then <= Instant::now()) {
            self.record_outcome(ctx);
        }
    }

    /// After a reload, abandons a mail that is being sent with other settings, and records a problem with the settings for
    /// the doctor.
    pub(super) fn check_settings(&mut self, ctx: &mut Ctx) {
        let settings = mail_settings(ctx);
        self.try_again();
        self.abandon_unless(&settings);
        let problem = if ctx.settings.mail.is_configured() { check(&settings).err() } else { None };
        ctx.transaction(|ctx| {
            ctx.switches()?;
            if !ctx.is_usable() {
                return Ok(());
            }
            // A previous worker may have ended while it was sending a mail.
            if !self.sending {
                store::worker_state::save_mail_under_way(false)?;
            }
            store::worker_state::save_mail_problem(problem.as_deref())
        });
    }

    fn next_step(&mut self, ctx: &mut Ctx, wall: DateTime<Utc>) -> Result<Step> {
        let later = Ok(Step::Later(ctx.settings.poll_interval));
        let switches = ctx.switches()?;
        if !ctx.is_usable() {
            return later;
        }
        let (waiting, unknown) = store::alerts::waiting()?;
        if !unknown.is_empty() {
            let names = clean(&unknown.join(", "), 200);
            ctx.report(
                &format!("alerts of kinds that version {VERSION} does not know are not mailed: {names}"),
                "They stay in guestly.alerts; a newer version of the library may know them.",
            );
        }
        if waiting.is_empty() {
            return Ok(Step::Nothing);
        }
        // A server that is not armed sends no mails.
        if !switches.armed {
            return later;
        }
        if !ctx.settings.mail.is_configured() {
            self.warn_unmailed(waiting.len());
            return Ok(Step::Nothing);
        }
        let pending: Vec<_> = waiting.iter().map(|row| row.pending.clone()).collect();
        let limits = MailLimits { digest: ctx.settings.mail.digest, not_before: None };
        let plan = select_for_mail(&pending, &store::alerts::recently_mailed()?, &limits, wall);
        store::alerts::close(&plan.repeated, store::alerts::AlertState::Repeated, None)?;
        match plan.next {
            MailStep::Nothing => Ok(Step::Nothing),
            MailStep::At(then) => Ok(Step::Later((then - wall).to_std().unwrap_or_default())),
            MailStep::Send(batch) => {
                let content = crate::pg::host::alert_details::describe(&waiting, &batch, wall)?;
                let Some(mail) = digest(&content, wall, server_name().as_deref()) else { return Ok(Step::Nothing) };
                store::alerts::set_mail_key(&all_ids(&batch), Some(&batch.key), None)?;
                store::worker_state::save_mail_under_way(true)?;
                Ok(Step::Send(batch, mail))
            }
        }
    }

    fn warn_unmailed(&mut self, waiting: usize) {
        if self.warned_unmailed != waiting {
            self.warned_unmailed = waiting;
            warning!(
                "guestly_sync: {LOG_CODE}: {waiting} alert(s) wait in guestly.alerts, and mail is not configured; see guestly_doctor()"
            );
        }
    }

    /// Writes the outcome of a mail. The next mail waits for the commit: an accepted mail must not be sent again.
    fn record_outcome(&mut self, ctx: &mut Ctx) {
        let Some((batch, outcome)) = self.ended.take() else { return };
        let written = ctx.transaction(|_| {
            store::worker_state::save_mail_under_way(false)?;
            write_outcome(&batch, &outcome)
        });
        if written.is_none() {
            self.ended = Some((batch, outcome));
            self.not_before = Some(Instant::now() + MAIL_TRANSACTION_PAUSE);
            return;
        }
        (self.sending, self.waiting) = (false, true);
        let abandoned = std::mem::take(&mut self.abandoned);
        match outcome {
            MailOutcome::Refused { .. } | MailOutcome::Unreachable { .. } if abandoned => {}
            MailOutcome::Accepted { .. } => (self.failures, self.not_before) = (0, None),
            MailOutcome::Refused { permanent, answer } => self.retry_later(ctx, permanent, &answer),
            MailOutcome::Unreachable { why, .. } => self.retry_later(ctx, false, &why),
        }
    }

    fn retry_later(&mut self, ctx: &mut Ctx, permanent: bool, why: &str) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + mail_pause(self.failures, permanent, jitter()));
        ctx.report(&format!("alerts cannot be mailed: {why}"), "See guestly_doctor(); they wait in guestly.alerts.");
    }

    fn send(&mut self, ctx: &Ctx, pool: Option<&Pool<Purpose>>, purpose: MailPurpose, mail: Mail, key: String) {
        let settings = mail_settings(ctx);
        if let Some(pool) = pool {
            self.used = Some(settings.clone());
            self.queue.send(pool, purpose, settings, mail, key);
        }
    }

    fn send_test_mail_if_asked(&mut self, ctx: &Ctx, pool: Option<&Pool<Purpose>>) {
        let asked = shm::slot(sys::my_database()).mail_asked;
        if asked != self.asked {
            self.asked = asked;
            self.send_test_mail(ctx, pool, asked);
        }
    }

    fn send_test_mail(&mut self, ctx: &Ctx, pool: Option<&Pool<Purpose>>, question: u32) {
        let wall = Utc::now();
        let purpose = MailPurpose::Test(question, Box::new(mail_settings(ctx)));
        let mail = test_mail(wall, server_name().as_deref());
        self.send(ctx, pool, purpose, mail, format!("test-{}", wall.timestamp_micros()));
    }

    fn complete_test_mail(
        &mut self,
        ctx: &mut Ctx,
        pool: Option<&Pool<Purpose>>,
        question: u32,
        used: &MailSettings,
        outcome: &MailOutcome,
    ) {
        // A reload changed the settings since the question: the answer must be about the new ones.
        if !matches!(outcome, MailOutcome::Accepted { .. }) && *used != mail_settings(ctx) {
            return self.send_test_mail(ctx, pool, question);
        }
        let answer = match outcome {
            MailOutcome::Accepted { answer } => format!("accepted: {answer}"),
            MailOutcome::Refused { answer, .. } => format!("refused: {answer}"),
            MailOutcome::Unreachable { why, .. } => format!("not reached: {why}"),
        };
        ctx.transaction(|_| store::worker_state::save_test_mail_answer(&answer));
        shm::test_mail_answered(question);
    }
}

fn mail_settings(ctx: &Ctx) -> MailSettings {
    let mail = &ctx.settings.mail;
    MailSettings {
        smtp_url: mail.smtp_url.clone(),
        email_api_url: mail.api_url.clone(),
        email_api_key: mail.api_key.clone(),
        from: mail.from.clone(),
        to: mail.to.clone(),
        timeout: MAIL_TIMEOUT,
    }
}

fn write_outcome(batch: &MailBatch, outcome: &MailOutcome) -> Result<()> {
    match outcome {
        MailOutcome::Accepted { answer } => {
            store::alerts::close(&batch.superseded, store::alerts::AlertState::Superseded, None)?;
            store::alerts::close(&batch.ids, store::alerts::AlertState::Sent, Some(answer))
        }
        MailOutcome::Refused { answer, .. } => store::alerts::set_mail_key(&all_ids(batch), None, Some(answer)),
        MailOutcome::Unreachable { why, maybe_sent } => {
            store::alerts::set_mail_key(&all_ids(batch), maybe_sent.then_some(batch.key.as_str()), Some(why))
        }
    }
}

/// `guestly_sync.environment`, which distinguishes several servers; `None` if it is empty.
fn server_name() -> Option<String> {
    Some(settings::environment()).filter(|name| !name.is_empty())
}

/// Every alert of a mail, shown or superseded.
fn all_ids(batch: &MailBatch) -> Vec<i64> {
    batch.ids.iter().chain(&batch.superseded).copied().collect()
}
