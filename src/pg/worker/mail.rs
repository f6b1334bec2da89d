//! Alerts on their way out: rows become mails, mails leave on a sender thread. Part of the worker, main thread.

mod desk;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use pgrx::warning;

use super::{VERSION, Worker};
use crate::domain::alert::{Mail, MailBatch, MailLimits, MailStep, digest, mail_pause, select_for_mail, test_mail};
use crate::domain::redact::clean;
use crate::domain::retry::MAIL_TRANSACTION_PAUSE;
use crate::net::mail::{MailOutcome, MailSettings, check};
use crate::pg::session::Result;
use crate::pg::{alerts, memory, settings, sys, wake};

pub(super) use self::desk::Desk;

/// The longest that one mail may take.
const MAIL_TIMEOUT: Duration = Duration::from_secs(30);
/// Stands in the log line of alerts that nobody is mailed about, so that a log watcher can find them.
const LOG_CODE: &str = "GUESTLY-ALERT";

/// What a mail is about.
pub(super) enum Tag {
    /// Alerts.
    Alerts(MailBatch),
    /// `guestly_test_alert()`: the question, and the settings that the mail left with.
    Test(u32, Box<MailSettings>),
}

/// What to do about the alerts that wait.
enum Todo {
    Nothing,
    /// Look again after that time, or when there is a new one.
    Later(Duration),
    Send(MailBatch, Mail),
}

impl Worker {
    /// Takes what mail servers answered, and sends the next mail that is due.
    pub(super) fn mail(&mut self) {
        self.announce();
        self.take_delivered();
        self.test_mail_asked();
        if alerts::take_raised() {
            (self.desk.waiting, self.desk.look_again_at) = (true, None);
        }
        if self.desk.pause(Instant::now()) != Some(Duration::ZERO) {
            return;
        }
        let wall = Utc::now();
        let after = |pause: Duration| Some(Instant::now() + pause);
        let todo = self.in_transaction(|worker| worker.next_mail(wall));
        self.desk.waiting = !matches!(todo, Some(Todo::Nothing));
        self.desk.look_again_at = match todo {
            Some(Todo::Send(batch, mail)) => {
                self.desk.sending = true;
                let key = batch.key.clone();
                self.post(Tag::Alerts(batch), mail, key);
                None
            }
            Some(Todo::Later(pause)) => after(pause),
            Some(Todo::Nothing) => None,
            None => after(MAIL_TRANSACTION_PAUSE),
        };
    }

    /// What mail servers answered.
    pub(super) fn take_delivered(&mut self) {
        for delivered in self.desk.office.delivered() {
            match delivered.tag {
                Tag::Alerts(batch) => self.desk.ended = Some((batch, delivered.outcome)),
                Tag::Test(question, used) => self.test_ended(question, &used, &delivered.outcome),
            }
        }
        if self.desk.ended.is_some() && self.desk.not_before.is_none_or(|then| then <= Instant::now()) {
            self.mail_ended();
        }
    }

    fn next_mail(&mut self, wall: DateTime<Utc>) -> Result<Todo> {
        let (known, armed) = self.may_mail()?;
        if !known {
            return Ok(Todo::Later(self.settings.poll_interval));
        }
        let (waiting, unknown) = alerts::pending()?;
        if !unknown.is_empty() {
            let names = clean(&unknown.join(", "), 200);
            self.report(
                &format!("alerts of kinds that version {VERSION} does not know are not mailed: {names}"),
                "They stay in guestly.alerts; a newer version of the library may know them.",
            );
        }
        if waiting.is_empty() {
            return Ok(Todo::Nothing);
        }
        if !armed {
            return Ok(Todo::Later(self.settings.poll_interval));
        }
        if !self.settings.mail.is_configured() {
            self.log_unmailed(waiting.len());
            return Ok(Todo::Nothing);
        }
        let pending: Vec<_> = waiting.iter().map(|row| row.pending.clone()).collect();
        let pace = MailLimits { digest: self.settings.mail.digest, not_before: None };
        let plan = select_for_mail(&pending, &alerts::mailed()?, &pace, wall);
        alerts::settle(&plan.repeated, "repeated", None)?;
        match plan.next {
            MailStep::Nothing => Ok(Todo::Nothing),
            MailStep::At(then) => Ok(Todo::Later((then - wall).to_std().unwrap_or_default())),
            MailStep::Send(batch) => {
                let told = alerts::compose(&waiting, &batch, wall)?;
                let Some(mail) = digest(&told, wall, site().as_deref()) else { return Ok(Todo::Nothing) };
                alerts::set_key(&all(&batch), Some(&batch.key), None)?;
                memory::mail_leaves(true)?;
                Ok(Todo::Send(batch, mail))
            }
        }
    }

    /// Whether the tables are those that this library knows; and whether this server is armed: a copy mails nothing.
    fn may_mail(&mut self) -> Result<(bool, bool)> {
        let gate = self.gate()?;
        Ok((self.fits == Some(true), gate.armed))
    }

    fn log_unmailed(&mut self, waiting: usize) {
        if self.desk.announced_unmailed != waiting {
            self.desk.announced_unmailed = waiting;
            warning!(
                "guestly_sync: {LOG_CODE}: {waiting} alert(s) wait in guestly.alerts, and no mail is set up; see guestly_doctor()"
            );
        }
    }

