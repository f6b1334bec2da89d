//! Property tests of the token: at most five requests a day, and no use of a token that expires during a call.

use chrono::{DateTime, TimeDelta, Utc};
use guestly_sync::domain::redact::Secret;
use guestly_sync::domain::token::{FETCH_LIMIT, FETCH_WINDOW, Token, may_fetch};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{config, instant, pause};

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn five_tokens_in_any_day(mut now in instant(), pauses in vec(pause(), 1..40)) {
        let mut fetched: Vec<DateTime<Utc>> = Vec::new();
        for pause in pauses {
            now += TimeDelta::nanoseconds(pause as i64);
            match may_fetch(&fetched, now) {
                Ok(()) => fetched.push(now),
                Err(next) => {
                    prop_assert!(next > now && next <= now + FETCH_WINDOW);
                    prop_assert!(may_fetch(&fetched, next - TimeDelta::nanoseconds(1)).is_err());
                    prop_assert_eq!(may_fetch(&fetched, next), Ok(()));
                }
            }
        }
        for day in fetched.windows(FETCH_LIMIT + 1) {
            prop_assert!(day[FETCH_LIMIT] - day[0] >= FETCH_WINDOW);
        }
    }

    #[test]
    fn what_is_not_usable_is_renewed(fetched_at in instant(), life in any::<i32>(), now in instant()) {
        let expires_at = fetched_at + TimeDelta::milliseconds(life.into());
        let token = Token { value: Secret::default(), fetched_at, expires_at };
        prop_assert!(token.usable(now) || token.should_renew(now));
        prop_assert!(!token.usable(expires_at));
        prop_assert_eq!(token.usable(fetched_at), life > 0);
    }
}
