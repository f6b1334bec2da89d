//! Parses mails: the parts with a MIME library, the page with an XML parser. Called by the tests and by
//! `mailbox`, on test threads. Must not know how the mail was received.

use crate::tools::feed;
use mail_parser::{Message, MessageParser, MimeHeaders};
use serde_json::Value;
use std::process::Command;

/// Debian's Python, which finds Debian's packages.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// One mail.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The envelope sender.
    pub sender: String,
    /// The envelope recipients.
    pub recipients: Vec<String>,
    /// True if the connection was encrypted.
    pub encrypted: bool,
    /// The login, if there was one.
    pub login: Option<String>,
    /// The raw mail.
    pub raw: String,
    /// The decoded subject.
    pub subject: String,
    /// The Message-ID without its brackets.
    pub id: String,
    /// The names of the headers.
    pub headers: Vec<String>,
    /// The plain part, its lines ended by `\n`.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

impl Mail {
    /// Reads a mail; `facts` is the server's record of it.
    ///
    /// # Panics
    /// If it is not a mail of exactly two parts, plain text and HTML.
    #[must_use]
    pub fn read(raw: &[u8], facts: &Value) -> Self {
        let Some(mail) = MessageParser::default().parse(raw) else { panic!("no mail: {raw:?}") };
        assert_eq!(kinds(&mail), ["multipart/alternative", "text/plain", "text/html"], "parts of the mail");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let body = |part: Option<std::borrow::Cow<'_, str>>| part.unwrap_or_default().replace("\r\n", "\n");
        Self {
            sender: text(&facts["from"]),
            recipients: facts["to"].as_array().into_iter().flatten().map(text).collect(),
            encrypted: facts["encrypted"] == true,
            login: facts["login"].as_str().map(str::to_owned),
            raw: String::from_utf8_lossy(raw).into_owned(),
            subject: mail.subject().unwrap_or_default().to_owned(),
            id: mail.message_id().unwrap_or_default().to_owned(),
            headers: mail.headers().iter().map(|header| header.name().to_owned()).collect(),
            text: body(mail.body_text(0)),
            html: body(mail.body_html(0)),
        }
    }

    /// The contents of the HTML page, by place.
    ///
    /// # Panics
    /// If it is not well-formed.
    #[must_use]
    pub fn page(&self) -> Value {
        page(&self.html)
    }

    /// Labels and values of the plain part, in order.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        fields(&self.text)
    }

    /// The value of a label, in both parts.
    ///
    /// # Panics
    /// If it does not occur exactly once, or the parts differ.
    #[must_use]
    #[track_caller]
    pub fn field(&self, label: &str) -> String {
        let of = |fields: Vec<(String, String)>| -> Vec<String> {
            fields.into_iter().filter(|(name, _)| name == label).map(|(_, value)| value).collect()
        };
        let (plain, rich) = (of(self.fields()), of(fields_of_page(&self.page())));
        assert!(plain.len() == 1 && plain == rich, "{label}: {plain:?} and {rich:?} in {}", self.text);
        plain.concat()
    }
}

fn kinds(mail: &Message<'_>) -> Vec<String> {
    let kind = |part: &mail_parser::MessagePart<'_>| {
        part.content_type().map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()))
    };
    mail.parts.iter().filter_map(kind).collect()
}

/// The contents of a mail's HTML page, by place: `title`, `headings`, `bookings`, `paragraphs`, `commands`, `fields`,
/// `rows`, and which `elements` and `attributes` it is made of.
///
/// # Panics
/// If it is not well-formed.
#[must_use]
pub fn page(html: &str) -> Value {
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/mail/page.py");
    let found = feed(Command::new(PYTHON).arg(reader), html.as_bytes());
    let found = found.unwrap_or_else(|error| panic!("{error}\nthe page: {html}"));
    serde_json::from_slice(&found).unwrap_or_else(|error| panic!("{error}"))
}

/// Labels and values of a mail's page, in order.
#[must_use]
pub fn fields_of_page(page: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = page["fields"].as_array().into_iter().flatten();
    rows.map(|row| (text(&row[0]).trim_end_matches(':').to_owned(), text(&row[1]))).collect()
}

/// Labels and values of a mail's plain part, in order: lines of two spaces, the label, a colon and the value.
#[must_use]
pub fn fields(text: &str) -> Vec<(String, String)> {
    let field = |line: &str| {
        let line = line.strip_prefix("  ").filter(|line| !line.starts_with([' ', '-']))?;
        let (label, value) = line.split_once(':')?;
        // A sentence before a command ends with a colon.
        (!value.trim().is_empty()).then(|| (label.to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(field).collect()
}
