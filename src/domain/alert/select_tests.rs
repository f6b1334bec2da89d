//! Unit tests of `alert::select`: the time of each mail, and the rate limit for any pattern of failures.

use proptest::prelude::*;

use super::*;

const PACE: MailLimits = MailLimits { digest: Duration::from_secs(60), not_before: None };

fn at(seconds: i64) -> DateTime<Utc> {
    "2027-05-08T10:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

fn row(id: i64, kind: AlertKind, booking: &str, created: i64) -> PendingAlert {
    let booking_id = kind.is_about_a_booking().then(|| booking.to_owned());
    let cause = "refused:no".to_owned();
    PendingAlert { id, kind, booking_id, cause, created_at: at(created), arrival: None, mail_key: None }
}

fn failed(id: i64, booking: &str, created: i64) -> PendingAlert {
    row(id, AlertKind::BookingFailed, booking, created)
}

fn soon(mut row: PendingAlert) -> PendingAlert {
    row.arrival = Some("2027-05-09".parse().unwrap());
    row
}

fn mailed(row: &PendingAlert, at_second: i64) -> MailedAlert {
    MailedAlert { kind: row.kind, booking_id: row.booking_id.clone(), cause: row.cause.clone(), at: at(at_second) }
}

fn ids(next: &MailStep) -> Vec<i64> {
    match next {
        MailStep::Send(batch) => batch.ids.clone(),
        other => panic!("not sent: {other:?}"),
    }
}

#[test]
fn an_urgent_alert_sends_the_collected_ones() {
    let rows = [failed(1, "a", 0), failed(2, "b", 40)];
    assert_eq!(select_for_mail(&[], &[], &PACE, at(0)).next, MailStep::Nothing);
    assert_eq!(select_for_mail(&rows, &[], &PACE, at(41)).next, MailStep::At(at(60)));
    assert_eq!(ids(&select_for_mail(&rows, &[], &PACE, at(60)).next), [1, 2]);
    let rows = [failed(1, "a", 0), soon(failed(2, "b", 10))];
    assert_eq!(ids(&select_for_mail(&rows, &[], &PACE, at(10)).next), [1, 2]);
}

#[test]
fn a_booking_is_mailed_once_with_its_latest_alert() {
    let rows = [
        row(1, AlertKind::Stale, "a", 0),
        failed(2, "a", 30),
        failed(3, "b", 31),
        row(4, AlertKind::TwoReservations, "a", 32),
    ];
    let MailStep::Send(batch) = select_for_mail(&rows, &[], &PACE, at(90)).next else { panic!() };
    assert_eq!((batch.ids, batch.superseded), (vec![2, 3, 4], vec![1]));
}

#[test]
fn an_unchanged_alert_is_not_repeated_within_a_day() {
    let old = failed(1, "a", 0);
    let again = failed(2, "a", 3_600);
    let plan =
        |row: &PendingAlert, now| select_for_mail(std::slice::from_ref(row), &[mailed(&old, 60)], &PACE, at(now));
    assert_eq!(plan(&again, 4_000), MailSelection { repeated: vec![2], next: MailStep::Nothing });
    assert_eq!(ids(&plan(&again, 60 + 86_400).next), [2], "a day later");
    let changed = PendingAlert { cause: "refused:other".to_owned(), ..again.clone() };
    assert_eq!(ids(&plan(&changed, 4_000).next), [2]);
    let stale = PendingAlert { kind: AlertKind::Stale, ..again.clone() };
    assert_eq!(ids(&plan(&stale, 4_000).next), [2], "another kind");
    let other = failed(2, "b", 3_600);
    assert_eq!(ids(&plan(&other, 4_000).next), [2], "another booking");
    let back = [changed, PendingAlert { id: 3, created_at: at(3_700), ..again }];
    assert_eq!(
        select_for_mail(&back, &[mailed(&old, 60)], &PACE, at(4_000)).repeated,
        [2, 3],
        "changed back before a mail left"
    );
}

#[test]
fn an_outage_after_a_recovery_is_mailed() {
    let outage = |id, created| row(id, AlertKind::Outage, "", created);
    let recovered = |id, created| row(id, AlertKind::Recovered, "", created);
    let history = [mailed(&outage(1, 0), 60)];
    assert_eq!(select_for_mail(&[outage(2, 600)], &history, &PACE, at(700)).repeated, [2]);
    assert_eq!(ids(&select_for_mail(&[recovered(3, 600)], &history, &PACE, at(700)).next), [3]);
    let history = [mailed(&outage(1, 0), 60), mailed(&recovered(3, 600), 660)];
    assert_eq!(ids(&select_for_mail(&[outage(4, 900)], &history, &PACE, at(1_000)).next), [4]);
    assert_eq!(select_for_mail(&[recovered(5, 900)], &history, &PACE, at(1_000)).repeated, [5], "nothing was wrong");
    let both = [outage(4, 900), recovered(5, 930)];
    assert_eq!(ids(&select_for_mail(&both, &history, &PACE, at(1_000)).next), [4, 5]);
}

#[test]
fn refused_credentials_are_mailed_each_time() {
    for kind in [AlertKind::Credentials, AlertKind::TokenCap] {
        let history = [mailed(&row(1, kind, "", 0), 60)];
        assert_eq!(ids(&select_for_mail(&[row(2, kind, "", 600)], &history, &PACE, at(700)).next), [2]);
    }
}

#[test]
fn a_mail_of_unknown_outcome_is_resent_alone_with_its_key() {
    let mut rows = vec![failed(1, "a", 0), failed(2, "b", 1)];
    let MailStep::Send(first) = select_for_mail(&rows, &[], &PACE, at(60)).next else { panic!() };
    rows.iter_mut().for_each(|row| row.mail_key = Some(first.key.clone()));
    rows.push(soon(failed(3, "c", 61)));
    let MailStep::Send(second) = select_for_mail(&rows, &[], &PACE, at(61)).next else { panic!() };
    assert_eq!(second, first);
    rows.retain(|row| row.mail_key.is_none());
    let MailStep::Send(third) = select_for_mail(&rows, &[mailed(&failed(1, "a", 0), 61)], &PACE, at(66)).next else {
        panic!()
    };
    assert_ne!(third.key, first.key);
}

#[test]
fn a_mail_waits_no_longer_than_pause_or_digest() {
    let rows = [soon(failed(1, "a", 0))];
    let limits = MailLimits { not_before: Some(at(100)), ..PACE };
    assert_eq!(select_for_mail(&rows, &[], &limits, at(10)).next, MailStep::At(at(100)));
    assert_eq!(ids(&select_for_mail(&rows, &[], &limits, at(100)).next), [1]);
    let future = [failed(1, "a", 9_000)];
    let history = [mailed(&failed(9, "z", 0), 8_000)];
    assert_eq!(
        select_for_mail(&future, &history, &PACE, at(0)).next,
        MailStep::At(at(60)),
        "waits no longer than the digest"
    );
}

/// Simulates four minutes by the second; every mail is accepted at once. Returns the times and ids of the mails.
fn simulate(rows: &[PendingAlert], digest: u64) -> Vec<(i64, Vec<i64>)> {
    let limits = MailLimits { digest: Duration::from_secs(digest), not_before: None };
    let (mut history, mut mails) = (Vec::new(), Vec::new());
    let mut coming: Vec<PendingAlert> = rows.to_vec();
    let mut waiting: Vec<PendingAlert> = Vec::new();
    for now in 0..240 {
        waiting.extend(coming.extract_if(.., |row| row.created_at <= at(now)));
        let plan = select_for_mail(&waiting, &history, &limits, at(now));
        waiting.retain(|row| !plan.repeated.contains(&row.id));
        if let MailStep::Send(batch) = plan.next {
            let taken = waiting.extract_if(.., |row| batch.ids.contains(&row.id) || batch.superseded.contains(&row.id));
            history.extend(taken.map(|row| mailed(&row, now)));
            mails.push((now, batch.ids));
        }
    }
    mails
}

fn crowd(seconds: impl IntoIterator<Item = i64>, urgent: bool) -> Vec<PendingAlert> {
    let rows = seconds.into_iter().zip(1..).map(|(second, id)| failed(id, &format!("b{id}"), second));
    rows.map(|row| if urgent { soon(row) } else { row }).collect()
}

#[test]
fn five_hundred_failures_in_a_minute_make_at_most_three_mails() {
    let steady = |count: i64| (0..count).map(move |n| n * 60 / count);
    for digest in [0, 60] {
        for urgent in [false, true] {
            for rows in
                [crowd(steady(500), urgent), crowd([0; 500], urgent), crowd((0..500).map(|n| n / 250 * 59), urgent)]
            {
                let mails = simulate(&rows, digest);
                assert!(
                    mails.len() <= 3,
                    "digest {digest}, urgent {urgent}: {:?}",
                    mails.iter().map(|m| m.0).collect::<Vec<_>>()
                );
                let mut told: Vec<i64> = mails.into_iter().flat_map(|mail| mail.1).collect();
                told.sort_unstable();
                assert_eq!(told, (1..=500).collect::<Vec<_>>());
            }
        }
    }
}

proptest! {
    // Each case simulates four minutes.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn at_most_three_mails_a_minute_cover_every_booking_once(
        seconds in proptest::collection::vec(0..120_i64, 0..120),
        urgent in proptest::collection::vec(any::<bool>(), 120),
        digest in 0..70_u64,
    ) {
        let mut rows = crowd(seconds, false);
        for (row, urgent) in rows.iter_mut().zip(urgent) {
            *row = if urgent { soon(row.clone()) } else { row.clone() };
        }
        let mails = simulate(&rows, digest);
        for four in mails.windows(4) {
            prop_assert!(four[3].0 - four[0].0 >= 60, "{:?}", four);
        }
        let mut told: Vec<i64> = mails.into_iter().flat_map(|mail| mail.1).collect();
        told.sort_unstable();
        prop_assert_eq!(told, rows.iter().map(|row| row.id).collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn whatever_waits_leaves_or_has_a_time(
        kinds in proptest::collection::vec((0..AlertKind::ALL.len(), 0..4_u8, -100..100_i64, any::<bool>()), 0..12),
        past in proptest::collection::vec((0..AlertKind::ALL.len(), 0..4_u8, -90_000..100_i64), 0..12),
    ) {
        let rows: Vec<PendingAlert> = kinds.iter().zip(1..).map(|((kind, booking, second, uncertain), id)| {
            let mut row = row(id, AlertKind::ALL[*kind], &booking.to_string(), *second);
            row.mail_key = uncertain.then(|| format!("key-{booking}"));
            row
        }).collect();
        let history: Vec<MailedAlert> =
            past.iter().map(|(kind, booking, second)| mailed(&row(0, AlertKind::ALL[*kind], &booking.to_string(), 0), *second)).collect();
        let plan = select_for_mail(&rows, &history, &PACE, at(0));
        match plan.next {
            MailStep::Nothing => prop_assert_eq!(plan.repeated.len(), rows.len()),
            MailStep::At(then) => prop_assert!(then > at(0) && then <= at(160)),
            MailStep::Send(batch) => {
                prop_assert!(!batch.ids.is_empty());
                let mut all = [batch.ids, batch.superseded, plan.repeated].concat();
                let count = all.len();
                all.sort_unstable();
                all.dedup();
                prop_assert_eq!(all.len(), count, "a row was mailed twice");
            }
        }
    }
}
