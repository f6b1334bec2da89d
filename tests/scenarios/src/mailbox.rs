//! A real mail server (Debian's aiosmtpd, in Python) that keeps the mails it accepts. Called by the tests, on their threads. Must
//! not know what is mailed.

use crate::folder::{new_server_folder, remove};
use crate::helper::Helper;
use crate::mail_parsing::Mail;
use crate::options::Options;
use crate::wait::wait_until;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A mail server on this machine. When dropped, it ends and its mails are deleted.
#[derive(Debug)]
pub struct Mailbox {
    folder: PathBuf,
    port: u16,
    server: Mutex<Option<Helper>>,
}

impl Mailbox {
    /// A server that accepts everything.
    #[must_use]
    pub fn open() -> Self {
        Self::open_with(&[])
    }

    /// A server with these arguments of `mail/server.py`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn open_with(arguments: &[&str]) -> Self {
        let folder = new_server_folder();
        let (server, port) = start(&folder, 0, arguments);
        Self { folder, port, server: Mutex::new(Some(server)) }
    }

    /// Its port, also after it was closed.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The settings that mail alerts to here after a second, from `alerts@example.org` to `owner@example.org`.
    #[must_use]
    pub fn options(&self, options: Options) -> Options {
        options
            .setting("guestly_sync.admin_email", "owner@example.org")
            .setting("guestly_sync.alert_from", "Flat alerts <alerts@example.org>")
            .setting("guestly_sync.smtp_url", &self.url())
            .setting("guestly_sync.alert_digest", "1s")
    }

    /// The value of `guestly_sync.smtp_url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// Ends the server: from now on connections are refused. The mails stay.
    pub fn close(&self) {
        drop(self.server.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Starts it again on the same port, with these arguments.
    ///
    /// # Panics
    /// If it does not start.
    pub fn open_again(&self, arguments: &[&str]) {
        self.close();
        let (server, _) = start(&self.folder, self.port, arguments);
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }

    /// Every accepted mail, oldest first.
    ///
    /// # Panics
    /// If one cannot be read.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        let files = fs::read_dir(&self.folder).unwrap_or_else(|error| panic!("no mails: {error}"));
        let mut mails: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
        mails.retain(|path| path.extension().is_some_and(|end| end == "eml"));
        mails.sort();
        mails.iter().map(|path| Mail::read(&content(path), &facts(path))).collect()
    }

    /// Waits until there are this many mails, and gives them.
    ///
    /// # Panics
    /// After the timeout, or if there are more.
    #[must_use]
    #[track_caller]
    pub fn wait_for(&self, count: usize, timeout: Duration) -> Vec<Mail> {
        let mut mails = Vec::new();
        wait_until(&format!("{count} mails"), timeout, || {
            mails = self.mails();
            let subjects: Vec<&str> = mails.iter().map(|mail| mail.subject.as_str()).collect();
            (mails.len() >= count, format!("{subjects:#?}"))
        });
        let subjects: Vec<&str> = mails.iter().map(|mail| mail.subject.as_str()).collect();
        assert_eq!(mails.len(), count, "{subjects:#?}");
        mails
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.close();
        let _ = remove(&self.folder);
    }
}

fn start(folder: &Path, port: u16, arguments: &[&str]) -> (Helper, u16) {
    let own = [folder.display().to_string(), port.to_string()];
    let all: Vec<&str> = own.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
    Helper::start("mail/server.py", &all)
}

fn content(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn facts(path: &Path) -> Value {
    serde_json::from_slice(&content(&path.with_extension("json"))).unwrap_or_else(|error| panic!("{error}"))
}
