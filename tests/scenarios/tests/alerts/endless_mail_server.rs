//! A mail server whose greeting never ends, slow or fast. Sales continue, the worker's memory stays small, the doctor shows
//! how long the delivery has taken, and a corrected setting takes effect at once.

use guestly_scenarios::process::{memory_of, threads_of};
use guestly_scenarios::{AT_ONCE, EndlessMailServer, Mailbox, SOON, Site, wait_until};

/// A site whose alerts go to this server at once, and on which one booking has failed.
fn site(server: &EndlessMailServer) -> Site {
    let site = Site::open_with(|options| {
        options
            .setting("guestly_sync.admin_email", "owner@example.org")
            .setting("guestly_sync.alert_from", "alerts@example.org")
            .setting("guestly_sync.smtp_url", &server.url())
            .setting("guestly_sync.alert_digest", "1ms")
    });
    let alert = "INSERT INTO guestly.alerts (kind, cause, sentence) VALUES ('credentials', ':', 'of a test')";
    site.sql(alert);
    // A new worker looks for waiting alerts.
    site.kill_worker(&site, "TERM");
    wait_until("the server to be called", SOON, || (server.said() > 0, "nothing was said".to_owned()));
    site
}

#[test]
fn a_corrected_smtp_url_works_during_a_slow_greeting() {
    let (dripping, mailbox) = (EndlessMailServer::dripping(), Mailbox::open());
    let site = site(&dripping);
    let ids = site.paid_bookings(3);
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    let slow = "SELECT status = 'warn' AND detail LIKE '%a mail has been in progress since 20%' AND fix LIKE '%smtp_url%', \
                concat_ws(' ', status, detail, fix) FROM guestly_doctor() WHERE check_name = 'alerts'";
    site.wait_for("the doctor to say since when", SOON, slow);
    let said = dripping.said();
    site.alter_system("guestly_sync.smtp_url", &mailbox.url());
    let mail = mailbox.wait_for(1, AT_ONCE).remove(0);
    assert!(mail.text.contains("of a test") && said > 0, "{}", mail.text);
    let over = "SELECT bool_and(state = 'sent') AND (SELECT mail_started_at IS NULL FROM guestly.worker), \
                string_agg(concat_ws(' ', state, answer), '; ') FROM guestly.alerts";
    site.wait_for("the alert to be over", AT_ONCE, over);
    assert_eq!(site.doctor("alerts")[0], "ok");
}

#[test]
fn an_endless_greeting_costs_no_memory() {
    let flooding = EndlessMailServer::flooding();
    let site = site(&flooding);
    let given_up = "SELECT answer LIKE '%more than 64 kB%', answer FROM guestly.alerts WHERE kind = 'credentials'";
    site.wait_for("the mail to time out", SOON, given_up);
    let ids = site.paid_bookings(5);
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
    let worker = site.wait_for_worker(&site);
    let memory = memory_of(worker);
    assert!(memory < 40_000, "{memory} kB");
    let ended = || (threads_of(worker) <= 6, format!("{} threads", threads_of(worker)));
    wait_until("the threads of the mail to end", SOON, ended);
    assert_eq!(site.doctor("alerts")[0], "fail");
}

#[test]
fn a_slow_greeting_does_not_delay_a_stop() {
    let dripping = EndlessMailServer::dripping();
    let site = site(&dripping);
    let took = site.stop(guestly_scenarios::StopMode::Fast);
    assert!(took < AT_ONCE, "{took:?}");
}
