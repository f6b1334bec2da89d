//! TLS: only a trusted certificate for the host of the address is accepted; otherwise no byte of a request is sent.

use guestly_scenarios::{Certificate, SOON, Site, TlsProxy};

/// Sends calls through `proxy` from now on.
fn call_through(site: &Site, proxy: &TlsProxy) {
    site.alter_system("guestly_sync.token_url", &format!("{}/oauth2/token", proxy.url()));
    site.alter_system("guestly_sync.base_url", &format!("{}/v1", proxy.url()));
}

/// Pays three bookings while the proxy must be refused, then removes it: everything is sent.
fn assert_refused_and_recovers(site: &Site, proxy: &TlsProxy) {
    call_through(site, proxy);
    let ids = site.paid_bookings(3);
    let refused = "SELECT count(*) > 0, string_agg(DISTINCT concat_ws(' ', operation, outcome, error), '; ') FROM guestly.attempts \
                   WHERE operation = 'token' AND outcome = 'not_sent' AND error LIKE '%certificate%'";
    site.wait_for("the certificate to be refused", SOON, refused);
    assert_eq!(site.sim.call_log(None).len(), 0, "something was sent");
    let used: i64 = site.query_one("SELECT sum(attempts)::bigint FROM guestly.queue WHERE state = 'ready'");
    assert_eq!(used, 0, "a call that never left used an attempt");
    let [status, detail, _] = site.doctor("guestly");
    // The breaker may not be open yet.
    assert!(matches!(status.as_str(), "warn" | "fail") && detail.contains("certificate"), "{status}: {detail}");
    site.alter_system("guestly_sync.token_url", &format!("{}/oauth2/token", site.sim.url()));
    site.alter_system("guestly_sync.base_url", &format!("{}/v1", site.sim.url()));
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
}

#[test]
fn a_trusted_certificate_is_accepted() {
    let certificate = Certificate::make();
    let site = Site::open_with(|options| options.environment("SSL_CERT_FILE", &certificate.authority));
    let proxy = TlsProxy::open("127.0.0.1", &site.sim, &certificate);
    call_through(&site, &proxy);
    let ids = site.paid_bookings(20);
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    assert_eq!(site.doctor("guestly")[0], "ok");
}

#[test]
fn an_untrusted_certificate_is_refused_before_sending() {
    let certificate = Certificate::make();
    let site = Site::open();
    let proxy = TlsProxy::open("127.0.0.1", &site.sim, &certificate);
    assert_refused_and_recovers(&site, &proxy);
}

#[test]
fn a_certificate_of_another_host_is_refused_before_sending() {
    let certificate = Certificate::make();
    let site = Site::open_with(|options| options.environment("SSL_CERT_FILE", &certificate.authority));
    let proxy = TlsProxy::open("127.0.0.2", &site.sim, &certificate);
    assert_refused_and_recovers(&site, &proxy);
}
