//! Guest data: names in any script, emoji and ten thousand characters arrive intact. Also bookings that are deleted while
//! they wait or while a call is in flight.

use guestly_scenarios::{SOON, Site, host};
use serde_json::json;

#[test]
fn the_language_of_a_locale_column_is_sent() {
    let site = Site::bare_with(|options| options);
    site.sql("ALTER TABLE bookings ADD COLUMN locale text");
    host::create_extension(&site);
    host::map_listings(&site);
    host::without_notes(&site);
    let ids = host::make_bookings(&site, 2);
    site.sql(&format!("UPDATE bookings SET locale = 'de_AT' WHERE id = '{}'", ids[0]));
    host::pay(&site, &ids);
    site.wait_for_status(&ids, "synced");
    let language = |id: &str| site.only_reservation(id)["received"]["guest"]["preferredLanguage"].clone();
    assert_eq!((language(&ids[0]), language(&ids[1])), (json!("de"), json!(null)));
}

#[test]
fn names_in_any_script_arrive_intact() {
    let site = Site::open();
    let long = "Ñandú🦤".repeat(1_667);
    let names = [
        "Søren Åge Ærøe-Müller",
        "Наталья Ёлкина",
        "山田 太郎",
        "محمد بن عبد الله",
        "नेहा श्रीवास्तव",
        "ᏣᎳᎩ 𓂀 𐍈",
        "Zoe\u{308} e\u{301} (combining)",
        "👩‍👩‍👧‍👦 🇩🇪 👋🏽",
        "O'Brien \"the\" <b>Bold</b> & Co.",
        r#"\","admin":true,"x":"\u0000\n"#,
        "'); DROP TABLE bookings; --",
        "$1 ${jndi:ldap://x} %s %n {{7*7}}",
        "line one\nline two\ttab\r\u{1}\u{7f}\u{200b}\u{202e}end",
        "\u{feff}byte order",
        long.as_str(),
    ];
    let ids = host::make_bookings(&site, u32::try_from(names.len()).unwrap());
    for (id, name) in ids.iter().zip(names) {
        let change = "UPDATE bookings SET guest_first_name = $1, guest_last_name = $1, guest_phone = $2, \
                      guest_email = $3 WHERE id = $4::text::uuid RETURNING 1";
        site.query(change, &[&name, &"030/23125-0 (Büro)", &"zoë+tag@bücher.example", id]);
    }
    host::pay(&site, &ids);
    site.wait_for_status(&ids, "synced");
    for (id, name) in ids.iter().zip(names) {
        let guest = &site.only_reservation(id)["received"]["guest"];
        assert_eq!(guest["firstName"], name.trim());
        assert_eq!(guest["lastName"], name.trim());
        assert_eq!(guest["email"], "zoë+tag@bücher.example");
        assert_eq!(guest["phones"], json!(["030/23125-0 (Büro)"]));
        assert_eq!(site.row(id)["guestly_sync_attempts"], 1);
    }
    assert_eq!(site.sim.calls("create"), names.len() as u64);
    site.sim.assert_no_violation();
}

