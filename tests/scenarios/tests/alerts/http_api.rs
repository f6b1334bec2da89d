//! Alert mails through the HTTP APIs of SendGrid and Resend.

use guestly_scenarios::{MailService, SOON, Site, host, mail_parsing};
use serde_json::json;

fn open(url: &str) -> Site {
    let site = Site::open_with(|options| {
        options
            .setting("guestly_sync.admin_email", "owner@example.org, Front Desk <desk@example.org>")
            .setting("guestly_sync.alert_from", "Flat alerts <alerts@example.org>")
            .setting("guestly_sync.email_api_url", url)
            .setting("guestly_sync.email_api_key", "key-canary-77")
            .setting("guestly_sync.alert_digest", "1s")
    });
    site.sql("DELETE FROM guestly.listings");
    site
}

fn fail_one(site: &Site) -> String {
    let id = host::make_bookings(site, 1).remove(0);
    host::pay(site, std::slice::from_ref(&id));
    site.wait_failed(&id);
    site.code(&id)
}

#[test]
fn sendgrid_requests_have_the_sendgrid_format() {
    let sink = MailService::open(202, "");
    let site = open(&format!("{}/v3/mail/send", sink.url()));
    assert_eq!(site.query_one::<String>("SELECT guestly_test_alert()"), "accepted: 202");
    let code = fail_one(&site);
    let posted = sink.wait_for(2, SOON).remove(1);
    assert_eq!(
        (posted.path.as_str(), posted.header("authorization")),
        ("/v3/mail/send", "Bearer key-canary-77".to_owned())
    );
    assert_eq!(posted.header("content-type"), "application/json");
    let body = posted.body;
    assert_eq!(body["from"], json!({"email": "alerts@example.org", "name": "Flat alerts"}));
    let to = json!([{"email": "owner@example.org"}, {"email": "desk@example.org", "name": "Front Desk"}]);
    assert_eq!(body["personalizations"], json!([{"to": to}]));
    let subject = body["subject"].as_str().unwrap();
    assert!(
        subject.starts_with(&format!("[Guestly] 1 paid booking could not be placed: {code}, arriving ")),
        "{subject}"
    );
    assert_eq!((&body["content"][0]["type"], &body["content"][1]["type"]), (&json!("text/plain"), &json!("text/html")));
    let (text, html) = (body["content"][0]["value"].as_str().unwrap(), body["content"][1]["value"].as_str().unwrap());
    assert_eq!(mail_parsing::fields(text), mail_parsing::fields_of_page(&mail_parsing::page(html)));
    assert!(text.contains(&code) && !body.to_string().contains("canary"), "{body}");
    sink.answer(401, r#"{"errors":[{"message":"The provided authorization grant is invalid"}]}"#);
    let said: String = site.query_one("SELECT guestly_test_alert()");
    assert_eq!(said, "refused: 401 The provided authorization grant is invalid");
    assert!(!site.log().contains("canary"), "the key was exposed");
}

#[test]
fn a_resend_retry_has_the_same_idempotency_key() {
    let sink = MailService::open(200, r#"{"id":"49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"}"#);
    let site = open(&format!("{}/emails", sink.url()));
    assert!(site.query_one::<String>("SELECT guestly_test_alert()").starts_with("accepted: 200"));
    sink.answer(502, "<html>bad gateway</html>");
    let code = fail_one(&site);
    let _ = sink.wait_for(2, SOON);
    sink.answer(200, "{}");
    site.wait_for("it to be sent", SOON, "SELECT bool_and(state = 'sent'), string_agg(state, ' ') FROM guestly.alerts");
    let posted = sink.wait_for(3, SOON);
    let key = posted[1].header("idempotency-key");
    assert!(!key.is_empty() && key != posted[0].header("idempotency-key"), "{key}");
    assert!(posted[1..].iter().all(|again| again.header("idempotency-key") == key), "{posted:?}");
    let body = &posted[1].body;
    assert_eq!(posted[1].path, "/emails");
    assert_eq!(body["from"], json!("Flat alerts <alerts@example.org>"));
    assert_eq!(body["to"], json!(["owner@example.org", "Front Desk <desk@example.org>"]));
    assert!(body["subject"].as_str().unwrap().contains(&code), "{body}");
    let (text, html) = (body["text"].as_str().unwrap(), body["html"].as_str().unwrap());
    assert_eq!(mail_parsing::fields(text), mail_parsing::fields_of_page(&mail_parsing::page(html)));
}
