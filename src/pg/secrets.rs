//! Where the API credentials come from: Supabase Vault, then the settings, then the server's environment. Main thread only.

use pgrx::pg_sys;

use super::session::{self, Owner, Result};
use super::{settings, statement, sys};
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
    /// Names these credentials and these addresses without giving them away: tells whether a kept token still fits.
    pub fn mark(&self, token_url: &str, base_url: &str) -> String {
        // Kept in tables: it must be the same in every version.
        fingerprint(&[&self.id, self.secret.reveal(), token_url, base_url].join("\n"))
    }
}

/// The credentials in force, if there are any. Inside a transaction. A Vault that cannot be read (a copy without its root
/// key) counts as empty.
pub fn credentials() -> Option<Credentials> {
    from_vault().or_else(from_settings)
}

fn from_vault() -> Option<Credentials> {
    let there = include_str!("../../sql/queries/vault_owner.sql");
    let view = statement::row(there, &[], |row| Ok(row.get::<pg_sys::Oid>(1)?)).ok().flatten().flatten()?;
    let read = || -> Result<Vec<(Option<String>, Option<String>)>> {
        // What the view needs is named in it.
        sys::set_locally(c"search_path", "pg_catalog, pg_temp");
        statement::rows(include_str!("../../sql/queries/vault.sql"), &[], |row| Ok((row.get(1)?, row.get(2)?)))
    };
    // What the view calls runs with its owner's rights, not with ours.
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
