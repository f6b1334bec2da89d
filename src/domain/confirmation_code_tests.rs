//! Unit tests of `confirmation_code`. The golden values must never change.

use std::collections::HashSet;

use super::*;

#[test]
fn the_hash_is_fnv_1a() {
    assert_eq!(fnv1a_128(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    assert_eq!(fnv1a_128(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    assert_eq!(fnv1a_128(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
}

#[test]
fn golden_codes() {
    let golden = [
        ("", "GS-W1XV05165E11ENJ57SZZ"),
        ("1", "GS-JFRTHJQQH49BE11PHGQ2"),
        ("4711", "GS-49KNE9VVG1Q907MVJ590"),
        ("00000000-0000-0000-0000-000000000001", "GS-0NSW3PPSHBC4EDYPDDM5"),
        ("b6f1c1c2-6d7e-4f0a-9a3b-1c2d3e4f5a6b", "GS-TTCCZV7Q4ZQGAN2CV390"),
        ("Zürich/7", "GS-C805J4ZY3W4GA7DXBHK0"),
    ];
    for (booking_id, code) in golden {
        assert_eq!(confirmation_code(booking_id, None), code);
    }
}

#[test]
fn a_usable_reference_is_the_code() {
    let thirty = "A".repeat(30);
    for reference in ["BK-12", "abcDE", "-----", thirty.as_str()] {
        assert_eq!(confirmation_code("x", Some(reference)), reference);
    }
}

#[test]
fn any_other_reference_is_ignored() {
    let long = "A".repeat(31);
    let unusable = ["", "BK-1", "BK 12", "BK_12", "BK-12\n", " BK-12", "BK-12é", "ＢＫ-12", "BK\x0012", &long];
    for reference in unusable {
        assert_eq!(confirmation_code("x", Some(reference)), confirmation_code("x", None));
    }
}

#[test]
fn neighbouring_keys_have_different_codes() {
    let codes: HashSet<String> = (0..50_000).map(|n: u32| confirmation_code(&n.to_string(), None)).collect();
    assert_eq!(codes.len(), 50_000);
}
