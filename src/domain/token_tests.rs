//! Unit tests of `token`: validity, renewal and the printed form.

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn token(life: i64) -> Token {
    Token { value: Secret::new("secret-token".to_owned()), fetched_at: at(0), expires_at: at(life) }
}

#[test]
fn a_day_token_is_renewed_45_minutes_early() {
    let token = token(86_400);
    assert!(token.usable(at(86_400 - 61)));
    assert!(!token.usable(at(86_400 - 60)));
    assert!(!token.should_renew(at(86_400 - 2_700)));
    assert!(token.should_renew(at(86_400 - 2_699)));
}

#[test]
fn an_hour_token_is_renewed_in_its_last_tenth() {
    let token = token(3_600);
    assert!(!token.should_renew(at(3_240)));
    assert!(token.should_renew(at(3_241)));
    assert!(token.usable(at(3_241)));
}

#[test]
fn a_token_of_seconds_is_usable_at_all() {
    let token = token(30);
    assert!(token.usable(at(26)));
    assert!(!token.usable(at(27)));
    assert!(!token.should_renew(at(26)));
    assert!(token.should_renew(at(27)));
}

#[test]
fn a_token_that_ends_before_it_begins_is_never_usable() {
    for life in [0, -1, -86_400] {
        assert!(!token(life).usable(at(0)));
        assert!(token(life).should_renew(at(0)));
    }
}

#[test]
fn extreme_dates_do_not_panic() {
    let mut token = token(10);
    token.fetched_at = DateTime::<Utc>::MIN_UTC;
    token.expires_at = DateTime::<Utc>::MAX_UTC;
    assert!(token.usable(DateTime::<Utc>::MIN_UTC));
    assert!(!token.usable(DateTime::<Utc>::MAX_UTC));
    let full = [DateTime::<Utc>::MAX_UTC; 5];
    let end = DateTime::<Utc>::MAX_UTC;
    assert_eq!(may_fetch(&full, end), Err(end));
}

#[test]
fn debug_shows_no_token() {
    assert!(!format!("{:?}", token(10)).contains("secret-token"));
}

#[test]
fn five_in_a_day_in_any_order() {
    let hour = 3_600;
    let history = [at(4 * hour), at(0), at(3 * hour), at(hour), at(2 * hour)];
    assert_eq!(may_fetch(&[], at(0)), Ok(()));
    assert_eq!(may_fetch(&history[..4], at(5 * hour)), Ok(()));
    assert_eq!(may_fetch(&history, at(5 * hour)), Err(at(24 * hour)));
    assert_eq!(may_fetch(&history, at(24 * hour - 1)), Err(at(24 * hour)));
    assert_eq!(may_fetch(&history, at(24 * hour)), Ok(()));
}

#[test]
fn more_than_five_wait_for_the_fifth_newest() {
    let history: Vec<_> = (0..8).map(|n| at(n * 10)).collect();
    assert_eq!(may_fetch(&history, at(100)), Err(at(86_400 + 30)));
    assert_eq!(may_fetch(&history, at(86_400 + 30)), Ok(()));
}

#[test]
fn entries_of_the_future_count_as_now() {
    let history = [at(9_000_000); 5];
    assert_eq!(may_fetch(&history, at(0)), Err(at(86_400)));
    assert_eq!(may_fetch(&history[..4], at(0)), Ok(()));
}
