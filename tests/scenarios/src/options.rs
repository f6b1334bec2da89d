//! Options of a test server. Called by the tests; `cluster` applies them. Must not start anything.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Options of a server.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) programs: Option<PathBuf>,
    preload: bool,
    durable: bool,
    pub(crate) in_memory: bool,
    pub(crate) own_identifier: bool,
    own_server: bool,
    settings: Vec<(String, String)>,
    pub(crate) environment: Vec<(String, String)>,
}

impl Default for Options {
    /// The extension's library preloaded, fsync off, the template's system identifier.
    fn default() -> Self {
        Self {
            programs: None,
            preload: true,
            durable: false,
            in_memory: false,
            own_identifier: false,
            own_server: false,
            settings: Vec::new(),
            environment: Vec::new(),
        }
    }
}

impl Options {
    /// Run by the PostgreSQL whose `bin` folder this is, instead of the usual one of the same major version.
    #[must_use]
    pub fn programs(mut self, folder: &Path) -> Self {
        self.programs = Some(folder.to_owned());
        self
    }

    /// A server that does not load the extension's library.
    #[must_use]
    pub fn without_preload(mut self) -> Self {
        self.preload = false;
        self
    }

    /// With fsync on, for tests that time real commits. Without it a killed server loses nothing either; only a failing
    /// machine does.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// With its data in memory, so that commits do not wait for a disk.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// With a new system identifier instead of the template's: another server for the extension.
    #[must_use]
    pub fn own_identifier(mut self) -> Self {
        self.own_identifier = true;
        self
    }

    /// A new server that is not reused, for tests that need its log from the start.
    #[must_use]
    pub fn own_server(mut self) -> Self {
        self.own_server = true;
        self
    }

    /// A line in postgresql.conf.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A variable in the server's environment, at every start.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// True if only a new server can have these options.
    pub(crate) fn needs_own_server(&self) -> bool {
        let has_own_programs = self.programs.is_some();
        self.own_server
            || self.own_identifier
            || self.in_memory
            || has_own_programs
            || !self.preload
            || !self.environment.is_empty()
    }

    /// True if a reload is enough for these settings; `start_settings` are those that need a restart.
    pub(crate) fn can_be_reloaded(&self, start_settings: &HashSet<String>) -> bool {
        self.settings.iter().all(|(name, _)| !start_settings.contains(name))
    }

    /// The lines of configuration of a server whose socket lies in `folder`.
    pub(crate) fn configuration(&self, folder: &Path) -> String {
        let durability = if self.durable { "on" } else { "off" };
        let mut lines = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nfsync = {durability}\nfull_page_writes = \
             {durability}\nmax_worker_processes = 16\nshared_buffers = '32MB'\nlog_line_prefix = '%m [%p] %b '\n",
            folder.display()
        );
        if self.preload {
            lines.push_str("shared_preload_libraries = 'guestly_sync'\n");
        }
        for (name, value) in &self.settings {
            lines.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        lines
    }
}