#[test]
fn references_unusable_as_codes_get_a_derived_code() {
    let site = Site::open();
    let references = ["ABCDE", "BK-2041-0007", "ab c", "1234", "Büch-1", "A_underscore", "'; --", &"R".repeat(31)];
    let ids = host::make_bookings(&site, u32::try_from(references.len()).unwrap());
    for (id, reference) in ids.iter().zip(references) {
        site.query(
            "UPDATE bookings SET booking_reference = $1 WHERE id = $2::text::uuid RETURNING 1",
            &[&reference, id],
        );
    }
    host::pay(&site, &ids);
    site.wait_for_status(&ids, "synced");
    let mut held = site.sim.state();
    for (index, (id, reference)) in ids.iter().zip(references).enumerate() {
        let place = held.iter().position(|r| r["originId"] == id.as_str()).unwrap();
        let code = held.remove(place)["confirmationCode"].as_str().unwrap().to_owned();
        if index < 2 {
            assert_eq!(code, reference);
        } else {
            assert!(code.starts_with("GS-") && code.len() == 23, "{reference}: {code}");
            assert!(code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{code}");
        }
        let kept = format!("SELECT confirmation_code FROM guestly.reservations WHERE booking_id = '{id}'");
        assert_eq!(site.query_one::<String>(&kept), code);
    }
    assert!(held.is_empty(), "{held:?}");
}

#[test]
fn a_booking_deleted_while_queued_leaves_the_queue() {
    let site = Site::open();
    site.sql("SELECT guestly_pause()");
    let ids = site.paid_bookings(3);
    site.sql(&format!("DELETE FROM bookings WHERE id = '{}'", ids[1]));
    site.sql("SELECT guestly_resume()");
    site.wait_synced(&ids[0]);
    site.wait_synced(&ids[2]);
    site.wait_drained();
    assert_eq!((site.sim.calls("create"), site.sim.state().len()), (2, 2));
    let story: Vec<String> = site
        .query_all(&format!("SELECT event || ': ' || coalesce(detail, '') FROM guestly_timeline('{}'::uuid)", ids[1]));
    assert!(story.iter().any(|event| event.contains("the booking was deleted")), "{story:?}");
    assert!(story.iter().any(|event| event.starts_with("deleted: the booking no longer exists")), "{story:?}");
    assert_eq!(
        site.query_one::<i64>(&format!("SELECT count(*) FROM guestly.attempts WHERE booking_id = '{}'", ids[1])),
        1
    );
    let missing = site.try_sql(&format!("SELECT guestly_sync('{}'::uuid)", ids[1])).unwrap_err();
    assert!(missing.starts_with("P0002"), "{missing}");
    assert!(!site.log().contains("WARNING"), "{}", site.log());
}

#[test]
fn a_booking_deleted_in_flight_stops_no_other() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 5);
    let code = site.code(&ids[0]);
    let refused = site.code(&ids[1]);
    let hang = |code: &str, when: &str| json!({"match": {"operation": "create", "body_contains": code}, "effect": {"kind": "hang", "ms": 1500, "when": when}});
    let no =
        json!({"match": {"operation": "create", "body_contains": refused}, "effect": {"kind": "status", "code": 422}});
    site.sim.fault(json!([hang(&code, "after"), hang(&refused, "before"), no]));
    host::pay(&site, &ids);
    site.sim.wait_for_calls("create", 2, SOON);
    site.wait_for(
        "two in flight",
        SOON,
        "SELECT count(*) >= 2, count(*)::text FROM guestly.queue WHERE state = 'sending'",
    );
    site.sql(&format!("DELETE FROM bookings WHERE id IN ('{}', '{}')", ids[0], ids[1]));
    site.wait_for_status(&ids[2..], "synced");
    site.wait_drained();
    // The alert names the reservation, so that it can be cancelled in Guestly.
    let story = |id: &str| -> String {
        site.query_one(&format!(
            "SELECT string_agg(concat_ws(' ', event, detail), '; ') FROM guestly_timeline('{id}'::uuid)"
        ))
    };
    let kept = site.sim.reservations_of(&code);
    assert_eq!(kept.len(), 1);
    let first = story(&ids[0]);
    assert!(first.contains(kept[0]["reservationId"].as_str().unwrap()) && first.contains("deleted"), "{first}");
    let second = story(&ids[1]);
    assert!(second.contains("refused") && second.contains("deleted"), "{second}");
    assert_eq!(site.operations_of(&code), ["create"]);
    assert_eq!(site.operations_of(&refused), ["create"]);
    let after = site.paid_booking();
    site.wait_synced(&after);
    assert_eq!(site.sim.state().len(), 5);
    // Only the booking that Guestly has raises an alert.
    let reported: Vec<String> = site.query_all("SELECT booking_id || ' ' || kind FROM guestly.alerts");
    assert_eq!(reported, [format!("{} deleted", ids[0])]);
    assert!(!site.log().contains("cannot work"), "{}", site.log());
    site.sim.assert_no_violation();
}