    /// Writes down how the mail ended. Until that is committed no other leaves: what was taken must not go again.
    fn mail_ended(&mut self) {
        let Some((batch, outcome)) = self.desk.ended.take() else { return };
        let written = self.in_transaction(|_| {
            memory::mail_leaves(false)?;
            write_end(&batch, &outcome)
        });
        if written.is_none() {
            self.desk.ended = Some((batch, outcome));
            self.desk.not_before = Some(Instant::now() + MAIL_TRANSACTION_PAUSE);
            return;
        }
        (self.desk.sending, self.desk.waiting) = (false, true);
        let abandoned = std::mem::take(&mut self.desk.abandoned);
        match outcome {
            MailOutcome::Refused { .. } | MailOutcome::Unreachable { .. } if abandoned => {}
            MailOutcome::Accepted { .. } => (self.desk.failures, self.desk.not_before) = (0, None),
            MailOutcome::Refused { permanent, answer } => self.mail_failed(permanent, &answer),
            MailOutcome::Unreachable { why, .. } => self.mail_failed(false, &why),
        }
    }

    fn mail_failed(&mut self, permanent: bool, why: &str) {
        self.desk.failures = self.desk.failures.saturating_add(1);
        self.desk.not_before = Some(Instant::now() + mail_pause(self.desk.failures, permanent, super::judge::jitter()));
        self.report(&format!("alerts cannot be mailed: {why}"), "See guestly_doctor(); they wait in guestly.alerts.");
    }

    /// After a reload another mail server may be there: a mail that hangs at the former one is abandoned. What is wrong with the
    /// settings is noted for the doctor.
    pub(super) fn look_at_mail_settings(&mut self) {
        let settings = self.mail_settings();
        self.desk.try_again();
        self.desk.abandon_unless(&settings);
        let problem = if self.settings.mail.is_configured() { check(&settings).err() } else { None };
        self.in_transaction(|worker| match worker.may_mail()? {
            (true, _) => {
                // A former worker may have ended while a mail was under way.
                if !worker.desk.sending {
                    memory::mail_leaves(false)?;
                }
                alerts::note_settings(problem.as_deref())
            }
            (false, _) => Ok(()),
        });
    }

    fn mail_settings(&self) -> MailSettings {
        let mail = &self.settings.mail;
        MailSettings {
            smtp_url: mail.smtp_url.clone(),
            email_api_url: mail.api_url.clone(),
            email_api_key: mail.api_key.clone(),
            from: mail.from.clone(),
            to: mail.to.clone(),
            timeout: MAIL_TIMEOUT,
        }
    }

    fn post(&mut self, tag: Tag, mail: Mail, key: String) {
        let settings = self.mail_settings();
        if let Some(pool) = &self.pool {
            self.desk.used = Some(settings.clone());
            self.desk.office.send(pool, tag, settings, mail, key);
        }
    }

    fn test_mail_asked(&mut self) {
        let asked = wake::slot(sys::my_database()).mail_asked;
        if asked != self.desk.asked {
            self.desk.asked = asked;
            self.send_test_mail(asked);
        }
    }

    fn send_test_mail(&mut self, question: u32) {
        let wall = Utc::now();
        let tag = Tag::Test(question, Box::new(self.mail_settings()));
        self.post(tag, test_mail(wall, site().as_deref()), format!("test-{}", wall.timestamp_micros()));
    }

    fn test_ended(&mut self, question: u32, used: &MailSettings, outcome: &MailOutcome) {
        // The reload that brought other settings came after the question: those are the ones that are asked about.
        if !matches!(outcome, MailOutcome::Accepted { .. }) && *used != self.mail_settings() {
            return self.send_test_mail(question);
        }
        let words = match outcome {
            MailOutcome::Accepted { answer } => format!("accepted: {answer}"),
            MailOutcome::Refused { answer, .. } => format!("refused: {answer}"),
            MailOutcome::Unreachable { why, .. } => format!("not reached: {why}"),
        };
        self.in_transaction(|_| memory::answer_test_mail(&words));
        wake::mail_answered(question);
    }
}

/// Writes down how a mail ended.
fn write_end(batch: &MailBatch, outcome: &MailOutcome) -> Result<()> {
    match outcome {
        MailOutcome::Accepted { answer } => {
            alerts::settle(&batch.superseded, "superseded", None)?;
            alerts::settle(&batch.ids, "sent", Some(answer))
        }
        MailOutcome::Refused { answer, .. } => alerts::set_key(&all(batch), None, Some(answer)),
        MailOutcome::Unreachable { why, maybe_sent } => {
            alerts::set_key(&all(batch), maybe_sent.then_some(batch.key.as_str()), Some(why))
        }
    }
}

/// The name of this server, where there are several.
fn site() -> Option<String> {
    Some(settings::environment()).filter(|name| !name.is_empty())
}

/// Every row that leaves with a mail.
fn all(batch: &MailBatch) -> Vec<i64> {
    batch.ids.iter().chain(&batch.superseded).copied().collect()
}
