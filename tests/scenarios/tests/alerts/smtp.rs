//! Alert mails over SMTP against a real mail server: plain, encrypted, with a login, and with everything that a server may
//! refuse.

use guestly_scenarios::{Certificate, Mailbox, SOON, Site, host, wait_until};

/// The result of `guestly_test_alert()`.
fn test_alert(site: &Site) -> String {
    site.query_one("SELECT guestly_test_alert()")
}

/// A changed setting reaches the worker a moment later.
#[track_caller]
fn wait_for_answer(site: &Site, words: &str) -> String {
    let mut said = String::new();
    wait_until(&format!("the answer {words:?}"), SOON, || {
        said = test_alert(site);
        (said.contains(words), said.clone())
    });
    said
}

/// A booking of a flat that has no listing: it fails without a call.
fn failing_booking(site: &Site) -> String {
    site.sql("DELETE FROM guestly.listings WHERE property = 'canal-loft'");
    let ids = host::make_bookings(site, 3);
    let flat = "SELECT b.id::text FROM bookings b JOIN properties p ON p.id = b.property_id \
                WHERE p.slug = 'canal-loft' ORDER BY b.created_at DESC, b.booking_reference DESC LIMIT 1";
    let id: String = site.query_one(flat);
    assert!(ids.contains(&id));
    host::pay(site, std::slice::from_ref(&id));
    site.wait_failed(&id);
    id
}

#[test]
fn test_alert_returns_the_answer_of_the_mail_server() {
    let mailbox = Mailbox::open();
    let site = Site::open_with(|options| {
        mailbox
            .options(options)
            .setting("guestly_sync.admin_email", "owner@example.org, Front Desk <desk@example.org>")
            .setting("guestly_sync.environment", "berlin")
    });
    assert_eq!(test_alert(&site), "accepted: 250 2.0.0 Taken as 1");
    let mail = mailbox.wait_for(1, SOON).remove(0);
    assert_eq!(mail.subject, "[Guestly] Test: alerts of berlin arrive");
    assert_eq!((mail.sender.as_str(), mail.encrypted), ("alerts@example.org", false));
    assert_eq!(mail.recipients, ["owner@example.org", "desk@example.org"]);
    for part in [&mail.text, &mail.html] {
        assert!(part.contains("Nothing is wrong") && part.contains("guestly_sync of berlin"), "{part}");
    }
    for header in ["Date", "Message-ID", "Auto-Submitted", "MIME-Version"] {
        assert!(mail.headers.iter().any(|name| name.eq_ignore_ascii_case(header)), "{:?}", mail.headers);
    }
    assert!(mail.id.ends_with("@example.org"), "{}", mail.id);
    let stored: i64 = site.query_one("SELECT count(*) FROM guestly.alerts");
    assert_eq!((stored, site.doctor("mail")[0].as_str()), (0, "ok"));
    mailbox.close();
    let answer = test_alert(&site);
    assert!(answer.starts_with("not reached: ") && answer.contains("refused"), "{answer}");
}

#[test]
fn the_login_is_sent_only_over_tls() {
    let (certificate, secret) = (Certificate::make(), "p%3Awort%2Fcanary");
    let encrypted = ["--certificate", &certificate.certificate, "--key", &certificate.key];
    let mailbox = Mailbox::open_with(&[&encrypted[..], &["--login", "desk@example.org", "p:wort/canary"]].concat());
    let url = |login: &str| format!("smtp://{login}@localhost:{}?tls=required", mailbox.port());
    let site = Site::open_with(|options| {
        mailbox
            .options(options)
            .setting("guestly_sync.smtp_url", &url(&format!("desk%40example.org:{secret}")))
            .environment("SSL_CERT_FILE", &certificate.authority)
    });
    assert_eq!(test_alert(&site), "accepted: 250 2.0.0 Taken as 1");
    let mail = mailbox.wait_for(1, SOON).remove(0);
    assert!(mail.encrypted, "in the clear");
    assert_eq!(mail.login.as_deref(), Some("desk@example.org"));
    assert!(!mail.raw.contains("canary") && !site.log().contains("canary"), "the password was exposed");
    // A server that requires encryption accepts nothing in plain text.
    site.alter_system("guestly_sync.smtp_url", &url("desk%40example.org:wrong").replace("required", "none"));
    let answer = wait_for_answer(&site, "refused: 530");
    assert!(answer.contains("STARTTLS"), "{answer}");
    site.alter_system("guestly_sync.smtp_url", &url("desk%40example.org:hunter22"));
    let answer = wait_for_answer(&site, "refused: 535");
    assert!(!answer.contains("hunter22"), "{answer}");
    mailbox.open_again(&["--login", "desk@example.org", "p:wort/canary"]);
    let answer = wait_for_answer(&site, "no encryption");
    assert!(answer.starts_with("refused: ") && answer.contains("nothing was sent to it"), "{answer}");
    let _ = mailbox.wait_for(1, SOON);
}

