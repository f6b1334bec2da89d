//! The outcome of sending one mail. Built on a sender thread, read on the worker's main thread. Must not import: pgrx.

/// The outcome of sending one mail. The texts are plain words and contain no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailOutcome {
    /// The server accepted the mail.
    Accepted {
        /// The server's answer.
        answer: String,
    },
    /// The server or the check of the settings refused the mail; it was certainly not accepted.
    Refused {
        /// True if a retry is pointless until the settings or the mailbox are changed.
        permanent: bool,
        /// The server's answer, or the problem with the settings.
        answer: String,
    },
    /// The server did not answer.
    Unreachable {
        /// The reason.
        why: String,
        /// True if the mail was sent before the connection broke, so it may arrive. Retry it with the same key.
        maybe_sent: bool,
    },
}

impl MailOutcome {
    /// Applies `change` to the text.
    pub(super) fn map_text(self, change: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Accepted { answer } => Self::Accepted { answer: change(&answer) },
            Self::Refused { permanent, answer } => Self::Refused { permanent, answer: change(&answer) },
            Self::Unreachable { why, maybe_sent } => Self::Unreachable { why: change(&why), maybe_sent },
        }
    }
}
