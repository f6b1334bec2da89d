//! Alerts on their way out: what happened becomes rows, rows become mails, mails leave on a sender thread. Part of the
//! worker, main thread.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use pgrx::warning;

use super::Worker;
use crate::domain::alert::{AlertKind, Batch, Mail, Next, Pace, digest, due, mail_pause, test_mail};
use crate::domain::breaker::BreakerState;
use crate::domain::token::may_fetch;
use crate::net::mail::{MailOutcome, MailSettings, PostOffice, is_configured};
use crate::pg::alerts::{self, Raised};
use crate::pg::bookings::Bookings;
use crate::pg::session::Result;
use crate::pg::{memory, settings, sys, wake};

/// The longest that one mail may take.
const MAIL_TIMEOUT: Duration = Duration::from_secs(30);
/// Stands in the log line of alerts that nobody is mailed about, so that a log watcher can find them.
const LOG_CODE: &str = "GUESTLY-ALERT";

/// What a mail is about.
pub(super) enum Tag {
    /// Alerts.
    Alerts(Batch),
    /// `guestly_test_alert()`.
    Test(u32),
}

/// The worker's mail desk.
pub(super) struct Desk {
    office: PostOffice<Tag>,
    /// There may be alerts that wait.
    waiting: bool,
    sending: bool,
    /// The mail server failed: nothing leaves before.
    not_before: Option<Instant>,
    /// A digest is being collected; a new alert may be urgent and is looked at at once.
    look_again_at: Option<Instant>,
    failures: u32,
    /// Since when Guestly is out of reach, once that is announced.
    outage: Option<DateTime<Utc>>,
    announced: Option<String>,
    announced_unmailed: usize,
    asked: u32,
}

impl Desk {
    pub(super) fn new() -> Self {
        let asked = wake::slot(sys::my_database()).mail_asked;
        Self {
            office: PostOffice::default(),
            waiting: true,
            sending: false,
            not_before: None,
            look_again_at: None,
            failures: 0,
            outage: None,
            announced: None,
            announced_unmailed: 0,
            asked,
        }
    }

    /// After a reload another mail server may be there.
    pub(super) fn try_again(&mut self) {
        (self.not_before, self.look_again_at, self.failures, self.waiting) = (None, None, 0, true);
    }

    /// Until when nothing has to be done; none if until something happens.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        let then = self.not_before.max(self.look_again_at);
        let idle = !self.waiting || self.sending;
        if idle { None } else { Some(then.map_or(Duration::ZERO, |then| then.saturating_duration_since(now))) }
    }
}

impl Worker {
    /// Inside the transaction that records outcomes: what they mean for the connection as a whole.
    pub(super) fn raise_about_lane(&mut self, wall: DateTime<Utc>, caught_up: bool) -> Result<()> {
        let mut raised = Vec::new();
        match (self.lane.breaker.state(), self.desk.outage) {
            (BreakerState::Open, None) => {
                self.desk.outage = Some(wall);
                let waiting = alerts::waiting()?;
                let last = self.last_error.clone().unwrap_or_default();
                let sentence = format!("Guestly cannot be reached: {last}");
                let about = Raised::about_lane(AlertKind::Outage, sentence);
                raised.push(Raised { since: Some(wall), waiting: Some(waiting), ..about });
            }
            (BreakerState::Closed | BreakerState::HalfOpen, Some(since)) if caught_up => {
                self.desk.outage = None;
                let sentence = format!("Guestly answers again (outage since {})", since.format("%Y-%m-%d %H:%M UTC"));
                let about = Raised::about_lane(AlertKind::Recovered, sentence);
                raised.push(Raised { since: Some(since), waiting: Some(0), ..about });
            }
            _ => {}
        }
        raised.extend(self.credentials_alert(wall));
        alerts::raise(&raised)
    }

    fn credentials_alert(&mut self, wall: DateTime<Utc>) -> Option<Raised> {
        let blocked = self.lane.blocked.as_ref().filter(|blocked| blocked.until > wall);
        let Some(blocked) = blocked else {
            self.desk.announced = None;
            return None;
        };
        if self.desk.announced.as_ref() == Some(&blocked.sentence) {
            return None;
        }
        self.desk.announced = Some(blocked.sentence.clone());
        let capped = may_fetch(&self.lane.history, wall).is_err();
        let kind = if capped { AlertKind::TokenCap } else { AlertKind::Credentials };
        Some(Raised { since: Some(blocked.since), ..Raised::about_lane(kind, blocked.sentence.clone()) })
    }

    /// An outage that a former worker announced ends in this one.
    pub(super) fn recall_outage(&mut self) -> Result<()> {
        self.desk.outage = alerts::announced_outage()?;
        Ok(())
    }

