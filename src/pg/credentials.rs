//! Reads the API credentials: from Supabase Vault, the settings, or the server's environment, in this order. Called by
//! `pg::worker` and `pg::functions`; main thread only.

use pgrx::pg_sys;

use super::db::session::{self, Owner, Result};
use super::{db::statement, settings, sys};
use crate::domain::confirmation_code::fingerprint;
use crate::domain::redact::Secret;

/// Client id and secret, and where they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The client id.
    pub id: String,
    /// The client secret.
    pub secret: Secret,
    /// `vault`, `settings` or `environment`.
    pub source: &'static str,
}

impl Credentials {
    /// A hash of credentials and addresses, which does not reveal them. A saved token is used only if it still matches.
    pub fn fingerprint(&self, token_url: &str, base_url: &str) -> String {
        // Stored in tables: must not change between versions.
        fingerprint(&[&self.id, self.secret.reveal(), token_url, base_url].join("\n"))
    }
}

/// The credentials in effect, if any. Inside a transaction. A Vault that cannot be read (a copy without its root key) counts
/// as empty.
pub fn load() -> Option<Credentials> {
    from_vault().or_else(from_settings)
}

fn from_vault() -> Option<Credentials> {
    let there = include_str!("../../sql/queries/vault/trusted_view.sql");
    let view = statement::row(there, &[], |row| Ok(row.get::<pg_sys::Oid>(1)?)).ok().flatten().flatten()?;
    let read = || -> Result<Vec<(Option<String>, Option<String>)>> {
        // The view names everything that it needs with its schema.
        sys::set_locally(c"search_path", "pg_catalog, pg_temp");
        statement::rows(include_str!("../../sql/queries/vault/credentials.sql"), &[], |row| {
            Ok((row.get(1)?, row.get(2)?))
        })
    };
    // Functions that the view calls run with the rights of the view's owner, not with ours.
    let found = session::as_owner(&Owner::of(view)?, read).ok()?;
    let secret = |name: &str| {
        let mine = |(key, value): &(Option<String>, Option<String>)| {
            if key.as_deref() == Some(name) { value.clone() } else { None }
        };
        found.iter().find_map(mine).filter(|value| !value.is_empty())
    };
    let (id, secret) = (secret("guestly_client_id")?, Secret::new(secret("guestly_client_secret")?));
    Some(Credentials { id, secret, source: "vault" })
}

fn from_settings() -> Option<Credentials> {
    let (id, secret, set) = settings::credentials()?;
    Some(Credentials { id, secret, source: if set { "settings" } else { "environment" } })
}
