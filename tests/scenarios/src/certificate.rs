//! Certificates for the encrypted servers of the tests, made by openssl. Called by the tests. Must not know what they are for.

use crate::folder::{must_run, new_server_folder, remove};
use std::path::PathBuf;
use std::process::Command;

/// The files of an encrypted server: a certificate for this machine and the authority that signed it.
#[derive(Debug)]
pub struct Certificate {
    /// The authority that a client must trust, in PEM.
    pub authority: String,
    /// The server's certificate.
    pub certificate: String,
    /// The server's key.
    pub key: String,
    folder: PathBuf,
}

impl Certificate {
    /// Creates an authority and a certificate signed by it for `localhost` and `127.0.0.1`, good for a day.
    ///
    /// # Panics
    /// If there is no openssl.
    #[must_use]
    pub fn make() -> Self {
        let folder = new_server_folder();
        // The servers' account reads the authority.
        let path = |name: &str| folder.join(name).display().to_string();
        let made = Self {
            authority: path("authority.pem"),
            certificate: path("certificate.pem"),
            key: path("key.pem"),
            folder: folder.clone(),
        };
        let new = |subject: &str, key: &str, out: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(["req", "-x509", "-days", "1", "-nodes", "-newkey", "ec"]);
            openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", subject, "-keyout", key, "-out", out]);
            openssl
        };
        let authority_key = path("authority-key.pem");
        must_run(&mut new("/CN=Test authority", &authority_key, &made.authority));
        must_run(
            new("/CN=localhost", &made.key, &made.certificate)
                .args(["-CA", &made.authority, "-CAkey", &authority_key])
                .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
                .args(["-addext", "basicConstraints=critical,CA:FALSE"]),
        );
        made
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = remove(&self.folder);
    }
}