    /// Takes what mail servers answered, and sends the next mail that is due.
    pub(super) fn mail(&mut self) {
        self.take_delivered();
        self.test_mail_asked();
        if alerts::take_raised() {
            (self.desk.waiting, self.desk.look_again_at) = (true, None);
        }
        if self.desk.pause(Instant::now()) != Some(Duration::ZERO) {
            return;
        }
        let wall = Utc::now();
        self.desk.waiting = false;
        if let Some(Some((batch, mail))) = self.in_transaction(|worker| worker.next_mail(wall)) {
            self.desk.sending = true;
            self.post(Tag::Alerts(batch.clone()), mail, batch.key);
        }
    }

    /// What mail servers answered.
    pub(super) fn take_delivered(&mut self) {
        for delivered in self.desk.office.delivered() {
            match delivered.tag {
                Tag::Alerts(batch) => self.mail_ended(&batch, delivered.outcome),
                Tag::Test(question) => self.test_ended(question, &delivered.outcome),
            }
        }
    }

    fn next_mail(&mut self, wall: DateTime<Utc>) -> Result<Option<(Batch, Mail)>> {
        let waiting = alerts::pending()?;
        if waiting.is_empty() {
            return Ok(None);
        }
        if !is_configured(&self.mail_settings()) {
            self.log_unmailed(waiting.len());
            return Ok(None);
        }
        let pending: Vec<_> = waiting.iter().map(|row| row.pending.clone()).collect();
        let pace = Pace { digest: self.settings.mail.digest, not_before: None };
        let plan = due(&pending, &alerts::mailed()?, &pace, wall);
        alerts::settle(&plan.repeated, "repeated", None)?;
        match plan.next {
            Next::Nothing => Ok(None),
            Next::At(then) => {
                self.desk.waiting = true;
                self.desk.look_again_at = Some(Instant::now() + (then - wall).to_std().unwrap_or_default());
                Ok(None)
            }
            Next::Send(batch) => {
                let bookings = Bookings::load()?;
                let told = alerts::compose(&waiting, &batch, bookings.as_ref(), wall)?;
                let site = Some(settings::environment()).filter(|name| !name.is_empty());
                let Some(mail) = digest(&told, wall, site.as_deref()) else { return Ok(None) };
                alerts::set_key(&all(&batch), Some(&batch.key), None)?;
                Ok(Some((batch, mail)))
            }
        }
    }

    fn log_unmailed(&mut self, waiting: usize) {
        if self.desk.announced_unmailed != waiting {
            self.desk.announced_unmailed = waiting;
            warning!(
                "guestly_sync: {LOG_CODE}: {waiting} alert(s) wait in guestly.alerts, and no mail is set up; see guestly_doctor()"
            );
        }
    }

    fn mail_ended(&mut self, batch: &Batch, outcome: MailOutcome) {
        self.desk.sending = false;
        self.desk.waiting = true;
        if let MailOutcome::Accepted { answer } = &outcome {
            self.desk.failures = 0;
            self.in_transaction(|_| {
                alerts::settle(&batch.superseded, "superseded", None)?;
                alerts::settle(&batch.ids, "sent", Some(answer))
            });
            return;
        }
        let (permanent, maybe_sent, why) = match outcome {
            MailOutcome::Refused { permanent, answer } => (permanent, false, answer),
            MailOutcome::Unreachable { why, maybe_sent } => (false, maybe_sent, why),
            MailOutcome::Accepted { answer } => (false, false, answer),
        };
        self.desk.failures = self.desk.failures.saturating_add(1);
        self.desk.not_before = Some(Instant::now() + mail_pause(self.desk.failures, permanent, super::judge::jitter()));
        self.report(&format!("alerts cannot be mailed: {why}"), "See guestly_doctor(); they wait in guestly.alerts.");
        let key = maybe_sent.then_some(batch.key.as_str());
        self.in_transaction(|_| alerts::set_key(&all(batch), key, Some(&why)));
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
            self.desk.office.send(pool, tag, settings, mail, key);
        }
    }

    fn test_mail_asked(&mut self) {
        let asked = wake::slot(sys::my_database()).mail_asked;
        if asked != self.desk.asked {
            self.desk.asked = asked;
            let wall = Utc::now();
            let site = Some(settings::environment()).filter(|name| !name.is_empty());
            self.post(Tag::Test(asked), test_mail(wall, site.as_deref()), format!("test-{}", wall.timestamp_micros()));
        }
    }

    fn test_ended(&mut self, question: u32, outcome: &MailOutcome) {
        let words = match outcome {
            MailOutcome::Accepted { answer } => format!("accepted: {answer}"),
            MailOutcome::Refused { answer, .. } => format!("refused: {answer}"),
            MailOutcome::Unreachable { why, .. } => format!("not reached: {why}"),
        };
        self.in_transaction(|_| memory::answer_test_mail(&words));
        wake::mail_answered(question);
    }
}

/// Every row that leaves with a mail.
fn all(batch: &Batch) -> Vec<i64> {
    batch.ids.iter().chain(&batch.superseded).copied().collect()
}