#[test]
fn smtps_uses_tls_from_the_first_byte() {
    let certificate = Certificate::make();
    let wrapped = ["--certificate", &certificate.certificate, "--key", &certificate.key, "--wrapped"];
    let mailbox = Mailbox::open_with(&[&wrapped[..], &["--login", "desk", "wort-canary"]].concat());
    let url = format!("smtps://desk:wort-canary@localhost:{}", mailbox.port());
    let site = Site::open_with(|options| {
        mailbox
            .options(options)
            .setting("guestly_sync.smtp_url", &url)
            .environment("SSL_CERT_FILE", &certificate.authority)
    });
    assert_eq!(test_alert(&site), "accepted: 250 2.0.0 Taken as 1");
    let mail = mailbox.wait_for(1, SOON).remove(0);
    assert!(mail.encrypted && mail.login.as_deref() == Some("desk"), "{mail:?}");
    assert!(!site.log().contains("canary"), "the password was exposed");
}

#[test]
fn an_untrusted_mail_certificate_is_reported() {
    let certificate = Certificate::make();
    let mailbox = Mailbox::open_with(&["--certificate", &certificate.certificate, "--key", &certificate.key]);
    let site = Site::open_with(|options| mailbox.options(options));
    let answer = test_alert(&site);
    assert!(!answer.starts_with("accepted") && answer.to_lowercase().contains("certificate"), "{answer}");
    assert!(mailbox.mails().is_empty());
}

#[test]
fn a_refused_recipient_is_reported_by_the_doctor() {
    let mailbox = Mailbox::open_with(&["--refuse", "typo@example.org"]);
    let site =
        Site::open_with(|options| mailbox.options(options).setting("guestly_sync.admin_email", "typo@example.org"));
    let answer = test_alert(&site);
    assert_eq!(answer, "refused: typo@example.org was refused: 550 5.1.1 No such mailbox here");
    let id = failing_booking(&site);
    let reported =
        "SELECT detail LIKE '%No such mailbox here%', detail FROM guestly_doctor() WHERE check_name = 'alerts'";
    site.wait_for("the doctor to report it", SOON, reported);
    let [status, detail, fix] = site.doctor("alerts");
    assert!(status == "fail" && detail.contains("typo@example.org was refused: 550"), "{status} {detail}");
    assert!(fix.contains("pg_reload_conf") && fix.contains("guestly_test_alert"), "{fix}");
    site.sql("INSERT INTO guestly.listings VALUES ('canal-loft', '64b1f0aa11bb22cc33dd4401')");
    let others = site.paid_bookings(6);
    site.wait_for_status(&others, "synced");
    assert!(mailbox.mails().is_empty());
    // The other recipients get the mail, and the doctor still names the refused one.
    site.alter_system("guestly_sync.admin_email", "typo@example.org, owner@example.org");
    let mail = mailbox.wait_for(1, SOON).remove(0);
    assert!(mail.subject.contains(&site.code(&id)), "{}", mail.subject);
    assert_eq!(mail.recipients, ["owner@example.org"]);
    let sent = "SELECT count(*) = 1 AND bool_and(state = 'sent'), string_agg(state || ' ' || answer, '; ') FROM guestly.alerts";
    site.wait_for("it to be sent", SOON, sent);
    let [status, detail, _] = site.doctor("mail");
    assert!(status == "warn" && detail.contains("typo@example.org was refused: 550"), "{status} {detail}");
}
